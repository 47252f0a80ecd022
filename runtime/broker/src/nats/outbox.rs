//! The way out: messages go to the client in order, and none before there is a connection.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use async_nats::{Client, HeaderMap, PublishError, PublishErrorKind, Subject, message::OutboundMessage};
use bytes::Bytes;
use futures_util::SinkExt;
use tokio::{
    sync::{Notify, mpsc, oneshot},
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

/// How long messages that are in no hurry are collected. Each by itself would cost a write to the socket, and wake the
/// server, just when the next record of the run is to be sent.
const LATER: Duration = Duration::from_millis(5);

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
    out: Arc<Mutex<Out>>,
    /// Something is in no hurry.
    has_later: Arc<Notify>,
    /// How many wait, the one under way included.
    count: Arc<AtomicUsize>,
    waiting: mpsc::UnboundedSender<Waiting>,
    senders: [JoinHandle<()>; 2],
}

#[derive(Debug)]
struct Out {
    /// The client as a sink, which only takes what it has room for.
    sink: Client,
    /// What is in no hurry.
    later: VecDeque<Outgoing>,
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
        let out = Arc::new(Mutex::new(Out { sink: client.clone(), later: VecDeque::new() }));
        let has_later = Arc::new(Notify::new());
        let senders = [
            tokio::spawn(send_waiting(client.clone(), queue, count.clone())),
            tokio::spawn(send_later(client.clone(), out.clone(), has_later.clone())),
        ];
        Self { client, out, has_later, count, waiting, senders }
    }

    /// Sends a message within some milliseconds, or when there is a connection again, together with others that are in
    /// no hurry.
    pub(super) fn post_later(&self, message: Outgoing) -> Result<(), Error> {
        check_subject(&message.subject, message.reply.as_deref())?;
        let mut out = lock(&self.out);
        out.later.push_back(message);
        if out.later.len() == 1 {
            self.has_later.notify_one();
        }
        Ok(())
    }

    /// Sends what is in no hurry now, if there is a connection.
    pub(super) fn hurry(&self) {
        if is_connected(&self.client) {
            send_collected(&mut lock(&self.out));
        }
    }

    /// Sends a message, or has it wait.
    pub(super) fn post(&self, message: Outgoing) -> Posted {
        if let Err(error) = check_subject(&message.subject, message.reply.as_deref()) {
            return Posted::Done(Err(error));
        }
        if self.count.load(Ordering::Acquire) == 0 && is_connected(&self.client) {
            let mut out = lock(&self.out);
            match has_room(&mut out.sink) {
                Poll::Ready(Ok(())) => return Posted::Done(push(&mut out.sink, message)),
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
        self.senders.iter().for_each(JoinHandle::abort);
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

/// Sends what is in no hurry, once some of it may have come together.
async fn send_later(client: Client, out: Arc<Mutex<Out>>, has_later: Arc<Notify>) {
    loop {
        has_later.notified().await;
        loop {
            sleep(LATER).await;
            while !is_connected(&client) {
                sleep(RECONNECT_POLL).await;
            }
            if send_collected(&mut lock(&out)) {
                break;
            }
        }
    }
}

/// Sends what was collected, as far as there is room. Says whether that was all.
fn send_collected(out: &mut Out) -> bool {
    while let Some(message) = out.later.pop_front() {
        match has_room(&mut out.sink) {
            Poll::Ready(Ok(())) => {
                if let Err(error) = push(&mut out.sink, message) {
                    tracing::debug!(%error, "a message that nobody waits for was not sent");
                }
            }
            Poll::Ready(Err(error)) => tracing::debug!(%error, "a message that nobody waits for was not sent"),
            Poll::Pending => {
                out.later.push_front(message);
                return false;
            }
        }
    }
    true
}

fn lock(out: &Mutex<Out>) -> MutexGuard<'_, Out> {
    // Nothing panics while it holds the lock.
    out.lock().unwrap_or_else(PoisonError::into_inner)
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
