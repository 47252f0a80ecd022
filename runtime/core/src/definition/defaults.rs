//! What `#[activity(…)]` says.

use std::time::Duration;

use highwater_protocol::{
    RetryPolicy,
    event::{ActivityCancellation, ActivityOptions},
};

/// What `#[activity(…)]` says, known at compile time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ActivityDefaults {
    /// The name that tasks carry.
    pub name: &'static str,
    /// The queue, when it is not the caller's own.
    pub queue: Option<&'static str>,
    /// See [`highwater_protocol::event::ActivityOptions`].
    pub schedule_to_start: Option<Duration>,
    /// Likewise.
    pub start_to_close: Option<Duration>,
    /// Likewise.
    pub schedule_to_close: Option<Duration>,
    /// Likewise.
    pub heartbeat: Option<Duration>,
    /// See [`RetryPolicy`].
    pub initial_interval: Option<Duration>,
    /// Likewise.
    pub backoff_coefficient: Option<f64>,
    /// Likewise.
    pub maximum_interval: Option<Duration>,
    /// Likewise.
    pub maximum_attempts: Option<u32>,
    /// Likewise.
    pub jitter: Option<f64>,
}

impl ActivityDefaults {
    /// A name, and nothing else said.
    pub const fn named(name: &'static str) -> Self {
        Self {
            name,
            queue: None,
            schedule_to_start: None,
            start_to_close: None,
            schedule_to_close: None,
            heartbeat: None,
            initial_interval: None,
            backoff_coefficient: None,
            maximum_interval: None,
            maximum_attempts: None,
            jitter: None,
        }
    }

    /// The options of a call that says nothing else.
    pub fn options(&self) -> ActivityOptions {
        ActivityOptions {
            retry: self.retry(),
            schedule_to_start: self.schedule_to_start,
            start_to_close: self.start_to_close,
            schedule_to_close: self.schedule_to_close,
            heartbeat: self.heartbeat,
            cancellation: ActivityCancellation::default(),
        }
    }

    /// The retry policy with what is not said filled in.
    pub fn retry(&self) -> RetryPolicy {
        let default = RetryPolicy::default();
        RetryPolicy {
            initial_interval: self.initial_interval.unwrap_or(default.initial_interval),
            backoff_coefficient: self.backoff_coefficient.unwrap_or(default.backoff_coefficient),
            maximum_interval: self.maximum_interval.unwrap_or(default.maximum_interval),
            maximum_attempts: self.maximum_attempts.unwrap_or(default.maximum_attempts),
            jitter: self.jitter.unwrap_or(default.jitter),
        }
    }
}
