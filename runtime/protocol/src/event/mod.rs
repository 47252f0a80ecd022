//! Events: the facts in a run's history.

mod activity;
mod attribute;
mod child;
mod display;
mod message;
mod started;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    failure::Failure,
    ids::{RunId, TypeName, UpdateId},
    payload::Payload,
    time::Timestamp,
};

pub use crate::trace::Trace;
pub use activity::{ActivityCancellation, ActivityOptions, ActivityScheduled};
pub use attribute::{AttributeValue, Attributes, InvalidAttributes};
pub use child::{ChildCancellation, ChildOptions, ChildScheduled, ParentClose};
pub use message::{ExternalRequest, ExternalScheduled, Sender, Signal, Target, Update};
pub use started::{Origin, Started};

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
        /// The run that asked, when it was one that waits to hear that it has.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<Sender>,
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
        /// The attempt that decided, from 1.
        #[serde(default = "first", skip_serializing_if = "is_first")]
        attempt: u32,
        /// How it ended.
        outcome: Outcome,
    },
    /// A timer fired.
    TimerFired {
        /// Which one.
        op: OpId,
    },
    /// An update came in and its validator let it pass.
    UpdateAccepted(Box<Update>),
    /// A child workflow is under way.
    ChildStarted {
        /// Which operation called it.
        op: OpId,
        /// Its run.
        run: RunId,
    },
    /// A child workflow ended, or could not be started.
    ChildClosed {
        /// Which operation called it.
        op: OpId,
        /// How it ended. A start that was refused is a failure without a [`ChildStarted`](Self::ChildStarted) before
        /// it.
        outcome: Outcome,
    },
    /// A signal or a request to cancel that the code sent to another workflow is in that one's history, or never will
    /// be.
    ExternalClosed {
        /// Which operation sent it.
        op: OpId,
        /// Why it was refused, if it was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<Failure>,
    },
    /// The start delay has passed: the code may begin.
    DelayPassed,
    /// The history has become so long that the run should go on as a new one.
    ContinueAsNewSuggested {
        /// How many events it had before this one.
        events: u64,
        /// About how many bytes it had.
        bytes: u64,
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
    /// The code starts a child workflow.
    ChildScheduled(Box<ChildScheduled>),
    /// The code wants a child workflow to cancel itself.
    ChildCancelRequested {
        /// Which operation called it.
        op: OpId,
        /// Why, for people.
        reason: String,
    },
    /// The code sends something to another workflow.
    ExternalScheduled(Box<ExternalScheduled>),
    /// The handler of an update returned.
    UpdateClosed {
        /// Which update.
        id: UpdateId,
        /// What it returned.
        outcome: Outcome,
    },
    /// The code asked for the first time whether it may behave in a new way, and was told that it may.
    Patched {
        /// The name of the change.
        id: TypeName,
        /// The code says that no run without the change is left.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        deprecated: bool,
    },
    /// The code set search attributes: these replace those of the same name.
    AttributesUpserted {
        /// The attributes.
        attributes: Attributes,
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
        /// The run that tries again, by the workflow's retry policy.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next: Option<RunId>,
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
        /// The run that tries again, by the workflow's retry policy.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next: Option<RunId>,
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

/// How an activity, a step, a child or an update ended.
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
            | Self::TimerFired { .. }
            | Self::UpdateAccepted(_)
            | Self::ChildStarted { .. }
            | Self::ChildClosed { .. }
            | Self::ExternalClosed { .. }
            | Self::DelayPassed
            | Self::ContinueAsNewSuggested { .. } => Class::Inbound,
            Self::ActivityScheduled(_)
            | Self::ActivityCancelRequested { .. }
            | Self::TimerStarted { .. }
            | Self::TimerCancelled { .. }
            | Self::ChildScheduled(_)
            | Self::ChildCancelRequested { .. }
            | Self::ExternalScheduled(_)
            | Self::UpdateClosed { .. }
            | Self::Patched { .. }
            | Self::AttributesUpserted { .. } => Class::Command,
            Self::Completed { .. }
            | Self::Failed { .. }
            | Self::Cancelled { .. }
            | Self::Terminated { .. }
            | Self::TimedOut { .. }
            | Self::ContinuedAsNew { .. } => Class::Closing,
            Self::WorkflowTaskFailed { .. } => Class::Engine,
        }
    }
}

/// The number of the first attempt.
pub(crate) fn first() -> u32 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
pub(crate) fn is_first(attempt: &u32) -> bool {
    *attempt == 1
}
