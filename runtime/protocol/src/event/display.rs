//! Events in words.

use std::fmt;

use super::{Event, ExternalRequest, Outcome};

impl Event {
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
            Self::UpdateAccepted(_) => "UpdateAccepted",
            Self::ChildStarted { .. } => "ChildStarted",
            Self::ChildClosed { outcome, .. } => match outcome {
                Outcome::Completed(_) => "ChildCompleted",
                Outcome::Failed(_) => "ChildFailed",
                Outcome::Cancelled(_) => "ChildCancelled",
            },
            Self::ExternalClosed { failure: None, .. } => "ExternalAccepted",
            Self::ExternalClosed { failure: Some(_), .. } => "ExternalRefused",
            Self::DelayPassed => "DelayPassed",
            Self::ContinueAsNewSuggested { .. } => "ContinueAsNewSuggested",
            Self::ChildScheduled(_) => "ChildScheduled",
            Self::ChildCancelRequested { .. } => "ChildCancelRequested",
            Self::ExternalScheduled(call) => match call.request {
                ExternalRequest::Signal(_) => "ExternalSignalScheduled",
                ExternalRequest::Cancel { .. } => "ExternalCancelScheduled",
            },
            Self::UpdateClosed { outcome, .. } => match outcome {
                Outcome::Completed(_) => "UpdateCompleted",
                Outcome::Failed(_) => "UpdateFailed",
                Outcome::Cancelled(_) => "UpdateCancelled",
            },
            Self::Patched { .. } => "Patched",
            Self::AttributesUpserted { .. } => "AttributesUpserted",
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
            Self::CancelRequested { reason, .. } | Self::Terminated { reason } if reason.is_empty() => Ok(()),
            Self::CancelRequested { reason, .. } | Self::Terminated { reason } => write!(f, ": {reason}"),
            Self::ActivityClosed { op, attempt, .. } => write!(f, " #{op} at attempt {attempt}"),
            Self::StepClosed { op, name, attempt: 1, .. } => write!(f, " #{op} {name}"),
            Self::StepClosed { op, name, attempt, .. } => write!(f, " #{op} {name} at attempt {attempt}"),
            Self::TimerFired { op }
            | Self::TimerCancelled { op }
            | Self::ActivityCancelRequested { op }
            | Self::ChildClosed { op, .. }
            | Self::ExternalClosed { op, failure: None } => write!(f, " #{op}"),
            Self::ExternalClosed { op, failure: Some(failure) } => write!(f, " #{op}: {failure}"),
            Self::UpdateAccepted(update) => write!(f, " {} {}", update.name, update.id),
            Self::UpdateClosed { id, .. } => write!(f, " {id}"),
            Self::ChildStarted { op, run } => write!(f, " #{op} as run {run}"),
            Self::ChildScheduled(call) => {
                write!(f, " #{} {} {} on queue {}", call.op, call.workflow_type, call.workflow_id, call.queue)
            }
            Self::ChildCancelRequested { op, reason } if reason.is_empty() => write!(f, " #{op}"),
            Self::ChildCancelRequested { op, reason } => write!(f, " #{op}: {reason}"),
            Self::ExternalScheduled(call) => match &call.request {
                ExternalRequest::Signal(signal) => {
                    write!(f, " #{} {} to {}", call.op, signal.name, call.target.workflow_id)
                }
                ExternalRequest::Cancel { .. } => write!(f, " #{} to {}", call.op, call.target.workflow_id),
            },
            Self::Patched { id, deprecated: false } => write!(f, " {id}"),
            Self::Patched { id, deprecated: true } => write!(f, " {id} (deprecated)"),
            Self::AttributesUpserted { attributes } => write!(f, " {attributes}"),
            Self::ActivityScheduled(call) => write!(f, " #{} {} on queue {}", call.op, call.name, call.queue),
            Self::TimerStarted { op, fire_at } => write!(f, " #{op} due {fire_at}"),
            Self::Completed { .. } | Self::DelayPassed => Ok(()),
            Self::Failed { failure, next: Some(next) } | Self::TimedOut { failure, next: Some(next) } => {
                write!(f, ", tried again as {next}: {failure}")
            }
            Self::Failed { failure, .. } | Self::Cancelled { failure } | Self::TimedOut { failure, .. } => {
                write!(f, ": {failure}")
            }
            Self::ContinuedAsNew { run } => write!(f, " as {run}"),
            Self::ContinueAsNewSuggested { events, bytes } => write!(f, " at {events} events and {bytes} bytes"),
            Self::WorkflowTaskFailed { failure, attempt, retry_at } => {
                write!(f, " {attempt} times, next try at {retry_at}: {failure}")
            }
        }
    }
}
