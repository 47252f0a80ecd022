//! Failures: what went wrong, as recorded data.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::payload::Payload;

/// Something that went wrong in a workflow, an activity or a step, as history keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What happened, for people.
    pub message: String,
    /// Which sort of failure.
    pub kind: FailureKind,
    /// The error value itself, when it was a typed one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Payload>,
    /// What caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Box<Failure>>,
}

/// The sorts of failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum FailureKind {
    /// The user's code returned an error.
    Application {
        /// True when no further attempt may follow.
        #[serde(default)]
        non_retryable: bool,
    },
    /// A timeout passed.
    Timeout(TimeoutKind),
    /// It was cancelled.
    Cancelled,
    /// The run was terminated from outside.
    Terminated,
    /// The user's code panicked.
    Panic,
    /// A payload could not be decoded into the type the code wants, or a value not encoded.
    Payload,
    /// A payload or a record is larger than the server accepts.
    TooLarge,
    /// The history does not match the code, or the code awaits what no history tells.
    Nondeterminism,
    /// No handler with this name is registered with the worker.
    Unknown,
    /// The code kept its thread for longer than the task timeout.
    Stuck,
    /// The id of a child is in use.
    AlreadyExists,
    /// There is no such workflow to send something to.
    NotFound,
    /// The workflow that something was sent to has ended, or ended before it answered.
    Closed,
    /// The validator of an update refused it.
    Refused,
    /// The history of the run became longer than its worker lets one become.
    HistoryTooLong,
}

/// The four timeouts of an activity, and the two of a workflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum TimeoutKind {
    /// No worker took the task in time.
    ScheduleToStart,
    /// One attempt took too long.
    StartToClose,
    /// All attempts together took too long.
    ScheduleToClose,
    /// The attempt sent no heartbeat in time.
    Heartbeat,
    /// The run took too long.
    Run,
    /// All runs of the chain together took too long.
    Execution,
}

impl Failure {
    /// The longest message kept, in bytes; a longer one is cut.
    pub const MESSAGE_MAX: usize = 8 * 1024;

    /// A failure of `kind` without details or cause.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if message.len() > Self::MESSAGE_MAX {
            let cut = message.floor_char_boundary(Self::MESSAGE_MAX);
            message.truncate(cut);
            message.push('…');
        }
        Self { message, kind, details: None, cause: None }
    }

    /// An error of the user's code.
    pub fn application(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Application { non_retryable: false }, message)
    }

    /// A timeout.
    pub fn timeout(kind: TimeoutKind, message: impl Into<String>) -> Self {
        Self::new(FailureKind::Timeout(kind), message)
    }

    /// With the cause.
    pub fn caused_by(mut self, cause: Failure) -> Self {
        self.cause = Some(Box::new(cause));
        self
    }

    /// Whether another attempt might do better.
    pub fn is_retryable(&self) -> bool {
        match &self.kind {
            FailureKind::Application { non_retryable } => !non_retryable,
            FailureKind::Timeout(kind) => matches!(kind, TimeoutKind::StartToClose | TimeoutKind::Heartbeat),
            FailureKind::Panic | FailureKind::Unknown | FailureKind::Stuck => true,
            FailureKind::Cancelled
            | FailureKind::Terminated
            | FailureKind::Payload
            | FailureKind::TooLarge
            | FailureKind::Nondeterminism
            | FailureKind::AlreadyExists
            | FailureKind::NotFound
            | FailureKind::Closed
            | FailureKind::Refused
            | FailureKind::HistoryTooLong => false,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            FailureKind::Application { .. } => f.write_str(&self.message)?,
            FailureKind::Timeout(kind) => write!(f, "timed out ({kind}): {}", self.message)?,
            other => write!(f, "{}: {}", other.word(), self.message)?,
        }
        match &self.cause {
            Some(cause) => write!(f, "; caused by: {cause}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

impl FailureKind {
    fn word(&self) -> &'static str {
        match self {
            Self::Application { .. } => "failed",
            Self::Timeout(_) => "timed out",
            Self::Cancelled => "cancelled",
            Self::Terminated => "terminated",
            Self::Panic => "panicked",
            Self::Payload => "payload does not fit",
            Self::TooLarge => "too large",
            Self::Nondeterminism => "not deterministic",
            Self::Unknown => "unknown name",
            Self::Stuck => "stuck",
            Self::AlreadyExists => "already exists",
            Self::NotFound => "not found",
            Self::Closed => "closed",
            Self::Refused => "refused",
            Self::HistoryTooLong => "history too long",
        }
    }
}

impl fmt::Display for TimeoutKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ScheduleToStart => "schedule-to-start",
            Self::StartToClose => "start-to-close",
            Self::ScheduleToClose => "schedule-to-close",
            Self::Heartbeat => "heartbeat",
            Self::Run => "run",
            Self::Execution => "execution",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_tells_its_whole_chain() {
        let failure = Failure::new(FailureKind::Panic, "at shop.rs:3").caused_by(Failure::application("declined"));
        assert_eq!(failure.to_string(), "panicked: at shop.rs:3; caused by: declined");
    }

    #[test]
    fn a_long_message_is_cut_at_a_character() {
        let failure = Failure::application("é".repeat(Failure::MESSAGE_MAX));
        assert!(failure.message.len() <= Failure::MESSAGE_MAX + '…'.len_utf8());
    }
}
