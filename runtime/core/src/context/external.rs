//! Messages to other workflows.

use std::{
    error::Error,
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::future::FusedFuture;
use highwater_protocol::{
    Event, Failure, FailureKind, OpId, Payload, QueueName, RunId, TypeName, WorkflowId,
    event::{ExternalRequest, ExternalScheduled, Sender, Signal, Target},
};
use serde::Serialize;

use super::{
    Ctx,
    operation::{Operation, Scoped},
};
use crate::{
    definition::SignalPort,
    fault::{Cancelled, Exit},
    run::{Kind, OnCancel, Resolution},
};

impl<S: 'static> Ctx<S> {
    /// Another workflow, whoever started it, to signal it or to ask it to cancel.
    ///
    /// ```
    /// # extern crate highwater_core as highwater;
    /// # use highwater::{Ctx, Exit};
    /// # async fn example(ctx: Ctx) -> Result<(), Exit> {
    /// ctx.workflow("stock").signal("restock", &17).await?;
    /// ctx.workflow("order-5").queue("orders").cancel("sold out").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn workflow(&self, id: &str) -> ExternalWorkflow {
        ExternalWorkflow::new(self.inner.at.clone(), id)
    }

    /// Another workflow whose type is known.
    pub fn workflow_of<W>(&self, id: &str) -> ExternalWorkflow<W> {
        ExternalWorkflow::new(self.inner.at.clone(), id)
    }
}

/// Another workflow.
pub struct ExternalWorkflow<W = ()> {
    at: Scoped,
    /// An error when no workflow can have the id or the queue.
    target: Result<Target, Failure>,
    workflow: PhantomData<fn() -> W>,
}

impl<W> Clone for ExternalWorkflow<W> {
    fn clone(&self) -> Self {
        Self { at: self.at.clone(), target: self.target.clone(), workflow: PhantomData }
    }
}

impl<W> fmt::Debug for ExternalWorkflow<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ExternalWorkflow").field(&self.target).finish()
    }
}

impl<W> ExternalWorkflow<W> {
    fn new(at: Scoped, id: &str) -> Self {
        let target = WorkflowId::new(id)
            .map(|workflow_id| Target { workflow_id, queue: at.shared.queue.clone(), run: None })
            .map_err(|error| Failure::new(FailureKind::NotFound, error.to_string()));
        Self { at, target, workflow: PhantomData }
    }

    /// Only this run of it; without it the latest.
    pub fn run(mut self, run: RunId) -> Self {
        if let Ok(target) = &mut self.target {
            target.run = Some(run);
        }
        self
    }

    /// The queue that it is on; without it that of this run.
    pub fn queue(mut self, queue: &str) -> Self {
        match (QueueName::new(queue), &mut self.target) {
            (Ok(queue), Ok(target)) => target.queue = queue,
            (Err(error), Ok(_)) => self.target = Err(Failure::new(FailureKind::NotFound, error.to_string())),
            (_, Err(_)) => {}
        }
        self
    }

    /// Signals it by the signal's name. The message is on its way when this returns, and goes on when the future is
    /// dropped; the future tells whether it is in the other one's history.
    #[track_caller]
    pub fn signal<A: Serialize + ?Sized>(&self, name: &str, argument: &A) -> Sent {
        match &self.target {
            Ok(target) => send_signal(&self.at, target.clone(), name, argument),
            Err(failure) => Sent::failed(&self.at, failure.clone()),
        }
    }

    /// Asks it to cancel itself. The message is on its way when this returns; the future tells whether it is in the
    /// other one's history.
    #[track_caller]
    pub fn cancel(&self, reason: &str) -> Sent {
        match &self.target {
            Ok(target) => {
                let reason = reason.to_owned();
                Sent::new(&self.at, target.clone(), |_| ExternalRequest::Cancel { reason })
            }
            Err(failure) => Sent::failed(&self.at, failure.clone()),
        }
    }
}

impl<W> SignalPort<W> for ExternalWorkflow<W> {
    type Sent = Sent;

