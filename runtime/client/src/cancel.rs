//! Asking a run to cancel itself.

use highwater_broker::{BoxFuture, Error, history::HistoryError};
use highwater_protocol::{Payload, Status, WorkflowId, rejection::Rejection, subject::Verb};

use crate::{
    handle::{Located, Target, WorkflowHandle},
    pace::Retryable,
    request::{Ask, AskError, Delivered, Unsent},
    run,
};

/// A run was not asked to cancel, or it is not known whether it was.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CancelError {
    /// There is no such run.
    #[error("there is no workflow {id} to cancel; check the id and the namespace")]
    NotFound {
        /// The workflow id.
        id: WorkflowId,
    },
    /// The run has ended.
    #[error("workflow {id} cannot be cancelled, it is {status} already")]
    Closed {
        /// The workflow id.
        id: WorkflowId,
        /// How it ended.
        status: Status,
    },
    /// The owner refuses.
    #[error("the cancellation of workflow {id} was rejected: {rejection}")]
    Rejected {
        /// The workflow id.
        id: WorkflowId,
        /// Why.
        rejection: Rejection,
    },
    /// The request was sent, and nobody knows whether it arrived.
    #[error("it is not known whether workflow {id} was asked to cancel: {source}; ask again, twice does no harm")]
    OutcomeUnknown {
        /// The workflow id.
        id: WorkflowId,
        /// What went wrong.
        source: Error,
    },
    /// The history cannot be read.
    #[error("cannot cancel workflow {id}: {source}")]
    History {
        /// The workflow id.
        id: WorkflowId,
        /// Why.
        source: HistoryError,
    },
    /// The broker failed, and nothing was sent.
    #[error("cannot cancel workflow {id}: {source}")]
    Broker {
        /// The workflow id.
        id: WorkflowId,
        /// Why.
        source: Error,
    },
}

impl CancelError {
    /// Whether the same call may do better later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::OutcomeUnknown { .. } => true,
            Self::History { source, .. } => source.is_retryable(),
            Self::Broker { source, .. } => source.is_retryable(),
            Self::NotFound { .. } | Self::Closed { .. } | Self::Rejected { .. } => false,
        }
    }
}

impl<W> WorkflowHandle<W> {
    /// Asks the run to cancel itself: its code sees it at what it waits for, and may clean up. A run that must end at
    /// once is [terminated](Self::terminate).
    ///
    /// It returns when the request is in the history ([`Delivered::Accepted`]) or stored for the next worker
    /// ([`Delivered::Durable`]), not when the run has ended: await its [`result`](Self::result) for that.
    pub async fn cancel(&self, reason: impl AsRef<str>) -> Result<Delivered, CancelError> {
        self.target().cancel(reason.as_ref()).await
    }
}

impl Target {
    fn cancel<'a>(&'a self, reason: &'a str) -> BoxFuture<'a, Result<Delivered, CancelError>> {
        Box::pin(self.request_cancel(reason))
    }

    async fn request_cancel(&self, reason: &str) -> Result<Delivered, CancelError> {
        let id = || self.id().clone();
        let located = self.locate().await.map_err(|source| CancelError::History { id: id(), source })?;
        let queue = match located {
            Located::Open(last) => run::queue_of(&last).map_err(|source| CancelError::History { id: id(), source })?,
            Located::Pending(pending) => pending.queue,
            Located::Closed { status, .. } => return Err(CancelError::Closed { id: id(), status }),
            Located::Unknown => return Err(CancelError::NotFound { id: id() }),
        };
        let ask = Ask {
            verb: Verb::Cancel,
            name: None,
            key: self.key(),
            queue: &queue,
            meant: self.meant(),
            reason: Some(reason),
            update: None,
            context: None,
            input: Payload::json(""),
        };
        match ask.deliver(self.client()).await {
            Ok(delivered) => Ok(delivered),
            Err(AskError::Unsent(Unsent::Refused(source))) => Err(CancelError::Broker { id: id(), source }),
            Err(AskError::Unsent(Unsent::Unknown(source))) => Err(CancelError::OutcomeUnknown { id: id(), source }),
            Err(AskError::Rejected(rejection)) => Err(match self.closed_by(&rejection).await {
                Some(status) => CancelError::Closed { id: id(), status },
                None => CancelError::Rejected { id: id(), rejection },
            }),
        }
    }
}
