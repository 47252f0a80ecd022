//! One connection, as the rest of this module uses it.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_nats::{Client, HeaderMap, Message, PublishErrorKind, StatusCode, Subject, Subscriber, connection::State};
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    sync::{Mutex, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{
    refusal::{ApiError, Refusal},
    replies::Replies,
};
use crate::error::{Error, ErrorKind};

/// How long the server may take to answer. After it the outcome is unknown.
pub(super) const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// A call that may be repeated is, after so long and then after twice that and so on: a cluster that changes its leader
/// drops calls without a word.
const REPEAT_AFTER: Duration = Duration::from_secs(1);
/// How often is looked whether a lost connection is back, while something waits for it.
const RECONNECT_POLL: Duration = Duration::from_millis(20);
/// The longest subject and reply subject together, in bytes. The server ends connections over longer lines than 4 KiB.
const SUBJECTS_MAX: usize = 4000;

/// A connection and what belongs to it.
pub(super) struct Link {
    pub(super) client: Client,
    /// Without credentials, for messages.
    pub(super) url: String,
    pub(super) task_ack_wait: Duration,
    pub(super) replies: Arc<Replies>,
    /// Grows when the connection is lost.
    lost: watch::Receiver<u64>,
    /// How many sends wait for the connection to come back.
    waiting: AtomicUsize,
    /// Lets those that wait send in their order.
    turn: Mutex<()>,
    dispatcher: JoinHandle<()>,
}

impl Link {
    /// Takes over a connection. `subscriber` is the one to the replies' subject.
    pub(super) fn new(
        client: Client,
        url: String,
        task_ack_wait: Duration,
        replies: Arc<Replies>,
        subscriber: Subscriber,
        lost: watch::Receiver<u64>,
    ) -> Self {
        let dispatcher = tokio::spawn(replies.clone().run(subscriber));
        let (waiting, turn) = (AtomicUsize::new(0), Mutex::new(()));
        Self { client, url, task_ack_wait, replies, lost, waiting, turn, dispatcher }
    }

    /// Tells when the connection is lost: the value changes.
    pub(super) fn lost(&self) -> watch::Receiver<u64> {
        let mut lost = self.lost.clone();
        lost.mark_unchanged();
        lost
    }

    /// Sends a message. Returns when it is on its way, in the order of first polls.
    ///
    /// While there is no connection it waits, in that order, rather than leave the message in the client's buffer, where
    /// it would go out at some later time whether or not the caller still wants it.
    pub(super) async fn post(
        &self,
        subject: Subject,
        reply: Option<Subject>,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<(), Error> {
        check_subject(&subject, reply.as_ref())?;
        if self.waiting.load(Ordering::Acquire) > 0 || !self.is_connected() {
            let _waiting = Waiting::new(&self.waiting);
            let _turn = self.turn.lock().await;
            while !self.is_connected() {
                sleep(RECONNECT_POLL).await;
            }
            return self.push(subject, reply, headers, payload).await;
        }
        self.push(subject, reply, headers, payload).await
    }

    async fn push(
        &self,
        subject: Subject,
        reply: Option<Subject>,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<(), Error> {
        let told = subject.clone();
        // Without the runtime's budget, so that the first poll always takes its place in the queue.
        let pushed = tokio::task::unconstrained(async {
            match (reply, headers.is_empty()) {
                (Some(reply), true) => self.client.publish_with_reply(subject, reply, payload).await,
                (Some(reply), false) => {
                    self.client.publish_with_reply_and_headers(subject, reply, headers, payload).await
                }
                (None, true) => self.client.publish(subject, payload).await,
                (None, false) => self.client.publish_with_headers(subject, headers, payload).await,
            }
        });
        pushed.await.map_err(|error| match error.kind() {
            PublishErrorKind::MaxPayloadExceeded => Error::new(
                ErrorKind::TooLarge,
                format!(
                    "a message for {told} is larger than the server's max_payload of {}",
                    self.client.max_payload()
                ),
            ),
            PublishErrorKind::InvalidSubject => Error::new(ErrorKind::Other, format!("{told:?} is not a subject")),
            PublishErrorKind::Send => Error::new(ErrorKind::Unavailable, format!("cannot send to {told}: {error}")),
        })
    }

    /// Asks and waits for one answer. That nobody listens is an answer too: see [`is_unanswered`].
    pub(super) async fn ask(
        &self,
        subject: Subject,
        headers: HeaderMap,
        payload: Bytes,
        wait: Duration,
    ) -> Result<Message, Error> {
        let asked = subject.clone();
        let answer = async move {
            let mut expected = self.replies.expect(subject.clone());
            self.post(subject, Some(expected.reply()), headers, payload).await?;
            expected.answer().await
        };
        timeout(wait, answer).await.unwrap_or_else(|_| Err(self.no_answer(&asked, wait)))
    }

    /// Asks for something that may be asked repeatedly, and takes the first answer.
    pub(super) async fn ask_repeatedly(&self, subject: Subject, payload: Bytes) -> Result<Message, Error> {
        let answer = async {
            let mut expected = self.replies.expect(subject.clone());
            let mut repeat_after = REPEAT_AFTER;
            loop {
                self.post(subject.clone(), Some(expected.reply()), HeaderMap::new(), payload.clone()).await?;
                if let Ok(answer) = timeout(repeat_after, expected.answer()).await {
                    return answer;
                }
                repeat_after *= 2;
            }
        };
        timeout(ANSWER_WAIT, answer).await.unwrap_or_else(|_| Err(self.no_answer(&subject, ANSWER_WAIT)))
    }

    fn no_answer(&self, subject: &Subject, wait: Duration) -> Error {
        let connection = if self.is_connected() { "" } else { ", the connection is lost" };
        Error::new(ErrorKind::Unavailable, format!("no answer from {subject} within {wait:?}{connection}"))
    }

    /// Calls JetStream's API, for something that may be done twice.
    pub(super) async fn api<T: DeserializeOwned>(&self, call: &str, body: &impl Serialize) -> Result<T, Refusal> {
        let payload = serde_json::to_vec(body).map_err(|error| other(call, &error))?;
        read_api(call, &self.ask_repeatedly(format!("$JS.API.{call}").into(), payload.into()).await?)
    }

    /// Calls JetStream's API once.
    pub(super) async fn api_once<T: DeserializeOwned>(&self, call: &str, body: &impl Serialize) -> Result<T, Refusal> {
        let payload = serde_json::to_vec(body).map_err(|error| other(call, &error))?;
        let subject = format!("$JS.API.{call}").into();
        read_api(call, &self.ask(subject, HeaderMap::new(), payload.into(), ANSWER_WAIT).await?)
    }

    /// Returns when the server has taken in everything that was sent before.
    pub(super) async fn round_trip(&self) -> Result<(), Error> {
        let answer = async {
            // The message goes to this process's own inbox.
            let mut expected = self.replies.expect(Subject::from_static("a round trip"));
            self.post(expected.reply(), None, HeaderMap::new(), Bytes::new()).await?;
            expected.answer().await
        };
        match timeout(ANSWER_WAIT, answer).await {
            Ok(Ok(_)) => Ok(()),
            // It was taken in and refused, and so everything before was taken in.
            Ok(Err(error)) if error.kind == ErrorKind::Denied => Ok(()),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(Error::new(ErrorKind::Unavailable, format!("{} does not answer", self.url))),
        }
    }

    /// Listens to a subject.
    pub(super) async fn listen(&self, subject: String) -> Result<Subscriber, Error> {
        self.client
            .subscribe(subject.clone())
            .await
            .map_err(|error| Error::new(ErrorKind::Other, format!("cannot listen to {subject:?}: {error}")))
    }

    pub(super) fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Its subscription would keep the connection open for ever.
        self.dispatcher.abort();
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Counts one that waits, while it does.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Whether the server says that nobody listens.
pub(super) fn is_unanswered(message: &Message) -> bool {
    message.status == Some(StatusCode::NO_RESPONDERS)
}

/// Reads an answer of JetStream's API.
fn read_api<T: DeserializeOwned>(call: &str, answer: &Message) -> Result<T, Refusal> {
    #[derive(serde::Deserialize)]
    struct Envelope {
        error: Option<ApiError>,
    }
    if is_unanswered(answer) {
        let message = format!("nobody answers {call}: JetStream is off, or has no leader for it now");
        return Err(Error::new(ErrorKind::NoResponders, message).into());
    }
    let envelope: Envelope = serde_json::from_slice(&answer.payload).map_err(|error| other(call, &error))?;
    if let Some(error) = envelope.error {
        return Err(Refusal::new(call, &error));
    }
    serde_json::from_slice(&answer.payload).map_err(|error| other(call, &error).into())
}

fn other(call: &str, error: &serde_json::Error) -> Error {
    Error::new(ErrorKind::Other, format!("{call}: {error}"))
}

/// Refuses what must not reach the wire: too long, a wildcard, or a character that ends the line.
fn check_subject(subject: &Subject, reply: Option<&Subject>) -> Result<(), Error> {
    if subject.len() + reply.map_or(0, |reply| reply.len()) > SUBJECTS_MAX {
        return Err(Error::new(ErrorKind::Other, format!("a subject of {} bytes is too long", subject.len())));
    }
    let bad_token = |token: &[u8]| matches!(token, [] | [b'*' | b'>']);
    let bad_byte = |byte: u8| byte <= b' ' || byte == 0x7f;
    let bytes = subject.as_bytes();
    if bytes.iter().any(|byte| bad_byte(*byte)) || bytes.split(|byte| *byte == b'.').any(bad_token) {
        return Err(Error::new(ErrorKind::Other, format!("{:?} is not a subject to send to", subject.as_str())));
    }
    Ok(())
}
