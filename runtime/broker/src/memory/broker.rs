//! A namespace in memory, as the engine uses it.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use highwater_protocol::{QueueName, Timestamp, subject::Subjects};
use tokio::time::{Instant, timeout};

use super::{
    Faults, MemoryOptions,
    router::is_wild,
    shared::{Shared, Topic},
    state::State,
    subscription::Subscription,
    waits::{Reader, changes, take},
};
use crate::{
    broker::{BoxFuture, BoxStream, Broker, Bucket, Entry, KvEvent, Publish, Stream},
    error::{Error, ErrorKind},
    message::{Delivered, Message, PlainMessage, PubAck, Task},
    rules::check_key,
};

/// How many tasks one call takes at most, as over NATS.
const TAKE_MAX: usize = 256;

/// A namespace in memory. Clones share it.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?.block_on(async {
/// use highwater_broker::{Broker, Publish, Stream, memory::MemoryOptions};
/// use highwater_protocol::{Namespace, WorkflowId};
///
/// let broker = MemoryOptions::new(Namespace::new("shop")?).build();
/// let subject = broker.subjects().history(&WorkflowId::new("order-1")?.to_key());
/// let ack = broker.publish(Publish { subject, payload: "first".into(), ..Publish::default() }).await?;
/// assert_eq!(broker.get(Stream::History, ack.seq).await?.unwrap().payload, "first");
/// # Ok::<_, Box<dyn std::error::Error>>(()) })?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct MemoryBroker {
    shared: Arc<Shared>,
    /// Whoever waits by this handle is told when there is nothing to wait for.
    attended: bool,
}

impl fmt::Debug for MemoryBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBroker").field("namespace", &self.shared.options.namespace).finish_non_exhaustive()
    }
}

impl MemoryBroker {
    pub(super) fn new(options: MemoryOptions) -> Self {
        Self { shared: Arc::new(Shared::new(options)), attended: false }
    }

    /// What a test can have go wrong.
    pub fn faults(&self) -> Faults {
        Faults::new(Arc::clone(&self.shared))
    }

    /// The time by the broker's clock.
    pub fn now(&self) -> Timestamp {
        self.shared.now()
    }

    /// When the next schedule fires: an armed timer, or a later attempt of an activity.
    pub fn next_schedule(&self) -> Option<Timestamp> {
        let state = self.shared.lock();
        [Stream::Tasks, Stream::Timers].into_iter().filter_map(|stream| state.log(stream).next_due()).min()
    }

    /// All messages of a stream as they are now, in order.
    pub fn messages(&self, stream: Stream) -> Vec<Message> {
        self.shared.lock().log(stream).all().cloned().collect()
    }

    /// A handle whose calls, and waits for plain messages to a subject without wildcards, panic once the broker has
    /// been [given up](Self::give_up). For what a test itself awaits.
    pub fn attended(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), attended: true }
    }

    /// Nothing more will happen, for this reason: whoever waits by an [attended](Self::attended) handle panics with it,
    /// and nobody is given messages of streams or tasks any more. The first reason counts.
    pub fn give_up(&self, reason: String) {
        self.shared.give_up(reason);
    }

    /// Why the broker was given up.
    pub fn given_up(&self) -> Option<&str> {
        self.shared.given_up()
    }

    /// Does something with the state at once.
    fn call<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Shared, &mut State) -> Result<T, Error> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, Error>> {
        let (shared, attended) = (Arc::clone(&self.shared), self.attended);
        Box::pin(async move {
            shared.check_hope(attended);
            let mut state = shared.lock();
            state.faults.check()?;
            act(&shared, &mut state)
        })
    }

    fn read_one(
        &self,
        find: impl FnOnce(&State) -> Option<&Message> + Send + 'static,
    ) -> BoxFuture<'static, Result<Option<Message>, Error>> {
        self.call(|_, state| Ok(find(state).cloned()))
    }

    fn change_bucket<T: Send + 'static>(
        &self,
        bucket: Bucket,
        key: String,
        change: impl FnOnce(&mut super::bucket::Values, String) -> Result<T, Error> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, Error>> {
        self.call(move |shared, state| {
            check_key(&key, &format!("{bucket:?}"))?;
            let done = change(state.bucket(bucket), key);
            shared.wake(Topic::Bucket(bucket));
            done
        })
    }
}

