//! Cancellation scopes, as the code holds them.

use super::Ctx;

/// A part of a run that can be cancelled by itself; made by [`Ctx::scope`]. Dropping it cancels nothing.
#[derive(Debug)]
pub struct CancelScope<S = ()> {
    ctx: Ctx<S>,
}

impl<S: 'static> CancelScope<S> {
    pub(super) fn new(ctx: Ctx<S>) -> Self {
        Self { ctx }
    }

    /// The handle whose operations belong to the scope.
    pub fn ctx(&self) -> &Ctx<S> {
        &self.ctx
    }

    /// Cancels what belongs to the scope: it ends as cancelled, as if the run had been asked to cancel. A second time
    /// changes nothing.
    #[track_caller]
    pub fn cancel(&self, reason: &str) {
        let at = &self.ctx.inner.at;
        at.shared.refuse_in_query("a scope was cancelled");
        at.shared.cancel(&at.scope, reason);
        at.shared.wake_waiters();
    }

    /// Whether it was cancelled, itself or with what it is in.
    pub fn is_cancelled(&self) -> bool {
        self.ctx.is_cancelled()
    }
}
