//! Tasks that the code spawns.

use std::{
    cell::Cell,
    fmt,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use futures_util::{FutureExt, future::FusedFuture};

use super::Ctx;
use crate::run::{Ended, Role, Shared};

/// A spawned task. Awaiting it gives what its code returned; dropping it drops its code, which cancels what that waits
/// for; [`detach`](Self::detach) lets it go on by itself until the run ends.
#[must_use = "dropping this ends the task; await or detach it"]
pub struct Task<T> {
    shared: Rc<Shared>,
    number: u64,
    result: Rc<Slot<T>>,
    open: bool,
}

/// Where a task leaves what it returned.
struct Slot<T> {
    value: Cell<Option<T>>,
    waker: Cell<Option<Waker>>,
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Task").field(&self.number).finish()
    }
}

impl<T> Unpin for Task<T> {}

impl<T> Task<T> {
    /// Lets the task go on without anybody waiting. It ends with the run, which does not wait for it.
    pub fn detach(mut self) {
        self.open = false;
    }
}

impl<T> Future for Task<T> {
    type Output = T;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        if !self.open {
            return Poll::Pending;
        }
        if let Some(value) = self.result.value.take() {
            self.open = false;
            return Poll::Ready(value);
        }
        self.result.waker.set(Some(cx.waker().clone()));
        Poll::Pending
    }
}

impl<T> FusedFuture for Task<T> {
    fn is_terminated(&self) -> bool {
        !self.open
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if self.open {
            self.shared.end_task(self.number);
        }
    }
}

impl<S: 'static> Ctx<S> {
    /// Runs code beside this one, on the same thread and in an order that replays. It is polled for the first time
    /// after all tasks that are there.
    ///
    /// ```
    /// # extern crate highwater_core as highwater;
    /// # use std::time::Duration;
    /// # use highwater::{Ctx, Exit};
    /// # async fn example(ctx: Ctx) -> Result<(), Exit> {
    /// let reminder = ctx.spawn({
    ///     let ctx = ctx.clone();
    ///     async move { ctx.sleep(Duration::from_secs(3_600)).await }
    /// });
    /// ctx.signals::<()>("confirmed").recv().await?;
    /// drop(reminder);
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn spawn<T: 'static>(&self, code: impl Future<Output = T> + 'static) -> Task<T> {
        let shared = &self.inner.at.shared;
        shared.refuse_in_query("ctx.spawn");
        let result = Rc::new(Slot { value: Cell::new(None), waker: Cell::new(None) });
        let slot = Rc::clone(&result);
        let code = code.map(move |value| {
            slot.value.set(Some(value));
            if let Some(waker) = slot.waker.take() {
                waker.wake();
            }
            Ended::Quietly
        });
        let number = shared.add_task(Role::Spawned, code.boxed_local());
        Task { shared: Rc::clone(shared), number, result, open: true }
    }
}
