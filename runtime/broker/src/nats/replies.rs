//! Answers to what this process asks: one subscription for all, so that thousands can be awaited at once.
//!
//! async-nats has the same in its requests. This one also forgets what nobody waits for any more, and ends waiting at
//! once when the connection is lost or the server says that a subject is forbidden. One clock ends waiting for all that
//! were not answered in time: a timer for each took more than a tenth of what it costs to publish.

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    fmt::Write,
    hash::{BuildHasherDefault, Hasher},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_nats::{Client, Message, Subject, Subscriber, connection::State};
use futures_util::StreamExt;
use tokio::{sync::oneshot, time::sleep};

use crate::error::{Error, ErrorKind};

type Answer = Result<Message, Error>;
type WaitingByNumber = HashMap<u64, Waiting, BuildHasherDefault<NumberHasher>>;

/// How long the server may take to answer. After it the outcome is unknown.
pub(super) const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// How often is looked whose time is over.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// After so many looks it is, as the first of them may come at once.
const LOOKS_MAX: u32 = (ANSWER_WAIT.as_millis() / LOOK_EVERY.as_millis()) as u32 + 1;

#[derive(Debug)]
pub(super) struct Replies {
    prefix: String,
    next: AtomicU64,
    waiting: Mutex<WaitingByNumber>,
    /// How often was looked whose time is over.
    looks: AtomicU32,
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
    /// The answer comes to a subject of another subscription's.
    elsewhere: bool,
    /// The look at which its time is over; none where whoever waits sees to that himself.
    until: Option<u32>,
}

/// Spreads consecutive numbers, which nobody else chooses, over a table.
#[derive(Debug, Default)]
struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only numbers are hashed");
    }

    fn write_u64(&mut self, number: u64) {
        // The golden ratio, as in Knuth, The Art of Computer Programming, volume 3, 6.4.
        self.0 = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }
}

impl Replies {
    /// Answers that come to subjects below `prefix`.
    pub(super) fn new(prefix: String) -> Self {
        Self {
            prefix,
            next: AtomicU64::new(0),
            waiting: Mutex::default(),
            looks: AtomicU32::new(0),
            unheard: Mutex::default(),
        }
    }

    /// What has to be subscribed for [`run`](Self::run).
    pub(super) fn subject(&self) -> String {
        format!("{}.*", self.prefix)
    }

    /// Awaits one answer to something sent to `subject`, however long that takes.
    pub(super) fn expect(self: &Arc<Self>, subject: Subject) -> Expected {
        self.add(subject, None)
    }

    /// The same for [`ANSWER_WAIT`], or half a second more.
    pub(super) fn expect_in_time(self: &Arc<Self>, subject: Subject) -> Expected {
        let until = self.looks.load(Ordering::Relaxed).wrapping_add(LOOKS_MAX);
        self.add(subject, Some(until))
    }

    fn add(self: &Arc<Self>, subject: Subject, until: Option<u32>) -> Expected {
        let (answer, receiver) = oneshot::channel();
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.waiting().insert(id, Waiting { subject, answer, sent: true, elsewhere: false, until });
        Expected { replies: self.clone(), id, receiver, answered: false }
    }

    /// Hands out answers, and ends waiting for those that do not come, until the subscription ends.
    pub(super) async fn run(self: Arc<Self>, client: Client, subscriber: Subscriber) {
        tokio::select! {
            biased;
            () = self.hand_out(subscriber) => {}
            never = self.keep_time(&client) => match never {},
        }
    }

    /// Hands out answers whose subjects end with the number that is waited for, until the subscription ends.
    pub(super) async fn hand_out(&self, mut subscriber: Subscriber) {
        while let Some(message) = subscriber.next().await {
            let number = message.subject.rsplit('.').next().and_then(|token| token.parse::<u64>().ok());
            let waiting = number.and_then(|number| self.waiting().remove(&number));
            if let Some(waiting) = waiting {
                // Whoever waited may have left in this moment.
                let _ = waiting.answer.send(Ok(message));
            }
        }
    }