impl Broker for MemoryBroker {
    fn subjects(&self) -> &Subjects {
        &self.shared.subjects
    }

    fn payload_max(&self) -> usize {
        self.shared.options.message_max
    }

    fn server_time(&self) -> BoxFuture<'static, Result<Timestamp, Error>> {
        self.call(|shared, _| Ok(shared.now()))
    }

    fn publish(&self, message: Publish) -> BoxFuture<'static, Result<PubAck, Error>> {
        self.call(|shared, state| {
            let fault = state.faults.meet_publish(&message.subject);
            if let Some((false, error)) = fault {
                return Err(error);
            }
            let (stream, ack) = state.publish(message, shared.now())?;
            shared.wake(Topic::Stream(stream));
            fault.map_or(Ok(ack), |(_, error)| Err(error))
        })
    }

    fn get(&self, stream: Stream, seq: u64) -> BoxFuture<'static, Result<Option<Message>, Error>> {
        self.read_one(move |state| state.log(stream).get(seq))
    }

    fn get_from_leader(&self, stream: Stream, seq: u64) -> BoxFuture<'static, Result<Option<Message>, Error>> {
        self.get(stream, seq)
    }

    fn last(&self, stream: Stream, subject: String) -> BoxFuture<'static, Result<Option<Message>, Error>> {
        self.read_one(move |state| state.log(stream).last(&subject))
    }

    fn last_from_leader(&self, stream: Stream, subject: String) -> BoxFuture<'static, Result<Option<Message>, Error>> {
        self.last(stream, subject)
    }

    fn last_seq(&self, stream: Stream) -> BoxFuture<'static, Result<u64, Error>> {
        self.call(move |_, state| Ok(state.log(stream).last_seq()))
    }

    fn delete(&self, stream: Stream, seq: u64) -> BoxFuture<'static, Result<(), Error>> {
        self.call(move |_, state| {
            state.remove(stream, seq);
            Ok(())
        })
    }

    fn purge(&self, stream: Stream, subject: String, up_to: u64) -> BoxFuture<'static, Result<u64, Error>> {
        self.call(move |_, state| {
            if subject.is_empty() {
                return Err(Error::new(ErrorKind::Other, format!("purging {stream:?}: no subject is named")));
            }
            let seqs = state.log(stream).up_to(&subject, up_to);
            for seq in &seqs {
                state.remove(stream, *seq);
            }
            Ok(seqs.len() as u64)
        })
    }

    fn read(
        &self,
        stream: Stream,
        subjects: Vec<String>,
        from_seq: u64,
    ) -> BoxFuture<'static, Result<BoxStream<Result<Delivered, Error>>, Error>> {
        let position = from_seq.saturating_sub(1);
        let shared = Arc::clone(&self.shared);
        self.call(move |_, state| {
            let last = state.log(stream).last_seq();
            if last < position {
                let text = format!(
                    "the stream {stream:?} went backwards, messages are lost: it had {position} messages and has {last}"
                );
                return Err(Error::new(ErrorKind::Other, text));
            }
            let reader = Reader { shared, stream, filters: subjects, position, to_catch_up: Some(last) };
            let messages: BoxStream<_> = Box::pin(stream::unfold(reader, async |mut reader| {
                let delivered = reader.next().await;
                Some((Ok(delivered), reader))
            }));
            Ok(messages)
        })
    }

    fn take_tasks(&self, queue: QueueName, max: usize, wait: Duration) -> BoxFuture<'static, Result<Vec<Task>, Error>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            shared.lock().faults.check()?;
            let max = max.min(TAKE_MAX);
            if max == 0 {
                return Ok(Vec::new());
            }
            let queue = queue.to_key().to_string();
            let taking = shared.wait(Topic::Stream(Stream::Tasks), |state| take(&shared, state, &queue, max));
            // A wait beyond what instants can tell has no end.
            match Instant::now().checked_add(wait) {
                Some(_) => Ok(timeout(wait, taking).await.unwrap_or_default()),
                None => Ok(taking.await),
            }
        })
    }

    fn task_ack_wait(&self) -> Duration {
        if self.shared.options.in_process { Duration::MAX } else { self.shared.options.task_ack_wait }
    }

    fn kv_get(&self, bucket: Bucket, key: String) -> BoxFuture<'static, Result<Option<Entry>, Error>> {
        self.change_bucket(bucket, key, |values, key| Ok(values.get(&key)))
    }

    fn kv_put(
        &self,
        bucket: Bucket,
        key: String,
        value: Bytes,
        revision: Option<u64>,
    ) -> BoxFuture<'static, Result<u64, Error>> {
        self.change_bucket(bucket, key, move |values, key| values.put(key, value, revision, Instant::now()))
    }

    fn kv_delete(&self, bucket: Bucket, key: String) -> BoxFuture<'static, Result<(), Error>> {
        self.change_bucket(bucket, key, |values, key| {
            values.delete(key, Instant::now());
            Ok(())
        })
    }

    fn kv_watch(&self, bucket: Bucket) -> BoxFuture<'static, Result<BoxStream<Result<KvEvent, Error>>, Error>> {
        let handle = Arc::clone(&self.shared);
        self.call(move |_, state| {
            let events = state.bucket(bucket).watch();
            Ok(changes(handle, bucket, events))
        })
    }

    fn kv_list(&self, bucket: Bucket) -> BoxFuture<'static, Result<Vec<(String, Entry)>, Error>> {
        self.call(move |_, state| Ok(state.bucket(bucket).list()))
    }

    fn kv_ttl(&self, bucket: Bucket) -> Option<Duration> {
        self.shared.options.ttl(bucket)
    }

    fn send(&self, message: PlainMessage) -> BoxFuture<'static, Result<(), Error>> {
        self.call(move |shared, state| {
            let (_, stored) = state.send(&message, shared.now())?;
            if let Some(stream) = stored {
                shared.wake(Topic::Stream(stream));
            }
            Ok(())
        })
    }

    fn request(&self, message: PlainMessage, wait: Duration) -> BoxFuture<'static, Result<PlainMessage, Error>> {
        let broker = self.clone();
        Box::pin(async move {
            let subject = message.subject.clone();
            let reply = broker.new_inbox();
            let mut subscription = Subscription::new(&broker.shared, &reply)?;
            let asked = PlainMessage { reply: Some(reply), ..message };
            if !broker.shared.lock().send(&asked, broker.now())?.0 {
                return Err(Error::new(ErrorKind::NoResponders, format!("nobody listens to {subject}")));
            }
            let answer = timeout(wait, subscription.messages.recv()).await.ok().flatten();
            answer
                .ok_or_else(|| Error::new(ErrorKind::Unavailable, format!("no answer from {subject} within {wait:?}")))
        })
    }

    fn subscribe(&self, subject: String) -> BoxFuture<'static, Result<BoxStream<PlainMessage>, Error>> {
        let (shared, attended) = (Arc::clone(&self.shared), self.attended);
        Box::pin(async move {
            shared.check_hope(attended);
            let subscription = Subscription::new(&shared, &subject)?;
            let hopes = attended && !is_wild(&subject);
            let messages: BoxStream<_> = Box::pin(stream::unfold(subscription, move |mut subscription| async move {
                let message = tokio::select! {
                    message = subscription.messages.recv() => message?,
                    () = subscription.shared.no_hope(), if hopes => return None,
                };
                Some((message, subscription))
            }));
            Ok(messages)
        })
    }

    fn new_inbox(&self) -> String {
        format!("_INBOX.{}", self.shared.next_inbox())
    }

    fn flush(&self) -> BoxFuture<'static, Result<(), Error>> {
        self.call(|_, _| Ok(()))
    }

    fn is_in_process(&self) -> bool {
        self.shared.options.in_process
    }

    fn dedicated(&self) -> BoxFuture<'static, Result<Arc<dyn Broker>, Error>> {
        // There is no connection.
        let broker: Arc<dyn Broker> = Arc::new(self.clone());
        self.call(|_, _| Ok(broker))
    }
}
