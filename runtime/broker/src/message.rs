//! Messages, as the broker hands them out.

use std::fmt;

use bytes::Bytes;
use highwater_protocol::{Headers, Timestamp};

use crate::broker::TaskAck;

/// A message of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its subject, after any transform.
    pub subject: String,
    /// Its headers, without those that are between publishers and the server (`Nats-…`), so that it can be passed on.
    pub headers: Headers,
    /// Its body.
    pub payload: Bytes,
    /// Its sequence in the stream.
    pub seq: u64,
    /// When the server stored it.
    pub time: Timestamp,
}

/// What a reader yields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// The next message, in order and without gaps among those that still exist.
    Message(Message),
    /// Everything stored so far that the filters match has been delivered.
    CaughtUp,
}

/// The server stored a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PubAck {
    /// Its sequence.
    pub seq: u64,
    /// True when a message with the same id was there already and this one is gone.
    pub duplicate: bool,
}

/// A message outside of any stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlainMessage {
    /// Its subject.
    pub subject: String,
    /// Where the sender waits for an answer.
    pub reply: Option<String>,
    /// Its headers.
    pub headers: Headers,
    /// Its body.
    pub payload: Bytes,
}

/// A task, delivered to this process for a while.
pub struct Task {
    /// The message.
    pub message: Message,
    /// How often it has been delivered, this time included.
    pub delivered: u32,
    /// What to do with it.
    pub ack: Box<dyn TaskAck>,
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task")
            .field("message", &self.message)
            .field("delivered", &self.delivered)
            .finish_non_exhaustive()
    }
}