    /// Ends waiting for what was not answered in time.
    async fn keep_time(&self, client: &Client) -> Infallible {
        loop {
            sleep(LOOK_EVERY).await;
            let look = self.looks.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
            let late: Vec<_> = self
                .waiting()
                .extract_if(|_, waiting| waiting.until == Some(look))
                .map(|(_, waiting)| waiting)
                .collect();
            for waiting in late {
                let error = no_answer(client, &waiting.subject, ANSWER_WAIT);
                let _ = waiting.answer.send(Err(error));
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

    /// The server does not let this connection listen to `subject`, perhaps not any more. Which answers were to come
    /// there is not told by each, so none that comes elsewhere than to this process's inbox is waited for.
    pub(super) fn denied_to_listen(&self, subject: &str) {
        let mut unheard = self.unheard();
        if unheard.len() < UNHEARD_MAX {
            unheard.insert(subject.to_owned());
        }
        drop(unheard);
        let lost: Vec<_> = self.waiting().extract_if(|_, waiting| waiting.elsewhere).map(|(_, w)| w).collect();
        for waiting in lost {
            let message =
                format!("the answer from {} cannot be heard: listening to {subject} is denied", waiting.subject);
            let _ = waiting.answer.send(Err(Error::new(ErrorKind::Unavailable, message)));
        }
    }

    /// Whether listening to `subject` was denied since this was asked last.
    pub(super) fn was_denied_to_listen(&self, subject: &str) -> bool {
        self.unheard().remove(subject)
    }

    fn unheard(&self) -> MutexGuard<'_, HashSet<String>> {
        self.unheard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self) -> MutexGuard<'_, WaitingByNumber> {
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
        let digits = self.id.checked_ilog10().unwrap_or(0) as usize + 1;
        // Room for exactly that, or the subject needs an allocation more, for every message.
        let mut subject = String::with_capacity(self.replies.prefix.len() + 1 + digits);
        let _ = write!(subject, "{}.{}", self.replies.prefix, self.id);
        subject.into()
    }

    /// The last token of [`reply`](Self::reply).
    pub(super) fn number(&self) -> u64 {
        self.id
    }

    /// Whether the answer is there.
    pub(super) fn is_answered(&self) -> bool {
        !self.receiver.is_empty()
    }

    /// Whether what is to be answered is on its way, as it is taken to be at first. While it is not it has nothing to
    /// lose with a connection.
    pub(super) fn set_sent(&self, sent: bool) {
        if let Some(waiting) = self.replies.waiting().get_mut(&self.id) {
            waiting.sent = sent;
        }
    }

    /// The answer comes to another subscription's subject, from which it is handed out as well.
    pub(super) fn comes_elsewhere(&self) {
        if let Some(waiting) = self.replies.waiting().get_mut(&self.id) {
            waiting.elsewhere = true;
        }
    }

    /// Waits for it, once.
    pub(super) async fn answer(&mut self) -> Answer {
        debug_assert!(!self.answered, "an answer comes once");
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

/// That no answer came within `wait`.
pub(super) fn no_answer(client: &Client, subject: &str, wait: Duration) -> Error {
    let connection = if is_connected(client) { "" } else { ", the connection is lost" };
    Error::new(ErrorKind::Unavailable, format!("no answer from {subject} within {wait:?}{connection}"))
}

pub(super) fn is_connected(client: &Client) -> bool {
    client.connection_state() == State::Connected
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn an_answer_that_cannot_be_heard_any_more_is_not_waited_for() {
        let replies = Arc::new(Replies::new("_INBOX.a".into()));
        let expected = || replies.expect_in_time("hw.shop.h.0.order".into());
        let (mut here, mut there) = (expected(), expected());
        there.comes_elsewhere();
        replies.denied_to_listen("hw.shop.ack.*.*.a.*");
        let answer = there.answer().now_or_never().expect("it is over");
        assert_eq!(answer.unwrap_err().kind, ErrorKind::Unavailable);
        assert!(here.answer().now_or_never().is_none(), "what comes to the inbox may still come");
    }
}
