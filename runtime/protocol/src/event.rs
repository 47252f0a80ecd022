//! Events: the facts in a run's history.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    failure::Failure,
    ids::{QueueName, RunId, TypeName, WorkflowId},
    payload::Payload,
    retry::RetryPolicy,
    time::Timestamp,
};

pub use crate::trace::Trace;

/// The number of an operation within its run: given when the operation is made, in the order in which the code makes
/// them, so the same code gives the same numbers at every replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OpId(pub u64);

impl fmt::Display for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One fact in the history of a run.
///
/// *Inbound* events tell what happened to the run, *command* events what its code asked for, *closing* events how it
/// ended. A record holds the inbound events that it consumed, then the commands that followed from them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Event {
    // Inbound.
    /// The run began.
    Started(Box<Started>),
    /// A signal came in.
    Signaled(Signal),
    /// Somebody asked the run to cancel itself.
    CancelRequested {
        /// Why, for people.
        reason: String,
    },
    /// An activity counted as done: its first outcome.
    ActivityClosed {
        /// Which one.
        op: OpId,
        /// The attempt that decided.
        attempt: u32,
        /// How it ended.
        outcome: Outcome,
    },
    /// A local step ran.
    StepClosed {
        /// Which one.
        op: OpId,
        /// Its name, to compare with the code.
        name: TypeName,
        /// How it ended.
        outcome: Outcome,
    },
    /// A timer fired.
    TimerFired {
        /// Which one.
        op: OpId,
    },

    // Commands.
    /// The code called an activity.
    ActivityScheduled(Box<ActivityScheduled>),
    /// The code no longer wants an activity's result.
    ActivityCancelRequested {
        /// Which one.
        op: OpId,
    },
    /// The code began to sleep.
    TimerStarted {
        /// Which timer.
        op: OpId,
        /// When it is due.
        fire_at: Timestamp,
    },
    /// The code dropped a timer.
    TimerCancelled {
        /// Which one.
        op: OpId,
    },

    // Closing.
    /// The workflow returned a value.
    Completed {
        /// The value.
        result: Payload,
    },
    /// The workflow returned an error.
    Failed {
        /// The error.
        failure: Failure,
    },
    /// The workflow ended because it was asked to cancel.
    Cancelled {
        /// What it left behind.
        failure: Failure,
    },
    /// Somebody ended the run from outside.
    Terminated {
        /// Why, for people.
        reason: String,
    },
    /// The run timeout passed.
    TimedOut {
        /// What timed out.
        failure: Failure,
    },
    /// The run ended and another one follows in the same record.
    ContinuedAsNew {
        /// The run that follows.
        run: RunId,
    },

    // The engine's own.
    /// The code could not take the inbound events before this: it panicked, did not match the history, is unknown, or
    /// held its thread. The run waits until `retry_at` or until a worker with other code takes it over.
    WorkflowTaskFailed {
        /// What went wrong.
        failure: Failure,
        /// How often in a row.
        attempt: u32,
        /// When it is tried again.
        retry_at: Timestamp,
    },
}

/// The first event of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Started {
    /// The id that the starter gave.
    pub workflow_id: WorkflowId,
    /// The type of the workflow.
    pub workflow_type: TypeName,
    /// The queue whose workers run it.
    pub queue: QueueName,
    /// The input.
    pub input: Payload,
    /// How long the run may take.
    #[serde(default, with = "crate::wire::opt_millis", skip_serializing_if = "Option::is_none")]
    pub run_timeout: Option<Duration>,
    /// Where the result goes, beside the history: an inbox of the starter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
    /// The starter's trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Trace>,
    /// The sequence of the last record of the run before this one under the same id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prior: Option<u64>,
    /// The run that continued as this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continued_from: Option<RunId>,
    /// Signals that the run before had not taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signals: Vec<Signal>,
}

/// A signal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Signal {
    /// Its name.
    pub name: TypeName,
    /// What it carries.
    pub input: Payload,
}

/// How an activity or a step ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Outcome {
    /// With a value.
    Completed(Payload),
    /// With a failure; timeouts are failures too.
    Failed(Failure),
    /// Because it was asked to cancel.
    Cancelled(Failure),
}

/// The code called an activity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActivityScheduled {
    /// Which operation.
    pub op: OpId,
    /// The activity's type.
    pub name: TypeName,
    /// The queue whose workers run it.
    pub queue: QueueName,
    /// The input.
    pub input: Payload,
    /// Retries and timeouts.
    #[serde(default)]
    pub options: ActivityOptions,
}

