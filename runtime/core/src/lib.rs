//! What a run is: the code's view of it, and its replay.
//!
//! Nothing here does I/O, reads a clock or draws random numbers: events and times come in, commands go out. So the
//! same code runs over NATS, over a model of it, and over a stored history.
//!
//! - [`context`]: what workflow code holds ([`Ctx`]) and the operations it can await.
//! - [`definition`]: what the macros implement for workflows and activities.
//! - [`activity`]: what activity code holds, and sets of activities.
//! - [`fault`]: errors as code sees them.
//! - [`run`]: one run as a state machine, fed with events: replay, command matching, closing.

pub mod activity;
pub mod context;
pub mod definition;
pub mod fault;
mod panic;
pub mod run;

pub use activity::{ActivityContext, ActivitySet};
pub use context::Ctx;
pub use fault::{CallError, Cancelled, Exit, Fault};
pub use run::{Run, Transition};
