//! The paths that every run of every user goes through, with what they need prepared, so that what they cost can be
//! counted.
//!
//! - `tests/allocations.rs` holds each to a number of allocations.
//! - `benches/instructions.rs` counts instructions.
//!
//! [`runs`] has transitions and replays, [`messages`] what is encoded, decoded and parsed.

// The macros name `::highwater`.
extern crate highwater_core as highwater;

pub mod messages;
pub mod runs;