/// Retries and timeouts of an activity.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ActivityOptions {
    /// How failed attempts follow each other.
    pub retry: RetryPolicy,
    /// The longest wait for a worker to take the task.
    #[serde(with = "crate::wire::opt_millis", skip_serializing_if = "Option::is_none")]
    pub schedule_to_start: Option<Duration>,
    /// The longest single attempt.
    #[serde(with = "crate::wire::opt_millis", skip_serializing_if = "Option::is_none")]
    pub start_to_close: Option<Duration>,
    /// The longest time for all attempts and waits together.
    #[serde(with = "crate::wire::opt_millis", skip_serializing_if = "Option::is_none")]
    pub schedule_to_close: Option<Duration>,
    /// The longest silence between two heartbeats.
    #[serde(with = "crate::wire::opt_millis", skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<Duration>,
}

/// What an event is to the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It happened to the run.
    Inbound,
    /// The code asked for it.
    Command,
    /// It ended the run.
    Closing,
    /// The engine notes it; the code never sees it.
    Engine,
}

impl Event {
    /// What the event is to the run.
    pub fn class(&self) -> Class {
        match self {
            Self::Started(_)
            | Self::Signaled(_)
            | Self::CancelRequested { .. }
            | Self::ActivityClosed { .. }
            | Self::StepClosed { .. }
            | Self::TimerFired { .. } => Class::Inbound,
            Self::ActivityScheduled(_)
            | Self::ActivityCancelRequested { .. }
            | Self::TimerStarted { .. }
            | Self::TimerCancelled { .. } => Class::Command,
            Self::Completed { .. }
            | Self::Failed { .. }
            | Self::Cancelled { .. }
            | Self::Terminated { .. }
            | Self::TimedOut { .. }
            | Self::ContinuedAsNew { .. } => Class::Closing,
            Self::WorkflowTaskFailed { .. } => Class::Engine,
        }
    }

    /// The event's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Started(_) => "Started",
            Self::Signaled(_) => "Signaled",
            Self::CancelRequested { .. } => "CancelRequested",
            Self::ActivityClosed { outcome, .. } => match outcome {
                Outcome::Completed(_) => "ActivityCompleted",
                Outcome::Failed(_) => "ActivityFailed",
                Outcome::Cancelled(_) => "ActivityCancelled",
            },
            Self::StepClosed { outcome, .. } => match outcome {
                Outcome::Completed(_) => "StepCompleted",
                Outcome::Failed(_) => "StepFailed",
                Outcome::Cancelled(_) => "StepCancelled",
            },
            Self::TimerFired { .. } => "TimerFired",
            Self::ActivityScheduled(_) => "ActivityScheduled",
            Self::ActivityCancelRequested { .. } => "ActivityCancelRequested",
            Self::TimerStarted { .. } => "TimerStarted",
            Self::TimerCancelled { .. } => "TimerCancelled",
            Self::Completed { .. } => "Completed",
            Self::Failed { .. } => "Failed",
            Self::Cancelled { .. } => "Cancelled",
            Self::Terminated { .. } => "Terminated",
            Self::TimedOut { .. } => "TimedOut",
            Self::ContinuedAsNew { .. } => "ContinuedAsNew",
            Self::WorkflowTaskFailed { .. } => "WorkflowTaskFailed",
        }
    }
}

/// The event in a line, as errors and `highwater show` print it: its name and what identifies it.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::Started(started) => write!(f, " {} on queue {}", started.workflow_type, started.queue),
            Self::Signaled(signal) => write!(f, " {}", signal.name),
            Self::CancelRequested { reason } | Self::Terminated { reason } if reason.is_empty() => Ok(()),
            Self::CancelRequested { reason } | Self::Terminated { reason } => write!(f, ": {reason}"),
            Self::ActivityClosed { op, attempt, .. } => write!(f, " #{op} at attempt {attempt}"),
            Self::StepClosed { op, name, .. } => write!(f, " #{op} {name}"),
            Self::TimerFired { op } | Self::TimerCancelled { op } | Self::ActivityCancelRequested { op } => {
                write!(f, " #{op}")
            }
            Self::ActivityScheduled(call) => write!(f, " #{} {} on queue {}", call.op, call.name, call.queue),
            Self::TimerStarted { op, fire_at } => write!(f, " #{op} due {fire_at}"),
            Self::Completed { .. } => Ok(()),
            Self::Failed { failure } | Self::Cancelled { failure } | Self::TimedOut { failure } => {
                write!(f, ": {failure}")
            }
            Self::ContinuedAsNew { run } => write!(f, " as {run}"),
            Self::WorkflowTaskFailed { failure, attempt, retry_at } => {
                write!(f, " {attempt} times, next try at {retry_at}: {failure}")
            }
        }
    }
}
