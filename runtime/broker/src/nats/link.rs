//! One connection, as the rest of this module uses it.

use std::{fmt, mem, sync::Arc, time::Duration};

use async_nats::{Client, HeaderMap, Message, StatusCode, Subject, Subscriber};
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{sync::watch, task::JoinHandle, time::timeout};

use super::{
    outbox::{Outbox, Outgoing, Posted},
    refusal::{ApiError, Refusal},
    replies::{Expected, Replies, is_connected, no_answer},
};
use crate::error::{Error, ErrorKind};

pub(super) use super::replies::ANSWER_WAIT;

/// A call that may be repeated is, after so long and then after twice that and so on: a cluster that changes its leader
/// drops calls without a word.
pub(super) const REPEAT_AFTER: Duration = Duration::from_secs(1);

/// A connection and what belongs to it.
pub(super) struct Link {
    pub(super) client: Client,
    /// Without credentials, for messages.
    pub(super) url: String,
    pub(super) task_ack_wait: Duration,
    pub(super) replies: Arc<Replies>,
    /// Grows when the connection is lost.
    lost: watch::Receiver<u64>,
    outbox: Outbox,
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
        let dispatcher = tokio::spawn(replies.clone().run(client.clone(), subscriber));
        let outbox = Outbox::new(client.clone());
        Self { client, url, task_ack_wait, replies, lost, outbox, dispatcher }
    }

    /// Tells when the connection is lost: the value changes.
    pub(super) fn lost(&self) -> watch::Receiver<u64> {
        let mut lost = self.lost.clone();
        lost.mark_unchanged();
        lost
    }

    /// Sends a message. Returns when it is on its way, in the order of first polls.
    pub(super) async fn post(
        &self,
        subject: Subject,
        reply: Option<Subject>,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<(), Error> {
        self.outbox.post(Outgoing { subject, reply, headers, payload }).sent().await
    }

    /// Sends something that nobody answers.
    pub(super) async fn send_off(
        &self,
        subject: Subject,
        reply: Option<Subject>,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<(), Error> {
        match self.outbox.post(Outgoing { subject: subject.clone(), reply, headers, payload }) {
            Posted::Done(result) => result,
            waits @ Posted::Waits(_) => timeout(ANSWER_WAIT, waits.sent()).await.unwrap_or_else(|_| {
                Err(Error::new(ErrorKind::Unavailable, format!("no connection to send to {subject}")))
            }),
        }
    }

    /// Sends something that is in no hurry and that nobody answers, within some milliseconds.
    pub(super) fn post_later(&self, subject: Subject, payload: Bytes) -> Result<(), Error> {
        self.outbox.post_later(Outgoing { subject, reply: None, headers: HeaderMap::new(), payload })
    }

    /// Sends what is in no hurry now, if there is a connection.
    pub(super) fn hurry(&self) {
        self.outbox.hurry();
    }

    /// Asks and waits for one answer, for [`ANSWER_WAIT`]. That nobody listens is an answer too: see [`is_unanswered`].
    pub(super) async fn ask(&self, subject: Subject, headers: HeaderMap, payload: Bytes) -> Result<Message, Error> {
        let mut exchange = self.begin(subject, headers, payload);
        exchange.answer().await
    }

    /// Asks at once, and tells how to wait for the answer, which takes little room: there may be thousands of these.
    pub(super) fn begin(&self, subject: Subject, headers: HeaderMap, payload: Bytes) -> Exchange {
        self.begin_awaiting(self.replies.expect_in_time(subject.clone()), None, subject, headers, payload)
    }

    /// The same as [`ask`](Self::ask) for as long as is said.
    pub(super) async fn ask_for(
        &self,
        wait: Duration,
        subject: Subject,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<Message, Error> {
        let expected = self.replies.expect(subject.clone());
        let mut exchange = self.begin_awaiting(expected, None, subject.clone(), headers, payload);
        timeout(wait, exchange.answer()).await.unwrap_or_else(|_| Err(self.no_answer(&subject, wait)))
    }

    /// The same with a given answer to await, which comes to `reply` or to its own subject.
    pub(super) fn begin_awaiting(
        &self,
        expected: Expected,
        reply: Option<Subject>,
        subject: Subject,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Exchange {
        if reply.is_some() {
            expected.comes_elsewhere();
        }
        let reply = reply.or_else(|| Some(expected.reply()));
        let message = Outgoing { subject, reply, headers, payload };
        let posted = self.outbox.post(message);
        if let Posted::Waits(_) = posted {
            expected.set_sent(false);
        }
        Exchange { posted, expected }
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

    pub(super) fn no_answer(&self, subject: &Subject, wait: Duration) -> Error {
        no_answer(&self.client, subject, wait)
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
        read_api(call, &self.ask(subject, HeaderMap::new(), payload.into()).await?)
    }

    /// Returns when the server has taken in everything that was sent before.
    pub(super) async fn round_trip(&self) -> Result<(), Error> {
        self.hurry();
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

    /// Sends something that is of use only right now: not at all while there is no connection. Says whether it did.
    pub(super) fn send_now(&self, message: Outgoing) -> bool {
        matches!(self.outbox.post(message), Posted::Done(Ok(())))
    }

    /// Listens to a subject. When this returns, the server knows.
    pub(super) async fn listen_for_certain(&self, subject: String) -> Result<Subscriber, Error> {
        let subscriber = self.listen(subject.clone()).await?;
        self.round_trip().await?;
        // That it is not allowed comes before the answer, by another way; after a second one it has arrived.
        self.round_trip().await?;
        if self.replies.was_denied_to_listen(&subject) {
            return Err(Error::new(ErrorKind::Denied, format!("the server does not allow to listen to {subject}")));
        }
        Ok(subscriber)
    }

    /// Listens to a subject.
    pub(super) async fn listen(&self, subject: String) -> Result<Subscriber, Error> {
        self.client
            .subscribe(subject.clone())
            .await
            .map_err(|error| Error::new(ErrorKind::Other, format!("cannot listen to {subject:?}: {error}")))
    }

    pub(super) fn is_connected(&self) -> bool {
        is_connected(&self.client)
    }
}

/// Something that was asked.
pub(super) struct Exchange {
    posted: Posted,
    expected: Expected,
}

impl Exchange {
    /// Where the answer has to go.
    pub(super) fn reply(&self) -> Subject {
        self.expected.reply()
    }

    /// Whether it went out at once.
    pub(super) fn is_sent(&self) -> bool {
        matches!(self.posted, Posted::Done(Ok(())))
    }

    /// Whether the answer is there, so that nobody will wait for it.
    pub(super) fn is_answered(&self) -> bool {
        self.expected.is_answered()
    }

    /// Waits for the answer, once. What is not sent yet never will be when this is dropped.
    pub(super) async fn answer(&mut self) -> Result<Message, Error> {
        match mem::replace(&mut self.posted, Posted::Done(Ok(()))) {
            Posted::Done(result) => result?,
            // Thousands are under way at once, and few of them wait for a connection.
            waits @ Posted::Waits(_) => return Box::pin(self.answer_once_sent(waits)).await,
        }
        self.expected.answer().await
    }

    async fn answer_once_sent(&mut self, waits: Posted) -> Result<Message, Error> {
        tokio::select! {
            posted = waits.sent() => posted?,
            // Before it was sent, this is the end of the time for an answer.
            over = self.expected.answer() => return over,
        }
        self.expected.set_sent(true);
        self.expected.answer().await
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
