//! Cancelling operations: by their scope, by name, by letting go of them.

use std::task::Waker;

use highwater_protocol::{Event, OpId};

use super::{Kind, OnCancel, Op, Resolution, Shared};
use crate::run::scope::Scope;

/// Whether something was told to cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    No,
    Sent,
    Delivered,
}

impl Op {
    /// Notes that it is told to cancel; false when it was told before, or never is.
    pub(super) fn tell(&mut self) -> bool {
        let tell = self.told == Told::No && self.on_cancel != OnCancel::Abandon;
        if tell {
            self.told = Told::Sent;
        }
        tell
    }

    /// Whether the code goes on at once when the scope is cancelled.
    fn ends_when_cancelled(&self) -> bool {
        match self.on_cancel {
            OnCancel::Tell | OnCancel::TellAndLeave | OnCancel::Abandon => true,
            OnCancel::Wait => false,
            OnCancel::WaitTold => self.told == Told::Delivered,
        }
    }

    /// Ends it for the code.
    fn end_as_cancelled(&mut self) -> Option<Waker> {
        self.open = self.on_cancel != OnCancel::Tell;
        self.resolution = Some(Resolution::Cancelled);
        self.waker.take()
    }
}

impl Shared {
    /// Whether the run was asked to cancel.
    pub(crate) fn cancel_requested(&self) -> bool {
        self.scope.is_cancelled()
    }

    /// A scope is cancelled: everything in it that is waited for is told and ends, in the order in which it was made.
    pub(crate) fn cancel(&self, scope: &Scope, reason: &str) {
        if !scope.cancel(reason) {
            return;
        }
        let awaited = |op: &Op| op.is_awaited() && !op.cancelling && op.scope.is_cancelled();
        let ops: Vec<OpId> = self.ops.borrow().iter().filter(|(_, op)| awaited(op)).map(|(id, _)| *id).collect();
        for op in ops {
            let mut told = None;
            let waker = self.ops.borrow_mut().get_mut(&op).and_then(|entry| {
                told = entry.tell().then_some(entry.kind);
                entry.cancelling = true;
                if entry.ends_when_cancelled() { entry.end_as_cancelled() } else { None }
            });
            if let Some(kind) = told {
                self.issue_cancel(op, kind, reason);
            }
            if let Some(waker) = waker {
                waker.wake();
            }
            self.wake_child(op);
        }
    }

    /// A request to cancel has arrived, or never will.
    pub(in crate::run) fn told(&self, op: OpId) {
        let waker = self.ops.borrow_mut().get_mut(&op).and_then(|entry| {
            entry.told = Told::Delivered;
            let ends = entry.cancelling && entry.is_awaited() && entry.ends_when_cancelled();
            if ends { entry.end_as_cancelled() } else { None }
        });
        if let Some(waker) = waker {
            waker.wake();
        }
        self.wake_child(op);
    }

    /// Whether a child was asked to cancel, and nobody knows whether that has arrived.
    pub(in crate::run) fn is_being_told(&self, op: OpId) -> bool {
        self.ops
            .borrow()
            .get(&op)
            .is_some_and(|entry| entry.kind == Kind::Child && entry.open && entry.told == Told::Sent)
    }

    /// Tells an operation to cancel, whatever its scope; once.
    pub(super) fn tell(&self, op: OpId, reason: &str) {
        let tell = self.ops.borrow_mut().get_mut(&op).and_then(|entry| {
            let tell = entry.open && entry.told == Told::No;
            if tell {
                entry.told = Told::Sent;
            }
            tell.then_some(entry.kind)
        });
        if let Some(kind) = tell {
            self.issue_cancel(op, kind, reason);
        }
    }

    pub(super) fn issue_cancel(&self, op: OpId, kind: Kind, reason: &str) {
        let command = match kind {
            Kind::Activity => Event::ActivityCancelRequested { op },
            Kind::Timer => Event::TimerCancelled { op },
            Kind::Step => return self.drop_step(op),
            Kind::Child => Event::ChildCancelRequested { op, reason: reason.to_owned() },
            // What was sent is sent.
            Kind::External => return,
        };
        self.commands.borrow_mut().push(command);
    }
}
