//! Why a run could not be started.

use highwater_broker::{Error, history::HistoryError};
use highwater_protocol::{
    InvalidId, RunId, Status, WorkflowId, event::InvalidAttributes, payload, rejection::Rejection,
};

use crate::pace::Retryable;

/// A run was not started, or it is not known whether it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The id, the queue or the type is no name.
    #[error("cannot start the workflow: {0}")]
    Name(#[from] InvalidId),
    /// The input, a note or a header cannot be encoded.
    #[error("cannot start the workflow, a value of it does not encode: {0}")]
    Input(#[from] payload::Error),
    /// The search attributes cannot be these.
    #[error("cannot start the workflow: {0}")]
    Attributes(#[from] InvalidAttributes),
    /// The input is larger than the server takes.
    #[error("cannot start workflow {id}: {reason}")]
    TooLarge {
        /// The workflow id.
        id: WorkflowId,
        /// How large it is and may be.
        reason: String,
    },
    /// A run of the id goes on.
    #[error(
        "workflow {id} is running already, as run {run}; use another id, or the conflict policy use-existing or terminate-existing"
    )]
    AlreadyRunning {
        /// The workflow id.
        id: WorkflowId,
        /// The run there is.
        run: RunId,
    },
    /// A run of the id has ended, and the reuse policy does not allow another.
    #[error(
        "workflow id {id} was used before, by run {run}, which is {status}; use another id, or the reuse policy allow"
    )]
    AlreadyUsed {
        /// The workflow id.
        id: WorkflowId,
        /// The last run there was.
        run: RunId,
        /// How it ended.
        status: Status,
    },
    /// The owner refuses for another reason.
    #[error("the start of workflow {id} was rejected: {rejection}")]
    Rejected {
        /// The workflow id.
        id: WorkflowId,
        /// Why.
        rejection: Rejection,
    },
    /// Others kept starting and closing runs of the same id in between.
    #[error("workflow {id} was not started: others used the id at the same time, {attempts} times over; try again")]
    Contended {
        /// The workflow id.
        id: WorkflowId,
        /// How often it was tried.
        attempts: u32,
    },
    /// The request was sent, and nobody knows whether it arrived or what became of it.
    #[error(
        "it is not known whether workflow {id} was started: {reason}; describe it: if its run is {run}, this start made it, otherwise start it again under the same id, which is safe"
    )]
    OutcomeUnknown {
        /// The workflow id.
        id: WorkflowId,
        /// The run that was proposed.
        run: RunId,
        /// What went wrong.
        reason: String,
    },
    /// The history of the id cannot be read.
    #[error("cannot start workflow {id}: {source}")]
    History {
        /// The workflow id.
        id: WorkflowId,
        /// Why.
        source: HistoryError,
    },
    /// The broker failed, and nothing was started.
    #[error("cannot start workflow {id}: {source}")]
    Broker {
        /// The workflow id.
        id: WorkflowId,
        /// Why.
        source: Error,
    },
}

impl StartError {
    /// Whether the same start may do better later. [`OutcomeUnknown`](Self::OutcomeUnknown) is not: look first.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Contended { .. } => true,
            Self::History { source, .. } => source.is_retryable(),
            Self::Broker { source, .. } => source.is_retryable(),
            Self::Name(_)
            | Self::Input(_)
            | Self::Attributes(_)
            | Self::TooLarge { .. }
            | Self::AlreadyRunning { .. }
            | Self::AlreadyUsed { .. }
            | Self::Rejected { .. }
            | Self::OutcomeUnknown { .. } => false,
        }
    }
}
