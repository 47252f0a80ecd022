//! Runs workflows and activities.
//!
//! [`Worker`] is the whole of it for users. Inside, from the outside in:
//!
//! - `membership`: announces the worker, takes and hands over partitions (`assignment` says which).
//! - `driver`: reads what comes in for them, performs what the engine decides, feeds back what came of it.
//! - `engine`: decides everything and does nothing: no I/O, no clock, no task.
//! - `executor`: the threads that run workflow code, and with it the worker's own.
//! - `user`: the user's async runtime, for the rest of his code.
//! - `activities`: takes tasks of queues and runs them; knows nothing of runs.

#![deny(missing_docs)]

// The macros that tests use name `::highwater`.
#[cfg(test)]
extern crate highwater_core as highwater;

mod activities;
mod assignment;
mod backoff;
mod by_key;
mod clock;
mod driver;
mod engine;
mod executor;
mod history_limits;
mod leftovers;
mod membership;
mod options;
mod tick;
#[cfg(feature = "opentelemetry")]
mod trace;
#[cfg(not(feature = "opentelemetry"))]
#[path = "untraced.rs"]
mod trace;
mod user;
mod worker;

pub use activities::CatalogError;
pub use history_limits::{HistoryLimits, HistorySize, InvalidHistoryLimits};
pub use options::{BuildError, DEFAULT_QUEUE, WorkerBuilder};
#[doc(hidden)]
pub use worker::EvictHandle;
pub use worker::{RunError, StopHandle, Worker};
