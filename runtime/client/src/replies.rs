//! Answers to this client's requests: one subscription for all of them, told apart by the last token of the subject.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use futures_util::StreamExt;
use highwater_broker::{Broker, Error, ErrorKind};
use highwater_protocol::{
    Headers, RunId, header,
    rejection::Rejection,
    reply::{Closed, Reply, Updated},
    request,
};
use tokio::{
    sync::{OnceCell, watch},
    task::AbortHandle,
};

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

type Waiting = Arc<Mutex<HashMap<u64, watch::Sender<Answers>>>>;

/// Hands out reply subjects and sorts what comes to them.
#[derive(Debug)]
pub(crate) struct Replies {
    inbox: String,
    next: AtomicU64,
    waiting: Waiting,
    /// The task behind the subscription. It begins with the first request, as a client that only reads needs none.
    reader: OnceCell<AbortHandle>,
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
        self.reader.get_or_try_init(|| self.listen(broker)).await?;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answers) = watch::channel(Answers::default());
        lock(&self.waiting).insert(number, sender);
        let subject = format!("{}.{number}", self.inbox);
        Ok(Expected { subject, answers, _slot: Slot { number, waiting: Arc::clone(&self.waiting) } })
    }

    async fn listen(&self, broker: &dyn Broker) -> Result<AbortHandle, Error> {
        let example = Headers::new().with(header::REPLY, format!("{}.0", self.inbox));
        if let Err(rejection) = request::reply(&example) {
            let text = format!("answers cannot come to this client, choose another inbox prefix: {}", rejection.reason);
            return Err(Error::new(ErrorKind::Other, text));
        }
        let mut messages = broker.subscribe(format!("{}.*", self.inbox)).await?;
        let waiting = Arc::clone(&self.waiting);
        let prefix_len = self.inbox.len() + 1;
        let task = tokio::spawn(async move {
            while let Some(message) = messages.next().await {
                let number = message.subject.get(prefix_len..).and_then(|token| token.parse::<u64>().ok());
                let (Some(number), Some(reply)) = (number, Reply::decode(&message.headers, &message.payload)) else {
                    tracing::debug!(subject = %message.subject, "a message that is no answer came to the client's inbox");
                    continue;
                };
                // Nobody there: whoever asked has left.
                if let Some(sender) = lock(&waiting).get(&number) {
                    sender.send_modify(|answers| answers.take(reply));
                }
            }
        });
        Ok(task.abort_handle())
    }
}

impl Drop for Replies {
    fn drop(&mut self) {
        if let Some(reader) = self.reader.get() {
            reader.abort();
        }
    }
}

fn lock(waiting: &Waiting) -> MutexGuard<'_, HashMap<u64, watch::Sender<Answers>>> {
    // Nothing panics while it holds the lock, and a map is whole at any time.
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A request's reply subject, until this is dropped.
#[derive(Debug)]
pub(crate) struct Expected {
    subject: String,
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
