//! Runs workflows and activities.

mod activities;
mod assignment;
mod clock;
mod engine;
mod executor;
