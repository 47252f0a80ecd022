//! A model of JetStream within a process, for tests: the same answers as NATS gives, without a server.
//!
//! [`MemoryBroker`] is a namespace with its streams and buckets. Handles are clones, so "two processes" are two of
//! them. The conformance suite holds it against NATS, case by case.
//!
//! Its clock is tokio's, counted from a first instant, so with tokio's clock paused it is virtual. Nothing in it polls
//! or ticks: what is due by the clock (schedules, ack waits, expiries) is settled whenever somebody looks, and whoever
//! waits sleeps until the next thing is due or is woken by a change.
//!
//! What it leaves out is what the engine does not rely on: limits of streams, replicas that lag behind, messages that
//! are replaced on their subject.

mod broker;
mod bucket;
mod clock;
mod faults;
mod log;
mod options;
mod router;
mod shared;
mod state;
mod subscription;
mod task_ack;
mod waits;
mod work_queue;

pub use broker::MemoryBroker;
pub use faults::Faults;
pub use options::MemoryOptions;
