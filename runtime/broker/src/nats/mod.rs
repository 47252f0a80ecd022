//! The mapping to NATS JetStream.
//!
//! [`NatsConnection::connect`] connects, [`NatsConnection::open_or_create`] and its siblings make a [`NatsBroker`] of a
//! namespace, which is what the engine works on.
//!
//! async-nats carries the connection: dialling, reconnecting, subscriptions. JetStream is spoken by raw requests, as
//! the guarantees rest on details that its high-level calls decide for themselves: which replica answers a read, what
//! happens to a delivery that nobody takes, how long an acknowledgement is awaited, where a reader goes on after an
//! interruption.

mod address;
mod broker;
mod connection;
mod core;
mod cursor;
mod dial;
mod direct;
mod early;
mod group;
mod headers;
mod info;
mod kv;
mod link;
mod names;
mod namespace;
mod options;
mod outbox;
mod publish;
mod puller;
mod read;
mod refusal;
mod replies;
mod streams;
mod task_ack;
mod tasks;
mod version;
mod watch;

pub use broker::NatsBroker;
pub use connection::NatsConnection;
pub use namespace::{NamespaceStatus, StreamStatus};
pub use options::ConnectOptions;
pub use publish::stored;
