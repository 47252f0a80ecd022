//! Durable timers, as scheduled messages.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{event::OpId, ids::RunId, key::Key};

/// Which timer of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub enum TimerId {
    /// A sleep of the code's.
    Sleep(OpId),
    /// No worker has taken the activity's task in time.
    ScheduleToStart(OpId),
    /// The activity has taken too long over all attempts.
    ScheduleToClose(OpId),
    /// The run timeout, or the execution timeout when that comes first.
    Run,
    /// The start delay.
    Delay,
    /// A failed workflow task is tried again; the number is the ordinal of the record that says so.
    TaskRetry(u64),
}

/// The timer's token in a subject.
impl fmt::Display for TimerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sleep(op) => write!(f, "{op}"),
            Self::ScheduleToStart(op) => write!(f, "{op}-start"),
            Self::ScheduleToClose(op) => write!(f, "{op}-close"),
            Self::Run => f.write_str("run"),
            Self::Delay => f.write_str("delay"),
            Self::TaskRetry(ordinal) => write!(f, "retry-{ordinal}"),
        }
    }
}

/// What a timer's message says when it fires.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fire {
    /// The escaped workflow id.
    pub key: Key,
    /// The run that armed it.
    pub run: RunId,
    /// Which of its timers.
    pub timer: TimerId,
}
