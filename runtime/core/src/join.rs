//! Waiting for many operations in an order that replays.
//!
//! `futures::future::join_all` changes the order in which it polls above thirty futures. Here the order is that of the
//! list, always, and only what was woken is polled, so a thousand operations cost a thousand polls, not a million.

use std::{
    fmt,
    future::{Future, IntoFuture},
    mem,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

/// Waits for all of them and gives their outputs in the order of the list.
///
/// All operations are under way before the first is awaited. Dropping the future drops those that have not ended.
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
    JoinAll { children: Children::new(list) }
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
    TryJoinAll { children: Children::new(list) }
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
        f.debug_struct("JoinAll").field("left", &self.children.left).finish_non_exhaustive()
    }
}

impl<F: Future> fmt::Debug for TryJoinAll<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryJoinAll").field("left", &self.children.left).finish_non_exhaustive()
    }
}

impl<F: Future> Future for JoinAll<F> {
    type Output = Vec<F::Output>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.children.poll(cx, |_| false);
        if self.children.done || self.children.left > 0 {
            return Poll::Pending;
        }
        Poll::Ready(self.children.take())
    }
}

impl<F: Future<Output = Result<T, E>>, T, E> Future for TryJoinAll<F> {
    type Output = Result<Vec<T>, E>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let failed = self.children.poll(cx, Result::is_err);
        if self.children.done || (!failed && self.children.left > 0) {
            return Poll::Pending;
        }
        // The rest is dropped here, before anybody sees the error.
        Poll::Ready(self.children.take().into_iter().collect())
    }
}

enum Child<F: Future> {
    Pending(Pin<Box<F>>),
    Ended(F::Output),
}

struct Children<F: Future> {
    list: Vec<Child<F>>,
    wakers: Vec<Arc<ChildWaker>>,
    woken: Arc<Woken>,
    left: usize,
    /// The outputs were handed out; from here on this is pending for ever, as every durable operation is.
    done: bool,
}

impl<F: Future> Children<F> {
    fn new<I>(list: I) -> Self
    where
        I: IntoIterator,
        I::Item: IntoFuture<IntoFuture = F, Output = F::Output>,
    {
        let list: Vec<_> = list.into_iter().map(|item| Child::Pending(Box::pin(item.into_future()))).collect();
        let left = list.len();
        let woken = Arc::new(Woken(Mutex::new(Queue { children: (0..left).collect(), parent: None })));
        let waker = |index| Arc::new(ChildWaker { index, queued: AtomicBool::new(true), woken: Arc::clone(&woken) });
        Self { list, wakers: (0..left).map(waker).collect(), woken, left, done: false }
    }

    /// Polls those that were woken, in the order of the list, until one ends in a way that ends all; tells whether one did.
    fn poll(&mut self, cx: &Context<'_>, ends_all: impl Fn(&F::Output) -> bool) -> bool {
        for index in self.woken.take(cx.waker()) {
            let waker = &self.wakers[index];
            waker.queued.store(false, Ordering::Release);
            let Child::Pending(future) = &mut self.list[index] else { continue };
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&Arc::clone(waker).into())) {
                let ends = ends_all(&output);
                self.list[index] = Child::Ended(output);
                self.left -= 1;
                if ends {
                    return true;
                }
            }
        }
        false
    }

    /// The outputs there are, in the order of the list. What has none is dropped, in the same order.
    fn take(&mut self) -> Vec<F::Output> {
        self.done = true;
        let output = |child| match child {
            Child::Pending(_) => None,
            Child::Ended(output) => Some(output),
        };
        mem::take(&mut self.list).into_iter().filter_map(output).collect()
    }
}

/// Who was woken since the last poll.
struct Woken(Mutex<Queue>);

struct Queue {
    children: Vec<usize>,
    parent: Option<Waker>,
}

impl Woken {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes those who were woken, sorted; the next one that is woken wakes the parent.
    fn take(&self, parent: &Waker) -> Vec<usize> {
        let mut queue = self.lock();
        queue.parent = Some(parent.clone());
        let mut children = mem::take(&mut queue.children);
        children.sort_unstable();
        children
    }
}

struct ChildWaker {
    index: usize,
    queued: AtomicBool,
    woken: Arc<Woken>,
}

impl Wake for ChildWaker {
    fn wake(self: Arc<Self>) {
        if self.queued.swap(true, Ordering::AcqRel) {
            return;
        }
        // The parent is woken without the lock, as its waker is somebody else's code.
        let parent = {
            let mut queue = self.woken.lock();
            queue.children.push(self.index);
            queue.parent.take()
        };
        if let Some(parent) = parent {
            parent.wake();
        }
    }
}
