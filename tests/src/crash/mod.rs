//! Worker processes to be killed, frozen, stopped and started.
//!
//! - [`World`]: a NATS server of a test's own, and the worker processes on it.
//! - [`WorkerProcess`]: one of them, to be killed, frozen and stopped.
//! - [`Site`]: where workflows and activities leave traces and where a test can hold them up: a [`Ledger`] of what ran,
//!   and [`Gates`].
//! - [`schedule_of`]: a timer as the server holds it.
//! - [`leases`], [`partitions_of`]: who owns what.
//! - [`workflows`], [`family`]: what the worker processes run.
//! - [`eventually`]: waiting for a condition, with a deadline.

pub mod family;
mod gates;
mod leases;
mod ledger;
mod process;
mod schedule;
mod site;
mod wait;
pub mod workflows;
mod world;

pub use gates::Gates;
pub use leases::{leases, partitions_of};
pub use ledger::{Entry, Ledger};
pub use process::{QUEUE, WorkerProcess};
pub use schedule::schedule_of;
pub use site::Site;
pub use wait::{PATIENCE, eventually};
pub use world::World;
