//! Answers to this client's requests: one subscription for all of them, told apart by the last token of the subject.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use futures_util::{StreamExt, stream};
use highwater_broker::{BoxStream, Broker, Error, ErrorKind, PlainMessage};
use highwater_protocol::{
    Headers, RunId, header,
    rejection::Rejection,
    reply::{Closed, Reply, Updated},
    request,
    subject::Subjects,
};
use tokio::{
    sync::{OnceCell, watch},
    task::AbortHandle,
};

use crate::early::Early;

/// What has been answered to one request so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers {
    pub(crate) accepted: Option<RunId>,
    pub(crate) rejected: Option<Rejection>,
    pub(crate) updated: Option<Updated>,
    pub(crate) closed: Option<Closed>,
}

impl Answers {
    pub(crate) fn is_empty(&self) -> bool {
        self.accepted.is_none() && self.rejected.is_none() && self.updated.is_none() && self.closed.is_none()
    }

    fn take(&mut self, reply: Reply) {
        match reply {
            Reply::Accepted { run } => self.accepted = Some(run),
            Reply::Rejected(rejection) => self.rejected = Some(rejection),
            Reply::Closed(closed) => self.closed = Some(closed),
            Reply::Updated(updated) => self.updated = Some(updated),
        }
    }
}

type Waiting = Arc<Mutex<HashMap<u64, Asked>>>;

/// A request that is not done with.
#[derive(Debug)]
struct Asked {
    answers: watch::Sender<Answers>,
    early: Early,
}

impl Asked {
    fn take(&self, reply: Reply) {
        self.answers.send_modify(|answers| answers.take(reply));
    }
}

/// Hands out reply subjects and sorts what comes to them.
#[derive(Debug)]
pub(crate) struct Replies {
    inbox: String,
    next: AtomicU64,
    waiting: Waiting,
    /// It begins with the first request, as a client that only reads needs none.
    reader: OnceCell<Reader>,
}

/// The task behind the subscriptions.
#[derive(Debug)]
struct Reader {
    task: AbortHandle,
    /// It hears what becomes of records that early answers tell of.
    takes_early: bool,
}

impl Replies {
    pub(crate) fn new(broker: &dyn Broker) -> Self {
        Self {
            inbox: broker.new_inbox(),
            next: AtomicU64::new(0),
            waiting: Waiting::default(),
            reader: OnceCell::new(),
        }
    }

    /// A reply subject of its own for one request.
    pub(crate) async fn expect(&self, broker: &dyn Broker) -> Result<Expected, Error> {
        let reader = self.reader.get_or_try_init(|| self.listen(broker)).await?;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answers) = watch::channel(Answers::default());
        lock(&self.waiting).insert(number, Asked { answers: sender, early: Early::default() });
        let subject = format!("{}.{number}", self.inbox);
        let slot = Slot { number, waiting: Arc::clone(&self.waiting) };
        Ok(Expected { subject, takes_early: reader.takes_early, answers, _slot: slot })
    }

    async fn listen(&self, broker: &dyn Broker) -> Result<Reader, Error> {
        let example = Headers::new().with(header::REPLY, format!("{}.0", self.inbox));
        if let Err(rejection) = request::reply(&example) {
            let text = format!("answers cannot come to this client, choose another inbox prefix: {}", rejection.reason);
            return Err(Error::new(ErrorKind::Other, text));
        }
        let subjects = broker.subjects().clone();
        let (mut messages, acks) =
            tokio::try_join!(broker.subscribe(format!("{}.*", self.inbox)), early_acks(broker, &self.inbox))?;
        let takes_early = acks.is_some();
        let mut acks = acks.unwrap_or_else(|| Box::pin(stream::pending()));
        let waiting = Arc::clone(&self.waiting);
        let prefix_len = self.inbox.len() + 1;
        let task = tokio::spawn(async move {
            loop {
                tokio::select! {
                    biased;
                    Some(message) = messages.next() => answered(&waiting, prefix_len, message),
                    Some(ack) = acks.next() => acknowledged(&waiting, &subjects, ack),
                    else => return,
                }
            }
        });
        Ok(Reader { task: task.abort_handle(), takes_early })
    }
}

/// Where acknowledgements of records come that early answers tell of. Nothing where the server forbids to listen there,
/// or where there is no way to save.
async fn early_acks(broker: &dyn Broker, inbox: &str) -> Result<Option<BoxStream<PlainMessage>>, Error> {
    if broker.is_in_process() {
        return Ok(None);
    }
    match broker.subscribe(broker.subjects().early_acks_of_sender(inbox)).await {
        Err(error) if error.kind == ErrorKind::Denied => {
            tracing::debug!(%error, "answers come after their records are stored, which takes a little longer");
            Ok(None)
        }
        acks => acks.map(Some),
    }
}

fn answered(waiting: &Waiting, prefix_len: usize, message: PlainMessage) {
    let number = message.subject.get(prefix_len..).and_then(|token| token.parse::<u64>().ok());
    let (Some(number), Some(reply)) = (number, Reply::decode(&message.headers, &message.payload)) else {
        tracing::debug!(subject = %message.subject, "a message that is no answer came to the client's inbox");
        return;
    };
    // Nobody there: whoever asked has left.
    let mut waiting = lock(waiting);
    let Some(asked) = waiting.get_mut(&number) else { return };
    let counts = match message.reply {
        None => Some(reply),
        Some(ack) => asked.early.answered(ack, reply),
    };
    if let Some(reply) = counts {
        asked.take(reply);
    }
}

fn acknowledged(waiting: &Waiting, subjects: &Subjects, ack: PlainMessage) {
    let number = subjects.early_ack_request(&ack.subject).and_then(|request| request.parse::<u64>().ok());
    let mut waiting = lock(waiting);
    let Some(asked) = number.and_then(|number| waiting.get_mut(&number)) else { return };
    if let Some(reply) = asked.early.acknowledged(ack.subject, &ack.payload) {
        asked.take(reply);
    }
}

impl Drop for Replies {
    fn drop(&mut self) {
        if let Some(reader) = self.reader.get() {
            reader.task.abort();
        }
    }
}

fn lock(waiting: &Waiting) -> MutexGuard<'_, HashMap<u64, Asked>> {
    // Nothing panics while it holds the lock, and a map is whole at any time.
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A request's reply subject, until this is dropped.
#[derive(Debug)]
pub(crate) struct Expected {
    subject: String,
    takes_early: bool,
    answers: watch::Receiver<Answers>,
    _slot: Slot,
}

#[derive(Debug)]
struct Slot {
    number: u64,
    waiting: Waiting,
}

impl Drop for Slot {
    fn drop(&mut self) {
        lock(&self.waiting).remove(&self.number);
    }
}

impl Expected {
    pub(crate) fn subject(&self) -> &str {
        &self.subject
    }

    /// What the request says in [`header::EARLY`].
    pub(crate) fn early(&self) -> Option<&'static str> {
        self.takes_early.then_some("1")
    }

    /// Waits for the first answer.
    pub(crate) async fn first(&self) -> Answers {
        self.until(|answers| (!answers.is_empty()).then(|| answers.clone())).await
    }

    /// Waits until there is something that `wanted` finds. Never ends when it does not come.
    pub(crate) async fn until<T>(&self, wanted: impl Fn(&Answers) -> Option<T>) -> T {
        let mut answers = self.answers.clone();
        let found = answers.wait_for(|answers| wanted(answers).is_some()).await.map(|found| wanted(&found));
        match found {
            Ok(Some(found)) => found,
            // The sender lives as long as the slot, and so as long as this.
            _ => std::future::pending().await,
        }
    }
}
