//! Why a run has no result.

use std::time::Duration;

use highwater_broker::history::HistoryError;
use highwater_protocol::{Failure, RunId, WorkflowId, payload};

use crate::pace::Retryable;

/// A run ended without a result, or its result cannot be told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResultError<E> {
    /// The workflow returned this error.
    #[error("the workflow failed: {0}")]
    Failed(E),
    /// The workflow failed with something that is not its own error: a call failed and it passed that on, or a value
    /// did not fit.
    #[error("the workflow failed: {0}")]
    FailedOtherwise(Failure),
    /// It was asked to cancel, and did.
    #[error("the workflow was cancelled")]
    Cancelled,
    /// It was ended from outside, for this reason.
    #[error("the workflow was terminated: {0}")]
    Terminated(String),
    /// Its run timeout passed.
    #[error("the workflow did not end within its run timeout")]
    TimedOut,
    /// The run that the handle is pinned to continued as another one.
    #[error("the run of workflow {id} has no result, it continued as run {next}; ask for that one's")]
    ContinuedAsNew {
        /// The workflow id.
        id: WorkflowId,
        /// The run that follows.
        next: RunId,
    },
    /// There is no such run.
    #[error("there is no workflow {id}, so it has no result; check the id and the namespace")]
    NotFound {
        /// The workflow id.
        id: WorkflowId,
    },
    /// The caller's timeout passed.
    #[error("workflow {id} has not ended within {waited:?}; it goes on, ask again later")]
    StillRunning {
        /// The workflow id.
        id: WorkflowId,
        /// How long the caller waited.
        waited: Duration,
    },
    /// The result is not of the type that was asked for.
    #[error("the result of workflow {id} is of another type: {source}")]
    Decode {
        /// The workflow id.
        id: WorkflowId,
        /// What does not fit.
        source: payload::Error,
    },
    /// The history cannot be read.
    #[error("cannot tell the result of workflow {id}: {source}")]
    History {
        /// The workflow id.
        id: WorkflowId,
        /// Why.
        source: HistoryError,
    },
}

impl<E> ResultError<E> {
    /// Whether asking again may do better later. How a run ended never changes.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::StillRunning { .. } => true,
            Self::History { source, .. } => source.is_retryable(),
            Self::Failed(_)
            | Self::FailedOtherwise(_)
            | Self::Cancelled
            | Self::Terminated(_)
            | Self::TimedOut
            | Self::ContinuedAsNew { .. }
            | Self::NotFound { .. }
            | Self::Decode { .. } => false,
        }
    }

    /// Whether the run has ended, other than with a result.
    pub fn is_outcome(&self) -> bool {
        matches!(
            self,
            Self::Failed(_) | Self::FailedOtherwise(_) | Self::Cancelled | Self::Terminated(_) | Self::TimedOut
        )
    }
}
