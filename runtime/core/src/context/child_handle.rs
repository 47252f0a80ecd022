//! Child workflows: what the code holds of one.

use std::{
    cell::Cell,
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use futures_util::future::FusedFuture;
use highwater_protocol::{OpId, QueueName, RunId, WorkflowId, event::Target};
use serde::Serialize;

use super::{
    call::decode,
    child::ChildType,
    external::{Sent, send_signal},
    operation::{Operation, Scoped},
};
use crate::{definition::SignalPort, fault::CallError};

/// A child that the code holds, by however many handles. When the last one goes, so does the child, unless it was
/// detached.
pub(super) struct Hold {
    at: Scoped,
    operation: Cell<Option<Operation>>,
    op: OpId,
    /// Absent when it was never started.
    target: Option<(WorkflowId, QueueName)>,
    detached: Cell<bool>,
}

impl Hold {
    pub(super) fn new(at: Scoped, operation: Operation, target: Option<(WorkflowId, QueueName)>) -> Self {
        let op = operation.op();
        Self { at, operation: Cell::new(Some(operation)), op, target, detached: Cell::new(false) }
    }

    fn look(&self, cx: &Context<'_>) -> crate::run::ChildView {
        self.at.shared.look_at_child(self.op, cx.waker())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(operation) = self.operation.take()
            && self.detached.get()
        {
            operation.detach();
        }
    }
}

/// A child that is being started.
#[must_use = "dropping this cancels the child; await it"]
pub struct StartingChild<W> {
    hold: Option<Hold>,
    workflow: PhantomData<fn() -> W>,
}

impl<W> StartingChild<W> {
    pub(super) fn new(hold: Hold) -> Self {
        Self { hold: Some(hold), workflow: PhantomData }
    }
}

impl<W> Unpin for StartingChild<W> {}

impl<W> fmt::Debug for StartingChild<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StartingChild").field(&self.hold.as_ref().map(|hold| hold.op)).finish()
    }
}

impl<W: ChildType> Future for StartingChild<W> {
    type Output = Result<Child<W>, CallError<W::Err>>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(hold) = &self.hold else { return Poll::Pending };
        let view = hold.look(cx);
        match (view.started, view.ended) {
            (Some(run), _) => {
                let hold = self.hold.take().map(Rc::new);
                Poll::Ready(Ok(Child { hold: hold.expect("it was just there"), run, workflow: PhantomData }))
            }
            (None, Some(ended)) => {
                self.hold = None;
                // Only a child that was under way can have completed.
                Poll::Ready(Err(decode::<W::Ok, W::Err>(ended).err().unwrap_or(CallError::Cancelled)))
            }
            (None, None) => Poll::Pending,
        }
    }
}

impl<W: ChildType> FusedFuture for StartingChild<W> {
    fn is_terminated(&self) -> bool {
        self.hold.is_none()
    }
}

/// A child workflow that is under way. Dropping this and all [`ChildResult`]s of it cancels the child, as
/// [`ChildCall::cancellation`](super::ChildCall::cancellation) says; [`detach`](Self::detach) lets it go on.
#[must_use = "dropping this cancels the child; await its result or detach it"]
pub struct Child<W> {
    hold: Rc<Hold>,
    run: RunId,
    workflow: PhantomData<fn() -> W>,
}

impl<W> fmt::Debug for Child<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child").field("op", &self.hold.op).field("run", &self.run).finish_non_exhaustive()
    }
}

impl<W: ChildType> Child<W> {
    /// Its workflow id.
    ///
    /// # Panics
    ///
    /// Never: a child that is under way has an id.
    pub fn id(&self) -> &WorkflowId {
        &self.target().0
    }

    /// Its run; the first, if it continues as others.
    pub fn run_id(&self) -> RunId {
        self.run
    }

    /// Waits for its result; as often as one likes.
    pub fn result(&self) -> ChildResult<W> {
        ChildResult::new(Rc::clone(&self.hold))
    }

    /// Signals it by the signal's name. The message is on its way when this returns; the future tells whether it
    /// arrived.
    #[track_caller]
    pub fn signal<A: Serialize + ?Sized>(&self, name: &str, argument: &A) -> Sent {
        let (workflow_id, queue) = self.target().clone();
        send_signal(&self.hold.at, Target { workflow_id, queue, run: None }, name, argument)
    }

    /// Asks it to cancel itself. [`result`](Self::result) tells how it ended.
    #[track_caller]
    pub fn cancel(&self, reason: &str) {
        self.hold.at.shared.cancel_child(self.hold.op, reason);
    }

    /// Lets it go on without anybody waiting. When this run ends it meets
    /// [`ChildCall::parent_close`](super::ChildCall::parent_close) all the same.
    pub fn detach(self) {
        self.hold.detached.set(true);
    }

    fn target(&self) -> &(WorkflowId, QueueName) {
        self.hold.target.as_ref().expect("a child that is under way was started")
    }
}

impl<W: ChildType> SignalPort<W> for Child<W> {
    type Sent = Sent;

    #[track_caller]
    fn send_signal<A: Serialize + ?Sized>(&self, name: &'static str, argument: &A) -> Sent {
        self.signal(name, argument)
    }
}

/// Waits for the result of a child. Dropping the last handle of a child cancels it.
#[must_use = "dropping this may cancel the child; await or detach it"]
pub struct ChildResult<W> {
    hold: Option<Rc<Hold>>,
    workflow: PhantomData<fn() -> W>,
}

impl<W> ChildResult<W> {
    pub(super) fn new(hold: Rc<Hold>) -> Self {
        Self { hold: Some(hold), workflow: PhantomData }
    }

    /// Lets the child go on without anybody waiting.
    pub fn detach(self) {
        if let Some(hold) = &self.hold {
            hold.detached.set(true);
        }
    }
}

impl<W> Unpin for ChildResult<W> {}

impl<W> fmt::Debug for ChildResult<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ChildResult").field(&self.hold.as_ref().map(|hold| hold.op)).finish()
    }
}

impl<W: ChildType> Future for ChildResult<W> {
    type Output = Result<W::Ok, CallError<W::Err>>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(hold) = &self.hold else { return Poll::Pending };
        let Some(ended) = hold.look(cx).ended else { return Poll::Pending };
        self.hold = None;
        Poll::Ready(decode(ended))
    }
}

impl<W: ChildType> FusedFuture for ChildResult<W> {
    fn is_terminated(&self) -> bool {
        self.hold.is_none()
    }
}