    #[track_caller]
    fn send_signal<A: Serialize + ?Sized>(&self, name: &'static str, argument: &A) -> Sent {
        self.signal(name, argument)
    }
}

#[track_caller]
pub(super) fn send_signal<A: Serialize + ?Sized>(at: &Scoped, target: Target, name: &str, argument: &A) -> Sent {
    let refused = |text: String| Failure::new(FailureKind::Payload, text);
    let signal = TypeName::new(name).map_err(|error| refused(error.to_string())).and_then(|name| {
        let input =
            Payload::encode(argument).map_err(|error| refused(format!("the argument of signal {name}: {error}")))?;
        Ok(Signal::new(name, input))
    });
    match signal {
        Ok(signal) => {
            let run = at.shared.run;
            Sent::new(at, target, |op| ExternalRequest::Signal(Signal { from: Some(Sender { run, op }), ..signal }))
        }
        Err(failure) => Sent::failed(at, failure),
    }
}

/// A message to another workflow, under way. Dropping this does not call it back.
#[must_use = "await it to learn whether the message arrived, or detach it"]
pub struct Sent {
    operation: Operation,
}

super::operation::operation_future!(Sent);

impl Sent {
    #[track_caller]
    fn new(at: &Scoped, target: Target, request: impl FnOnce(OpId) -> ExternalRequest) -> Self {
        let name = TypeName::new(target.workflow_id.as_str()).unwrap_or_else(|_| Self::nameless());
        let operation = at.make(Kind::External, name, OnCancel::Abandon, |op| {
            let request = request(op);
            Some(Event::ExternalScheduled(Box::new(ExternalScheduled { op, target, request })))
        });
        Self { operation }
    }

    /// A message that cannot even be written down: it ends before it begins, the same way at every replay.
    #[track_caller]
    fn failed(at: &Scoped, failure: Failure) -> Self {
        let operation = at.make(Kind::External, Self::nameless(), OnCancel::Abandon, |_| None);
        operation.end(Kind::External, Resolution::Delivered(Some(failure)));
        Self { operation }
    }

    fn nameless() -> TypeName {
        TypeName::new("-").expect("a dash is a name")
    }
}

impl Future for Sent {
    type Output = Result<(), ExternalError>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.operation.poll(cx) {
            None => Poll::Pending,
            Some(Resolution::Delivered(None)) => Poll::Ready(Ok(())),
            Some(Resolution::Delivered(Some(failure))) => Poll::Ready(Err(ExternalError::of(failure))),
            Some(Resolution::Cancelled | Resolution::Outcome(..) | Resolution::Fired) => {
                Poll::Ready(Err(ExternalError::Cancelled))
            }
        }
    }
}

impl FusedFuture for Sent {
    fn is_terminated(&self) -> bool {
        self.operation.is_done()
    }
}

/// Why another workflow did not get a message.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ExternalError {
    /// There is no such workflow.
    NotFound(Failure),
    /// It has ended.
    Closed(Failure),
    /// It could not be sent, or was not accepted; the failure tells more.
    Refused(Failure),
    /// This run was asked to cancel before the answer came. The message may have arrived.
    Cancelled,
}

impl ExternalError {
    fn of(failure: Failure) -> Self {
        match failure.kind {
            FailureKind::NotFound => Self::NotFound(failure),
            FailureKind::Closed => Self::Closed(failure),
            FailureKind::Cancelled => Self::Cancelled,
            _ => Self::Refused(failure),
        }
    }
}

impl fmt::Display for ExternalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound(failure) | Self::Closed(failure) | Self::Refused(failure) => failure.fmt(f),
            Self::Cancelled => Cancelled.fmt(f),
        }
    }
}

impl Error for ExternalError {}

impl<E> From<ExternalError> for Exit<E> {
    fn from(error: ExternalError) -> Self {
        match error {
            ExternalError::NotFound(failure) | ExternalError::Closed(failure) | ExternalError::Refused(failure) => {
                Self::Call(failure)
            }
            ExternalError::Cancelled => Self::Cancelled,
        }
    }
}
