//! Storing messages.

use async_nats::{HeaderMap, Message, Subject};
use bytes::Bytes;
use serde::Deserialize;

use super::{
    headers,
    link::{Exchange, Link, is_unanswered},
    refusal::{ApiError, Refusal},
};
use crate::{
    broker::Publish,
    error::{Error, ErrorKind},
    message::PubAck,
};

/// What a stream answers.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    duplicate: bool,
    error: Option<ApiError>,
}

/// Reads a stream's acknowledgement of a message that somebody else has published. `None`: it was not stored.
pub fn stored(ack: &[u8]) -> Option<PubAck> {
    let Answer { seq, duplicate, error } = serde_json::from_slice(ack).ok()?;
    (error.is_none() && seq > 0).then_some(PubAck { seq, duplicate })
}

impl Link {
    /// Stores a message and waits for the acknowledgement.
    pub(super) async fn publish(&self, message: Publish) -> Result<PubAck, Error> {
        Ok(self.begin_storing(message)?.acknowledged().await?)
    }

    /// Sends a message to be stored, at once.
    pub(super) fn begin_storing(&self, mut message: Publish) -> Result<Storing, Error> {
        let map = headers::of(&mut message)?;
        Ok(self.begin_storing_as_it_is(message.subject.into(), map, message.payload))
    }

    fn begin_storing_as_it_is(&self, subject: Subject, map: HeaderMap, payload: Bytes) -> Storing {
        Storing { exchange: self.begin(subject.clone(), map, payload), subject }
    }

    /// Sends a message to be stored, without asking for an acknowledgement.
    pub(super) async fn offer(&self, mut message: Publish) -> Result<(), Error> {
        let map = headers::of(&mut message)?;
        self.send_off(message.subject.into(), None, map, message.payload).await
    }

    /// Sends to a stream and reads its answer.
    pub(super) async fn store(&self, subject: String, map: HeaderMap, payload: Bytes) -> Result<PubAck, Refusal> {
        self.begin_storing_as_it_is(subject.into(), map, payload).acknowledged().await
    }
}

/// A message on its way to be stored. Thousands are at once, so this is all that is kept of one.
pub(super) struct Storing {
    exchange: Exchange,
    subject: Subject,
}

impl Storing {
    /// Waits for what the stream answers, once.
    pub(super) async fn acknowledged(&mut self) -> Result<PubAck, Refusal> {
        read(&self.subject, &self.exchange.answer().await?)
    }
}

/// Reads a stream's answer to a message for `subject`.
pub(super) fn read(subject: &str, answer: &Message) -> Result<PubAck, Refusal> {
    if is_unanswered(answer) {
        let message = format!("no stream takes {subject} at the moment; it was not stored");
        return Err(Error::new(ErrorKind::NoResponders, message).into());
    }
    let read: Answer = serde_json::from_slice(&answer.payload).map_err(|error| {
        Error::new(ErrorKind::Other, format!("the answer to a message for {subject} is not JetStream's: {error}"))
    })?;
    match read.error {
        Some(error) => Err(Refusal::new(&format!("storing a message for {subject}"), &error)),
        None => Ok(PubAck { seq: read.seq, duplicate: read.duplicate }),
    }
}
