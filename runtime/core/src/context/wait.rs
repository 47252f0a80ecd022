//! Waiting for a condition, and for a request to cancel.

use std::{
    cell::RefCell,
    fmt,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use futures_util::future::FusedFuture;

use super::operation::Scoped;
use crate::{
    fault::Cancelled,
    run::{Awaited, Scope, Shared},
};

/// A place in the list of those who look again whenever anything changed.
pub(super) struct Waiter {
    shared: Rc<Shared>,
    number: u64,
    /// What is waited for, for whoever asks why a run does not go on.
    what: Awaited,
}

impl Waiter {
    pub(super) fn new(shared: Rc<Shared>, what: Awaited) -> Self {
        let number = shared.new_waiter();
        Self { shared, number, what }
    }

    pub(super) fn wait(&self, cx: &Context<'_>) {
        self.shared.wait(self.number, cx.waker(), &self.what);
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.shared.stop_waiting(self.number);
    }
}

/// Waits until a condition over the state holds.
#[must_use = "await it and look at its result"]
pub struct WaitUntil<S, F> {
    waiter: Waiter,
    state: Rc<RefCell<S>>,
    scope: Rc<Scope>,
    condition: F,
    done: bool,
}

impl<S, F> fmt::Debug for WaitUntil<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WaitUntil")
    }
}

impl<S, F> WaitUntil<S, F> {
    pub(super) fn new(at: Scoped, state: Rc<RefCell<S>>, condition: F) -> Self {
        Self { waiter: Waiter::new(at.shared, Awaited::Condition), state, scope: at.scope, condition, done: false }
    }
}

impl<S, F: FnMut(&S) -> bool + Unpin> Future for WaitUntil<S, F> {
    type Output = Result<(), Cancelled>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.done {
            return Poll::Pending;
        }
        if (this.condition)(&this.state.borrow()) {
            this.done = true;
            return Poll::Ready(Ok(()));
        }
        if this.scope.is_cancelled() {
            this.done = true;
            return Poll::Ready(Err(Cancelled));
        }
        this.waiter.wait(cx);
        Poll::Pending
    }
}

impl<S, F: FnMut(&S) -> bool + Unpin> FusedFuture for WaitUntil<S, F> {
    fn is_terminated(&self) -> bool {
        self.done
    }
}

/// Waits until the run, or the scope of the handle that made this, is asked to cancel.
#[must_use = "await it"]
pub struct CancelRequested {
    waiter: Waiter,
    scope: Rc<Scope>,
    done: bool,
}

impl fmt::Debug for CancelRequested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CancelRequested")
    }
}

impl CancelRequested {
    pub(super) fn new(at: Scoped) -> Self {
        Self { waiter: Waiter::new(at.shared, Awaited::Cancel), scope: at.scope, done: false }
    }
}

impl Future for CancelRequested {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.done {
            return Poll::Pending;
        }
        if self.scope.is_cancelled() {
            self.done = true;
            return Poll::Ready(());
        }
        self.waiter.wait(cx);
        Poll::Pending
    }
}

impl FusedFuture for CancelRequested {
    fn is_terminated(&self) -> bool {
        self.done
    }
}
