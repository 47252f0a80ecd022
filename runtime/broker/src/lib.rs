//! The broker that Highwater runs on.
//!
//! [`Broker`] is what the engine needs of it, in the words of streams: append with an expected sequence, read by
//! sequence, read on from a position, take tasks, keep small values, and plain messages. [`nats`] maps it to NATS
//! JetStream and is the only place that names `async-nats`. [`memory`] is a model of it within a process, for tests.

#![deny(missing_docs)]

mod broker;
mod error;
pub mod history;
pub mod memory;
mod message;
pub mod nats;
mod rules;

pub use broker::{BoxFuture, BoxStream, Broker, Bucket, Entry, KvEvent, Publish, Schedule, Stream, TaskAck};
pub use error::{ConnectError, Error, ErrorKind, NamespaceError};
pub use message::{Delivered, Message, PlainMessage, PubAck, Task};
