//! A list for Clippy of what workflow code must not call, each with what to call instead.
//!
//! Workflow code is run again and again through its history, so it may depend on nothing that differs: no clock, no
//! random numbers, no I/O, nobody else's tasks or order. Much of that is caught when it happens; Clippy tells it while
//! you write.
//!
//! # Switching it on
//!
//! Put [`CLIPPY_TOML`] beside your `Cargo.toml`: `highwater lints > clippy.toml`. It is then in force for the whole
//! crate, for workflows and for everything else. Activities are let off by themselves: the blocks and functions that
//! `#[activities]` and `#[activity]` stand on may call what they like. (Clippy 1.95 hears that of all but
//! `tokio::select!`, which it lets off for whole modules only.) For the rest there are two ways:
//!
//! - *Programs that are mostly workflows* let off what is none, such as `main.rs`, a module of helpers, or a test:
//!
//!   ```
//!   #![allow(clippy::disallowed_methods, clippy::disallowed_macros)]
//!   ```
//!
//! - *Programs with some workflows* let off the whole crate by that line in its root, and look at the modules that hold
//!   workflows. The third lint there is one of Clippy's own, against the order of a `HashMap`, which differs at every
//!   replay:
//!
//!   ```
//!   #![warn(clippy::disallowed_methods, clippy::disallowed_macros, clippy::iter_over_hash_type)]
//!   ```
//!
//! The code of a `ctx.step` runs outside of the workflow and may do everything. What it calls is best a function, in a
//! module that is let off.
//!
//! # What it does not see
//!
//! Calls through functions of your own in other modules, and libraries. For those there is what happens at run time:
//! what needs tokio fails at its line; a wait that nothing of the run can end, and a wake-up from outside, fail the
//! workflow's task with the last operation; code that holds its thread is reported by a watchdog, with its run and its
//! last operation; and a replay that differs shows the history and the code side by side. A failed task is no failed
//! run: it waits for a deploy with other code.

/// The list, as a `clippy.toml`.
pub const CLIPPY_TOML: &str = include_str!("../lints/clippy.toml");
