//! Runs workflows and activities.

mod assignment;
mod clock;
mod engine;
mod executor;
