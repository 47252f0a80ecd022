//! Waiting for many operations in an order that replays.
//!
//! `futures::future::join_all` changes the order in which it polls above thirty futures. Here the order is that of the
//! list, always, and only what was woken is polled, so a thousand operations cost a thousand polls, not a million.

mod buffered;
mod children;

use std::{
    fmt,
    future::{Future, IntoFuture},
    pin::Pin,
    task::{Context, Poll},
};

use children::Children;

pub use buffered::{Buffered, buffered, for_each_concurrent};

/// Waits for all of them and gives their outputs in the order of the list.
///
/// All operations are under way before the first is awaited; see [`buffered`] for some at a time. Dropping the future
/// drops those that have not ended.
///
/// ```
/// # extern crate highwater_core as highwater;
/// # use highwater::{CallError, Ctx, join::join_all};
/// # async fn example(ctx: Ctx) {
/// let lengths: Vec<Result<usize, CallError<String>>> =
///     join_all(["a", "bc"].map(|text| ctx.step("measure", async move |_| Ok(text.len())))).await;
/// # }
/// ```
pub fn join_all<I, F>(list: I) -> JoinAll<F>
where
    I: IntoIterator,
    I::Item: IntoFuture<IntoFuture = F, Output = F::Output>,
    F: Future,
{
    JoinAll { children: Children::of(list) }
}

/// Waits until all of them have a value, or one an error: then the rest is dropped, which cancels what they wait for.
///
/// ```
/// # extern crate highwater_core as highwater;
/// # use highwater::{CallError, Ctx, join::try_join_all};
/// # async fn example(ctx: Ctx) -> Result<(), CallError<String>> {
/// let lengths: Vec<usize> =
///     try_join_all(["a", "bc"].map(|text| ctx.step("measure", async move |_| Ok(text.len())))).await?;
/// # Ok(())
/// # }
/// ```
pub fn try_join_all<I, F, T, E>(list: I) -> TryJoinAll<F>
where
    I: IntoIterator,
    I::Item: IntoFuture<IntoFuture = F, Output = Result<T, E>>,
    F: Future<Output = Result<T, E>>,
{
    TryJoinAll { children: Children::of(list) }
}

/// See [`join_all`].
#[must_use = "dropping this drops everything in it; await it"]
pub struct JoinAll<F: Future> {
    children: Children<F>,
}

/// See [`try_join_all`].
#[must_use = "dropping this drops everything in it; await it"]
pub struct TryJoinAll<F: Future> {
    children: Children<F>,
}

// A child is on the heap and its output is never pinned.
impl<F: Future> Unpin for JoinAll<F> {}
impl<F: Future> Unpin for TryJoinAll<F> {}

impl<F: Future> fmt::Debug for JoinAll<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinAll").field("left", &self.children.left()).finish_non_exhaustive()
    }
}

impl<F: Future> fmt::Debug for TryJoinAll<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryJoinAll").field("left", &self.children.left()).finish_non_exhaustive()
    }
}

impl<F: Future> Future for JoinAll<F> {
    type Output = Vec<F::Output>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.children.poll(cx, |_| false);
        if self.children.is_done() || self.children.left() > 0 {
            return Poll::Pending;
        }
        Poll::Ready(self.children.take())
    }
}

impl<F: Future<Output = Result<T, E>>, T, E> Future for TryJoinAll<F> {
    type Output = Result<Vec<T>, E>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let failed = self.children.poll(cx, Result::is_err);
        if self.children.is_done() || (!failed && self.children.left() > 0) {
            return Poll::Pending;
        }
        // The rest is dropped here, before anybody sees the error.
        Poll::Ready(self.children.take().into_iter().collect())
    }
}
