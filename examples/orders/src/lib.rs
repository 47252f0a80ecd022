//! Orders: charge, reserve, sleep, email, and compensation when a later step fails.
//!
//! - [`order()`]: the workflow.
//! - [`Shop`]: its activities, the only code here that touches the outside world.
//! - [`Ledger`]: the outside world of this example, a file with a line for whatever was done.
//!
//! `src/bin/worker.rs` runs both, `src/bin/starter.rs` starts orders; kill any worker whenever you like.

// What workflows must not call is told where they are, in `workflow`; everything else here may do as it likes.
#![allow(clippy::disallowed_macros, clippy::disallowed_methods)]

mod ledger;
mod shop;
mod workflow;

pub use ledger::Ledger;
pub use shop::Shop;
pub use workflow::{Order, OrderError, Receipt, Step, order};
