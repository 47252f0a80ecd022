//! What there is to a child workflow beyond other operations: it starts, and several parts of the code may wait for it.

use std::{mem, task::Waker};

use highwater_protocol::{OpId, RunId};

use super::{Op, Resolution, Shared};

/// What is known of a child.
#[derive(Default)]
pub(super) struct ChildState {
    started: Option<RunId>,
    /// Who looks again when anything happens to it.
    wakers: Vec<Waker>,
}

/// What the code may know of a child.
pub(crate) struct ChildView {
    /// Its run, once that is under way.
    pub(crate) started: Option<RunId>,
    /// Its end, for the code.
    pub(crate) ended: Option<Resolution>,
}

impl ChildState {
    /// Whether anybody looks again when something happens to it.
    pub(super) fn is_looked_at(&self) -> bool {
        !self.wakers.is_empty()
    }
}

impl Shared {
    /// What is known of a child; the waker is woken when that changes.
    pub(crate) fn look_at_child(&self, op: OpId, waker: &Waker) -> ChildView {
        let waker = waker.clone();
        let mut ops = self.ops.borrow_mut();
        let Some(entry) = ops.get_mut(&op) else { return ChildView { started: None, ended: None } };
        let ended = entry.resolution.clone();
        let Some(child) = entry.child.as_mut() else { return ChildView { started: None, ended } };
        let started = child.started;
        let known = child.wakers.iter().any(|known| known.will_wake(&waker));
        if ended.is_none() && !known {
            child.wakers.push(waker);
        }
        ChildView { started, ended }
    }

    /// Whether the start of a child would be news.
    pub(in crate::run) fn is_starting(&self, op: OpId) -> bool {
        self.ops
            .borrow()
            .get(&op)
            .is_some_and(|entry| entry.open && entry.child.as_ref().is_some_and(|child| child.started.is_none()))
    }

    /// A child is under way; an error says what the code has under this number instead.
    pub(in crate::run) fn child_started(&self, op: OpId, run: RunId) -> Result<(), String> {
        if !self.is_starting(op) {
            return Err(format!("waits for no child workflow #{op} to start"));
        }
        if let Some(child) = self.ops.borrow_mut().get_mut(&op).and_then(|entry| entry.child.as_mut()) {
            child.started = Some(run);
        }
        self.wake_child(op);
        Ok(())
    }

    /// The code wants a child to cancel itself.
    #[track_caller]
    pub(crate) fn cancel_child(&self, op: OpId, reason: &str) {
        self.refuse_in_query("a child workflow was cancelled");
        self.tell(op, reason);
    }

    /// Wakes all who wait for a child, if the operation is one.
    pub(super) fn wake_child(&self, op: OpId) {
        let child = |entry: &mut Box<Op>| entry.child.as_mut().map(|child| mem::take(&mut child.wakers));
        let wakers = self.ops.borrow_mut().get_mut(&op).and_then(child);
        for waker in wakers.into_iter().flatten() {
            waker.wake();
        }
    }
}
