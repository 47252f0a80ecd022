//! What a run is: the code's view of it, and its replay.
//!
//! Nothing here does I/O, reads a clock or draws random numbers: events and times come in, commands go out. So the
//! same code runs over NATS, over a model of it, and over a stored history.
//!
//! - [`context`]: what workflow code holds ([`Ctx`]) and the operations it can await.
//! - [`definition`]: what the macros implement for workflows and activities.
//! - [`activity`]: what activity code holds, and sets of activities.
//! - [`join`]: waiting for many operations in an order that replays.
//! - [`sync`]: a channel, a lock and a semaphore for the tasks of a run.
//! - [`fault`]: errors as code sees them.
//! - [`intercept`]: code that sees what goes into and out of all workflows and activities of a worker.
//! - [`open`]: what a run has asked for and not got yet.
//! - [`mod@panic`]: panics of user code, with their place.
//! - [`run`]: one run as a state machine, fed with events: replay, command matching, closing.

#![deny(missing_docs)]

pub mod activity;
pub mod context;
pub mod definition;
pub mod fault;
pub mod intercept;
pub mod join;
pub mod open;
pub mod panic;
pub mod run;
pub mod sync;

#[doc(hidden)]
pub mod __private;

// The macros name `::highwater`; in this crate's own tests that is this crate.
#[cfg(test)]
extern crate self as highwater;

pub use activity::{ActivityContext, ActivitySet};
pub use context::Ctx;
pub use fault::{CallError, Cancelled, Exit, Fault};
pub use run::{Run, Transition};
