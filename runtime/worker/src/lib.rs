//! Runs workflows and activities.

mod assignment;
mod clock;
