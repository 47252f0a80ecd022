//! Answers to what this process asks: one subscription for all, so that thousands can be awaited at once.
//!
//! async-nats has the same in its requests. This one also forgets what nobody waits for any more, and ends waiting at
//! once when the connection is lost or the server says that a subject is forbidden.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use async_nats::{Message, Subject, Subscriber};
use futures_util::StreamExt;
use tokio::sync::oneshot;

use crate::error::{Error, ErrorKind};

type Answer = Result<Message, Error>;

#[derive(Debug)]
pub(super) struct Replies {
    prefix: String,
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, Waiting>>,
    /// Subjects that could not be listened to, until somebody asks.
    unheard: Mutex<HashSet<String>>,
}

/// How many subjects that nobody asks about are remembered.
const UNHEARD_MAX: usize = 1024;

#[derive(Debug)]
struct Waiting {
    subject: Subject,
    answer: oneshot::Sender<Answer>,
    /// Not yet sent, it has nothing to lose with a connection.
    sent: bool,
}

impl Replies {
    /// Answers that come to subjects below `prefix`.
    pub(super) fn new(prefix: String) -> Self {
        Self { prefix, next: AtomicU64::new(0), waiting: Mutex::default(), unheard: Mutex::default() }
    }

    /// What has to be subscribed for [`run`](Self::run).
    pub(super) fn subject(&self) -> String {
        format!("{}.*", self.prefix)
    }

    /// Awaits one answer to something sent to `subject`.
    pub(super) fn expect(self: &Arc<Self>, subject: Subject) -> Expected {
        self.expect_to(subject, true)
    }

    /// The same for something that is still to be sent, which may have to wait for a connection: see [`Expected::sent`].
    pub(super) fn expect_unsent(self: &Arc<Self>, subject: Subject) -> Expected {
        self.expect_to(subject, false)
    }

    fn expect_to(self: &Arc<Self>, subject: Subject, sent: bool) -> Expected {
        let (answer, receiver) = oneshot::channel();
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.waiting().insert(id, Waiting { subject, answer, sent });
        Expected { replies: self.clone(), id, receiver, answered: false }
    }

    /// Hands out answers until the subscription ends.
    pub(super) async fn run(self: Arc<Self>, mut subscriber: Subscriber) {
        while let Some(message) = subscriber.next().await {
            let id = message.subject.get(self.prefix.len() + 1..).and_then(|token| token.parse().ok());
            let waiting = id.and_then(|id: u64| self.waiting().remove(&id));
            if let Some(waiting) = waiting {
                // Whoever waited may have left in this moment.
                let _ = waiting.answer.send(Ok(message));
            }
        }
    }

    /// The connection is gone: what was sent on it gets no answer any more.
    pub(super) fn lost(&self) {
        let lost: Vec<_> = self.waiting().extract_if(|_, waiting| waiting.sent).map(|(_, waiting)| waiting).collect();
        for waiting in lost {
            let message = format!("the connection was lost before {} was answered", waiting.subject);
            let _ = waiting.answer.send(Err(Error::new(ErrorKind::Unavailable, message)));
        }
    }

    /// The server does not let this connection publish to `subject`.
    pub(super) fn denied(&self, subject: &str, reason: &str) {
        let denied: Vec<_> =
            self.waiting().extract_if(|_, waiting| waiting.subject.as_str() == subject).map(|(_, w)| w).collect();
        for waiting in denied {
            let message = format!("the server does not allow {subject}: {reason}");
            let _ = waiting.answer.send(Err(Error::new(ErrorKind::Denied, message)));
        }
    }

    /// The server does not let this connection listen to `subject`.
    pub(super) fn denied_to_listen(&self, subject: &str) {
        let mut unheard = self.unheard();
        if unheard.len() < UNHEARD_MAX {
            unheard.insert(subject.to_owned());
        }
    }

    /// Whether listening to `subject` was denied since this was asked last.
    pub(super) fn was_denied_to_listen(&self, subject: &str) -> bool {
        self.unheard().remove(subject)
    }

    fn unheard(&self) -> MutexGuard<'_, HashSet<String>> {
        self.unheard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<u64, Waiting>> {
        // Nothing panics while it holds the lock, and a map is whole at any time.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An answer that is awaited, until this is dropped.
#[derive(Debug)]
pub(super) struct Expected {
    replies: Arc<Replies>,
    id: u64,
    receiver: oneshot::Receiver<Answer>,
    answered: bool,
}

impl Expected {
    /// Where the answer has to go.
    pub(super) fn reply(&self) -> Subject {
        format!("{}.{}", self.replies.prefix, self.id).into()
    }

    /// What is to be answered is on its way.
    pub(super) fn sent(&self) {
        if let Some(waiting) = self.replies.waiting().get_mut(&self.id) {
            waiting.sent = true;
        }
    }

    /// Waits for it.
    pub(super) async fn answer(&mut self) -> Answer {
        let answer = (&mut self.receiver).await;
        self.answered = true;
        answer.unwrap_or_else(|_| Err(Error::new(ErrorKind::Unavailable, "the connection was closed")))
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        if !self.answered {
            self.replies.waiting().remove(&self.id);
        }
    }
}
