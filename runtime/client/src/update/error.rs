//! Why an update has no result.

use std::convert::Infallible;

use highwater_broker::{Error, history::HistoryError};
use highwater_protocol::{Failure, InvalidId, Status, UpdateId, WorkflowId, payload, rejection::Rejection};

use crate::pace::Retryable;

/// An update was not sent, not accepted, or ended without a result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpdateError<E> {
    /// The name or the id is none.
    #[error("cannot send the update: {0}")]
    Name(#[from] InvalidId),
    /// The argument cannot be encoded.
    #[error("cannot send the update, its argument does not encode: {0}")]
    Input(#[from] payload::Error),
    /// The argument is larger than the server takes.
    #[error("cannot update workflow {id}: {reason}")]
    TooLarge {
        /// The workflow id.
        id: WorkflowId,
        /// How large it is and may be.
        reason: String,
    },
    /// There is no such run.
    #[error("there is no workflow {id} to update; start it first, or check the id and the namespace")]
    NotFound {
        /// The workflow id.
        id: WorkflowId,
    },
    /// The run has ended, and did not accept the update before.
    #[error("workflow {id} takes no update any more, it is {status}")]
    Closed {
        /// The workflow id.
        id: WorkflowId,
        /// How it ended.
        status: Status,
    },
    /// The run refuses: its validator does, it has no such handler, or the argument does not fit. Nothing of it is in
    /// the history.
    #[error("workflow {id} refuses the update: {rejection}")]
    Refused {
        /// The workflow id.
        id: WorkflowId,
        /// Why.
        rejection: Rejection,
    },
    /// The handler returned this error.
    #[error("the update failed: {0}")]
    Failed(E),
    /// The handler failed with something that is not its own error: it panicked, or a call of its failed.
    #[error("the update failed: {0}")]
    FailedOtherwise(Failure),
    /// The run ended before the handler did.
    #[error("workflow {id} ended before update {update} did")]
    Unanswered {
        /// The workflow id.
        id: WorkflowId,
        /// The update.
        update: UpdateId,
    },
    /// No update of this id is in the history.
    #[error("workflow {id} has accepted no update {update}; check the id, or send it")]
    Unknown {
        /// The workflow id.
        id: WorkflowId,
        /// The update.
        update: UpdateId,
    },
    /// The result is not of the type that was asked for.
    #[error("the result of update {update} is of another type: {source}")]
    Decode {
        /// The update.
        update: UpdateId,
        /// What does not fit.
        source: payload::Error,
    },
    /// The update was sent, and nobody knows whether it arrived.
    #[error(
        "it is not known whether update {update} arrived at workflow {id}: {source}; sent again under this id it is done once"
    )]
    OutcomeUnknown {
        /// The workflow id.
        id: WorkflowId,
        /// The update.
        update: UpdateId,
        /// What went wrong.
        source: Error,
    },
    /// The history cannot be read.
    #[error("cannot update workflow {id}: {source}")]
    History {
        /// The workflow id.
        id: WorkflowId,
        /// Why.
        source: HistoryError,
    },
    /// The broker failed, and nothing was sent.
    #[error("cannot update workflow {id}: {source}")]
    Broker {
        /// The workflow id.
        id: WorkflowId,
        /// Why.
        source: Error,
    },
}

impl UpdateError<Infallible> {
    /// The same, for an update that may also fail with an error of its own.
    pub(super) fn widen<E>(self) -> UpdateError<E> {
        match self {
            Self::Name(error) => UpdateError::Name(error),
            Self::Input(error) => UpdateError::Input(error),
            Self::TooLarge { id, reason } => UpdateError::TooLarge { id, reason },
            Self::NotFound { id } => UpdateError::NotFound { id },
            Self::Closed { id, status } => UpdateError::Closed { id, status },
            Self::Refused { id, rejection } => UpdateError::Refused { id, rejection },
            Self::Failed(error) => match error {},
            Self::FailedOtherwise(failure) => UpdateError::FailedOtherwise(failure),
            Self::Unanswered { id, update } => UpdateError::Unanswered { id, update },
            Self::Unknown { id, update } => UpdateError::Unknown { id, update },
            Self::Decode { update, source } => UpdateError::Decode { update, source },
            Self::OutcomeUnknown { id, update, source } => UpdateError::OutcomeUnknown { id, update, source },
            Self::History { id, source } => UpdateError::History { id, source },
            Self::Broker { id, source } => UpdateError::Broker { id, source },
        }
    }
}

impl<E> UpdateError<E> {
    /// Whether the same call, with the same update id, may do better later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::OutcomeUnknown { .. } => true,
            Self::Refused { rejection, .. } => rejection.code == highwater_protocol::rejection::Code::Blocked,
            Self::History { source, .. } => source.is_retryable(),
            Self::Broker { source, .. } => source.is_retryable(),
            Self::Name(_)
            | Self::Input(_)
            | Self::TooLarge { .. }
            | Self::NotFound { .. }
            | Self::Closed { .. }
            | Self::Failed(_)
            | Self::FailedOtherwise(_)
            | Self::Unanswered { .. }
            | Self::Unknown { .. }
            | Self::Decode { .. } => false,
        }
    }
}
