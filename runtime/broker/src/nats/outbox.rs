//! The way out: messages go to the client in order, and none before there is a connection.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_nats::{Client, HeaderMap, PublishErrorKind, Subject};
use bytes::Bytes;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::sleep,
};

use super::replies::is_connected;
use crate::{
    error::{Error, ErrorKind},
    rules::check_subject,
};

/// How often is looked whether a lost connection is back, while something waits for it.
const RECONNECT_POLL: Duration = Duration::from_millis(20);

/// A message to be sent.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) subject: Subject,
    pub(super) reply: Option<Subject>,
    pub(super) headers: HeaderMap,
    pub(super) payload: Bytes,
}

/// A message that waits for the connection, until nobody wants it sent any more.
type Waiting = (Outgoing, oneshot::Sender<Result<(), Error>>);

/// Sends messages in the order of the first polls.
///
/// While there is no connection they wait here, rather than in the client's buffer, where they would go out at some later
/// time whether or not the caller still wants it. A task of its own sends those that waited: a caller in whose hands the
/// turn lay would hold up all others when nobody polls it.
#[derive(Debug)]
pub(super) struct Outbox {
    client: Client,
    /// How many wait, the one under way included.
    count: Arc<AtomicUsize>,
    waiting: mpsc::UnboundedSender<Waiting>,
    sender: JoinHandle<()>,
}

impl Outbox {
    pub(super) fn new(client: Client) -> Self {
        let count = Arc::new(AtomicUsize::new(0));
        let (waiting, queue) = mpsc::unbounded_channel();
        let sender = tokio::spawn(send_waiting(client.clone(), queue, count.clone()));
        Self { client, count, waiting, sender }
    }

    pub(super) async fn post(&self, message: Outgoing) -> Result<(), Error> {
        check_subject(&message.subject, message.reply.as_deref())?;
        if self.count.load(Ordering::Acquire) == 0 && is_connected(&self.client) {
            return push(&self.client, message).await;
        }
        let ended = || Error::new(ErrorKind::Unavailable, "the connection was closed");
        let (done, sent) = oneshot::channel();
        self.count.fetch_add(1, Ordering::AcqRel);
        self.waiting.send((message, done)).map_err(|_| ended())?;
        sent.await.unwrap_or_else(|_| Err(ended()))
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.sender.abort();
    }
}

async fn send_waiting(client: Client, mut queue: mpsc::UnboundedReceiver<Waiting>, count: Arc<AtomicUsize>) {
    while let Some((message, done)) = queue.recv().await {
        while !is_connected(&client) && !done.is_closed() {
            sleep(RECONNECT_POLL).await;
        }
        if !done.is_closed() {
            let _ = done.send(push(&client, message).await);
        }
        count.fetch_sub(1, Ordering::AcqRel);
    }
}

async fn push(client: &Client, message: Outgoing) -> Result<(), Error> {
    let Outgoing { subject, reply, headers, payload } = message;
    let told = subject.clone();
    // Without the runtime's budget, so that the first poll always takes its place in the queue.
    let pushed = tokio::task::unconstrained(async {
        match (reply, headers.is_empty()) {
            (Some(reply), true) => client.publish_with_reply(subject, reply, payload).await,
            (Some(reply), false) => client.publish_with_reply_and_headers(subject, reply, headers, payload).await,
            (None, true) => client.publish(subject, payload).await,
            (None, false) => client.publish_with_headers(subject, headers, payload).await,
        }
    });
    pushed.await.map_err(|error| match error.kind() {
        PublishErrorKind::MaxPayloadExceeded => Error::new(
            ErrorKind::TooLarge,
            format!("a message for {told} is larger than the server's max_payload of {}", client.max_payload()),
        ),
        PublishErrorKind::InvalidSubject => Error::new(ErrorKind::Other, format!("{told:?} is not a subject")),
        PublishErrorKind::Send => Error::new(ErrorKind::Unavailable, format!("cannot send to {told}: {error}")),
    })
}
