//! Whoever owns the runs: reads what comes in for them, records it, and sends what follows.

use std::{
    collections::HashMap,
    error::Error as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_nats::{
    Client, HeaderMap, Message,
    header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE,
    jetstream::{self, ErrorCode, consumer::pull::OrderedConfig, context::PublishError},
};
use bytes::Bytes;
use futures_util::{StreamExt, future::try_join_all};
use highwater_broker::Stream;
use highwater_protocol::{Key, OpId, RunId, subject::EngineVerb};
use tokio::task::JoinHandle;

use super::{BODY, Plot, Story, body, space::Space, text};
use crate::exit::Error;

/// What follows the id of a parent in that of its child.
const CHILD: &str = "-child";

#[derive(Debug)]
pub(super) struct Owner {
    plot: Arc<Plot>,
    client: Client,
    context: jetstream::Context,
    runs: Mutex<HashMap<String, Run>>,
    /// The subject of all tasks.
    task: String,
}

/// What is known of a run that has not ended.
#[derive(Debug, Default)]
struct Run {
    /// The sequence of its last record.
    seq: u64,
    /// What has been recorded of what came in.
    taken: u64,
    /// Who waits for the run's end.
    starter: String,
    /// Those whose messages have come in and are not recorded yet.
    waiting: Vec<String>,
    /// Whether a record is on its way.
    busy: bool,
}

/// What goes into one record, and where that stands.
struct Batch {
    seq: u64,
    before: u64,
    starter: String,
    senders: Vec<String>,
}

/// Whether a run goes on after a record.
enum Next {
    Waits,
    Ended,
}

impl Owner {
    /// Begins to read, and to answer queries.
    pub(super) async fn begin(plot: &Arc<Plot>, client: Client, space: &Space) -> Result<Vec<JoinHandle<()>>, Error> {
        let context = jetstream::new(client.clone());
        let stream = context.get_stream(space.stream(Stream::Inbox).await?).await.map_err(Error::failed)?;
        // One filter a partition, as for an owner of any number of them.
        let filters = (0..space.partitions()).map(|partition| plot.subjects.inbox_of(partition, &plot.queue));
        let config = OrderedConfig { filter_subjects: filters.collect(), ..OrderedConfig::default() };
        let consumer = stream.create_consumer(config).await.map_err(Error::failed)?;
        let mut requests = consumer.messages().await.map_err(Error::failed)?;
        let mut queries =
            client.subscribe(plot.subjects.query_filter_of_queue(&plot.queue)).await.map_err(Error::failed)?;
        client.flush().await.map_err(Error::failed)?;
        let task = plot.subjects.task(&plot.queue, RunId::generate(), OpId(0), 1);
        let owner = Arc::new(Self { plot: Arc::clone(plot), client, context, runs: Mutex::default(), task });
        let answering = Arc::clone(&owner);
        Ok(vec![
            tokio::spawn(async move {
                while let Some(request) = requests.next().await {
                    match request {
                        Ok(request) => {
                            tokio::spawn(Arc::clone(&owner).take(request.message));
                        }
                        Err(error) => return owner.plot.note(error),
                    }
                }
            }),
            tokio::spawn(async move {
                while let Some(query) = queries.next().await {
                    tokio::spawn(Arc::clone(&answering).answer_query(query));
                }
            }),
        ])
    }

    /// Takes a request, and whatever else has come in for the run until its record is stored.
    async fn take(self: Arc<Self>, request: Message) {
        let id = request.subject.rsplit('.').next().unwrap_or_default().to_owned();
        {
            let mut runs = self.runs();
            let run = runs.entry(id.clone()).or_default();
            run.waiting.push(text(&request.payload).to_owned());
            if std::mem::replace(&mut run.busy, true) {
                return;
            }
        }
        if let Err(error) = self.go_on(&id).await {
            self.plot.note(error.message);
        }
    }

    async fn go_on(&self, id: &str) -> Result<(), Error> {
        let key = Plot::key(id)?;
        while let Some(mut batch) = self.next_batch(id) {
            batch.seq = self.append(&key, batch.seq, batch.senders.len() as u64, batch.before == 0).await?;
            if let Next::Ended = self.follow_up(&key, &mut batch).await? {
                self.runs().remove(id);
                return Ok(());
            }
            if let Some(run) = self.runs().get_mut(id) {
                run.seq = batch.seq;
            }
        }
        Ok(())
    }

    /// Everything that waits to be recorded. Without anything the run is at rest.
    fn next_batch(&self, id: &str) -> Option<Batch> {
        let mut runs = self.runs();
        let run = runs.get_mut(id)?;
        if run.waiting.is_empty() {
            run.busy = false;
            return None;
        }
        let senders = std::mem::take(&mut run.waiting);
        if run.taken == 0 {
            run.starter.clone_from(&senders[0]);
        }
        let before = run.taken;
        run.taken += senders.len() as u64;
        Some(Batch { seq: run.seq, before, starter: run.starter.clone(), senders })
    }

    /// Sends what a record asks for.
    async fn follow_up(&self, key: &Key, batch: &mut Batch) -> Result<Next, Error> {
        let taken = batch.before + batch.senders.len() as u64;
        let started = batch.before == 0;
        match self.plot.story {
            Story::NoOp | Story::Payload(_) => self.end(&batch.starter).await,
            Story::Steps(steps) => {
                for _ in 0..steps {
                    batch.seq = self.append(key, batch.seq, 1, false).await?;
                }
                self.end(&batch.starter).await
            }
            Story::Activities(calls) | Story::Parallel(calls) if taken > calls => self.end(&batch.starter).await,
            Story::Activities(_) => self.send_task(key).await,
            Story::Parallel(calls) if started => {
                try_join_all((0..calls).map(|_| self.send_task(key))).await?;
                Ok(Next::Waits)
            }
            Story::Parallel(_) => Ok(Next::Waits),
            Story::Child => self.follow_up_family(key, started, &batch.starter).await,
            Story::Request | Story::Query | Story::Publish => {
                for sender in &batch.senders {
                    self.answer(sender).await?;
                }
                Ok(Next::Waits)
            }
        }
    }

    async fn follow_up_family(&self, key: &Key, started: bool, starter: &str) -> Result<Next, Error> {
        let engine = |verb, to: &Key| self.plot.subjects.inbox_engine(verb, &self.plot.queue, RunId::generate(), to);
        if let Some(parent) = key.as_str().strip_suffix(CHILD) {
            self.publish(engine(EngineVerb::Child, &Plot::key(parent)?), body("", BODY)).await?;
            return Ok(Next::Ended);
        }
        if !started {
            return self.end(starter).await;
        }
        let child = Plot::key(&format!("{key}{CHILD}"))?;
        self.publish(engine(EngineVerb::Start, &child), body("", BODY)).await?;
        Ok(Next::Waits)
    }

    async fn send_task(&self, key: &Key) -> Result<Next, Error> {
        self.publish(self.task.clone(), body(key.as_str(), BODY)).await?;
        Ok(Next::Waits)
    }

    /// Appends a record behind the last one.
    async fn append(&self, key: &Key, last: u64, taken: u64, is_first: bool) -> Result<u64, Error> {
        let record = body("", self.plot.story.record(taken, is_first));
        loop {
            match self.store(self.plot.subjects.history(key), expecting(last), record.clone()).await {
                Err(error) if is_premature(&error) => {}
                published => return published.map_err(Error::failed),
            }
        }
    }

    /// Publishes and waits until it is stored.
    async fn publish(&self, subject: String, body: Bytes) -> Result<u64, Error> {
        self.store(subject, HeaderMap::new(), body).await.map_err(Error::failed)
    }

    async fn store(&self, subject: String, headers: HeaderMap, body: Bytes) -> Result<u64, PublishError> {
        Ok(self.context.publish_with_headers(subject, headers, body).await?.await?.sequence)
    }

    async fn end(&self, starter: &str) -> Result<Next, Error> {
        self.answer(starter).await?;
        Ok(Next::Ended)
    }

    async fn answer(&self, to: &str) -> Result<(), Error> {
        let body = body("", self.plot.story.payload());
        self.client.publish(to.to_owned(), body).await.map_err(Error::failed)
    }

    /// Answers a query for a run that is there.
    async fn answer_query(self: Arc<Self>, query: Message) {
        let id = query.subject.rsplit('.').next().unwrap_or_default();
        let known = self.runs().contains_key(id);
        if let Some(reply) = query.reply.filter(|_| known)
            && let Err(error) = self.client.publish(reply, body("", 0)).await
        {
            self.plot.note(error);
        }
    }

    fn runs(&self) -> MutexGuard<'_, HashMap<String, Run>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a server with replicas refuses a record because the one before it, which it has acknowledged, still counts
/// as under way there.
fn is_premature(error: &PublishError) -> bool {
    let source = error.source().and_then(|source| source.downcast_ref::<jetstream::Error>());
    source.is_some_and(|error| error.error_code() == ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT)
}

/// The header that lets a message be stored only behind this one.
fn expecting(last: u64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, last.to_string());
    headers
}
