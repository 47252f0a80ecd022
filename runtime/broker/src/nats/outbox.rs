//! The way out: messages go to the client in order, and none before there is a connection.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use async_nats::{Client, HeaderMap, PublishError, PublishErrorKind, Subject, message::OutboundMessage};
use bytes::Bytes;
use futures_util::SinkExt;
use tokio::{
    sync::{mpsc, oneshot},
    task::{JoinHandle, unconstrained},
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
/// With a connection a message is handed over at once: a future that could wait for that would be larger than all else
/// that a publish needs. While there is no connection they wait here, rather than in the client's buffer, where they
/// would go out at some later time whether or not the caller still wants it. A task of its own sends those that waited:
/// a caller in whose hands the turn lay would hold up all others when nobody polls it.
#[derive(Debug)]
pub(super) struct Outbox {
    client: Client,
    /// The client as a sink, which only takes what it has room for.
    sink: Mutex<Client>,
    /// How many wait, the one under way included.
    count: Arc<AtomicUsize>,
    waiting: mpsc::UnboundedSender<Waiting>,
    sender: JoinHandle<()>,
}

/// What became of a message that was to be sent.
pub(super) enum Posted {
    /// It is on its way, or will never be.
    Done(Result<(), Error>),
    /// It waits for a connection: this tells what becomes of it. It is not sent any more when that is dropped.
    Waits(oneshot::Receiver<Result<(), Error>>),
}

impl Outbox {
    pub(super) fn new(client: Client) -> Self {
        let count = Arc::new(AtomicUsize::new(0));
        let (waiting, queue) = mpsc::unbounded_channel();
        let sender = tokio::spawn(send_waiting(client.clone(), queue, count.clone()));
        Self { sink: Mutex::new(client.clone()), client, count, waiting, sender }
    }

    /// Sends a message, or has it wait.
    pub(super) fn post(&self, message: Outgoing) -> Posted {
        if let Err(error) = check_subject(&message.subject, message.reply.as_deref()) {
            return Posted::Done(Err(error));
        }
        if self.count.load(Ordering::Acquire) == 0 && is_connected(&self.client) {
            // Nothing panics while it holds the lock.
            let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
            match has_room(&mut sink) {
                Poll::Ready(Ok(())) => return Posted::Done(push(&mut sink, message)),
                Poll::Ready(Err(error)) => return Posted::Done(Err(refused(&self.client, &message.subject, &error))),
                Poll::Pending => {}
            }
        }
        let (done, sent) = oneshot::channel();
        self.count.fetch_add(1, Ordering::AcqRel);
        match self.waiting.send((message, done)) {
            Ok(()) => Posted::Waits(sent),
            Err(_) => Posted::Done(Err(ended())),
        }
    }
}

impl Posted {
    /// Waits until it is on its way.
    pub(super) async fn sent(self) -> Result<(), Error> {
        match self {
            Self::Done(result) => result,
            Self::Waits(sent) => sent.await.unwrap_or_else(|_| Err(ended())),
        }
    }
}

fn ended() -> Error {
    Error::new(ErrorKind::Unavailable, "the connection was closed")
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.sender.abort();
    }
}

async fn send_waiting(client: Client, mut queue: mpsc::UnboundedReceiver<Waiting>, count: Arc<AtomicUsize>) {
    let mut sink = client.clone();
    while let Some((message, done)) = queue.recv().await {
        while !is_connected(&client) && !done.is_closed() {
            sleep(RECONNECT_POLL).await;
        }
        if !done.is_closed() {
            let sent = match poll_fn(|cx| sink.poll_ready_unpin(cx)).await {
                Ok(()) => push(&mut sink, message),
                Err(error) => Err(refused(&client, &message.subject, &error)),
            };
            let _ = done.send(sent);
        }
        count.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Whether the client takes a message now.
fn has_room(sink: &mut Client) -> Poll<Result<(), PublishError>> {
    // Without the runtime's budget, so that the order is that of the calls.
    let ready = unconstrained(poll_fn(|cx| sink.poll_ready_unpin(cx)));
    pin!(ready).poll(&mut Context::from_waker(Waker::noop()))
}

/// Hands a message to a client that has room for it.
fn push(sink: &mut Client, message: Outgoing) -> Result<(), Error> {
    let Outgoing { subject, reply, headers, payload } = message;
    let told = subject.clone();
    let headers = (!headers.is_empty()).then_some(headers);
    let sent = sink.start_send_unpin(OutboundMessage { subject, reply, payload, headers });
    sent.map_err(|error| refused(sink, &told, &error))
}

fn refused(client: &Client, subject: &Subject, error: &PublishError) -> Error {
    match error.kind() {
        PublishErrorKind::MaxPayloadExceeded => Error::new(
            ErrorKind::TooLarge,
            format!("a message for {subject} is larger than the server's max_payload of {}", client.max_payload()),
        ),
        PublishErrorKind::InvalidSubject => Error::new(ErrorKind::Other, format!("{subject:?} is not a subject")),
        PublishErrorKind::Send => Error::new(ErrorKind::Unavailable, format!("cannot send to {subject}: {error}")),
    }
}
