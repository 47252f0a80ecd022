//! Sending a signal to a run.

use highwater_broker::{BoxFuture, Error, history::HistoryError};
use highwater_core::run::Limits;
use highwater_protocol::{
    InvalidId, Payload, Payloads, QueueName, Status, TypeName, WorkflowId, payload,
    rejection::{Code, Rejection},
    subject::Verb,
};
use serde::Serialize;

use crate::{
    handle::{Located, Target, WorkflowHandle},
    intercept::SignalCall,
    pace::Retryable,
    request::{Ask, AskError, Delivered, Unsent},
    run,
};

/// A signal was not sent, or it is not known whether it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignalError {
    /// The signal's name is none.
    #[error("cannot send the signal: {0}")]
    Name(#[from] InvalidId),
    /// The value cannot be encoded.
    #[error("cannot send the signal, its value does not encode: {0}")]
    Input(#[from] payload::Error),
    /// The value is larger than the server takes.
    #[error("cannot signal workflow {id}: {reason}")]
    TooLarge {
        /// The workflow id.
        id: WorkflowId,
        /// How large it is and may be.
        reason: String,
    },
    /// There is no such run.
    #[error("there is no workflow {id} to signal; start it first, or check the id and the namespace")]
    NotFound {
        /// The workflow id.
        id: WorkflowId,
    },
    /// The run has ended.
    #[error("workflow {id} takes no signal any more, it is {status}")]
    Closed {
        /// The workflow id.
        id: WorkflowId,
        /// How it ended.
        status: Status,
    },
    /// The owner refuses.
    #[error("the signal to workflow {id} was rejected: {rejection}")]
    Rejected {
        /// The workflow id.
        id: WorkflowId,
        /// Why.
        rejection: Rejection,
    },
    /// The signal was sent, and nobody knows whether it arrived.
    #[error(
        "it is not known whether the signal to workflow {id} arrived: {source}; look at the history, or send it again if twice does no harm"
    )]
    OutcomeUnknown {
        /// The workflow id.
        id: WorkflowId,
        /// What went wrong.
        source: Error,
    },
    /// The history cannot be read.
    #[error("cannot signal workflow {id}: {source}")]
    History {
        /// The workflow id.
        id: WorkflowId,
        /// Why.
        source: HistoryError,
    },
    /// The broker failed, and nothing was sent.
    #[error("cannot signal workflow {id}: {source}")]
    Broker {
        /// The workflow id.
        id: WorkflowId,
        /// Why.
        source: Error,
    },
}

impl SignalError {
    /// Whether the same call may do better later. [`OutcomeUnknown`](Self::OutcomeUnknown) is not: a repeat may be a
    /// second signal.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::History { source, .. } => source.is_retryable(),
            Self::Broker { source, .. } => source.is_retryable(),
            Self::Name(_)
            | Self::Input(_)
            | Self::TooLarge { .. }
            | Self::NotFound { .. }
            | Self::Closed { .. }
            | Self::Rejected { .. }
            | Self::OutcomeUnknown { .. } => false,
        }
    }
}

impl<W> WorkflowHandle<W> {
    /// Sends a signal.
    ///
    /// It returns when the run has it in its history ([`Delivered::Accepted`]), or when it is stored and no worker has
    /// taken it for more than half a second ([`Delivered::Durable`]). A workflow that has been started and that no
    /// worker has taken yet can be signalled too.
    pub async fn signal<A: Serialize + ?Sized>(
        &self,
        name: impl Into<String>,
        value: &A,
    ) -> Result<Delivered, SignalError> {
        self.target().signal(name.into(), Payload::encode(value)).await
    }

    /// Sends a signal whose value is encoded already.
    pub async fn signal_payload(&self, name: impl Into<String>, input: Payload) -> Result<Delivered, SignalError> {
        self.target().signal(name.into(), Ok(input)).await
    }
}

impl Target {
    pub(crate) fn signal(
        &self,
        name: String,
        value: Result<Payload, payload::Error>,
    ) -> BoxFuture<'_, Result<Delivered, SignalError>> {
        Box::pin(async move {
            let (input, name) = (value?, TypeName::new(name)?);
            let call = SignalCall { workflow_id: self.id().clone(), name, input, headers: Payloads::default() };
            self.client().ask(call, &|call| Box::pin(self.send_signal(call))).await
        })
    }

    async fn send_signal(&self, call: SignalCall) -> Result<Delivered, SignalError> {
        let SignalCall { name, input, headers, .. } = call;
        let id = || self.id().clone();
        let limits = Limits::for_message_max(self.client().broker().payload_max());
        if let Some(failure) = limits.check("the signal's value", &input) {
            return Err(SignalError::TooLarge { id: id(), reason: failure.message });
        }
        let queue = match self.open_queue() {
            Some(queue) => queue,
            None => self.queue_to_signal().await?,
        };
        let ask = Ask {
            verb: Verb::Signal,
            name: Some(&name),
            key: self.key(),
            queue: &queue,
            meant: self.meant(),
            reason: None,
            update: None,
            context: Some(&headers),
            input,
        };
        let delivered = ask.deliver(self.client()).await;
        self.noted(&queue, matches!(delivered, Ok(Delivered::Accepted)));
        match delivered {
            Ok(delivered) => Ok(delivered),
            Err(AskError::Unsent(Unsent::Refused(source))) => Err(SignalError::Broker { id: id(), source }),
            Err(AskError::Unsent(Unsent::Unknown(source))) => Err(SignalError::OutcomeUnknown { id: id(), source }),
            Err(AskError::Rejected(rejection)) if rejection.code == Code::NotFound => {
                Err(SignalError::NotFound { id: id() })
            }
            Err(AskError::Rejected(rejection)) => Err(match self.closed_by(&rejection).await {
                Some(status) => SignalError::Closed { id: id(), status },
                None => SignalError::Rejected { id: id(), rejection },
            }),
        }
    }

    async fn queue_to_signal(&self) -> Result<QueueName, SignalError> {
        let id = || self.id().clone();
        let unreadable = |source| SignalError::History { id: id(), source };
        match self.locate().await.map_err(unreadable)? {
            Located::Open(last) => run::queue_of(&last).map_err(unreadable),
            Located::Pending(pending) => Ok(pending.queue),
            Located::Closed { status, .. } => Err(SignalError::Closed { id: id(), status }),
            Located::Unknown => Err(SignalError::NotFound { id: id() }),
        }
    }
}
