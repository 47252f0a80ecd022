//! Some operations at a time.

use std::{
    fmt,
    future::{Future, IntoFuture, poll_fn},
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::Stream;

use super::children::Children;

/// Has at most `limit` of the operations under way at a time, and gives their outputs in the order of the list.
///
/// An operation is taken from the list, and made, when another has ended. So a list of activity calls encodes no input
/// and sends nothing before its turn comes. A limit of 0 counts as 1. Dropping this drops what is under way.
///
/// It is a stream, with the methods of `futures::StreamExt`; [`Buffered::collect`] and [`Buffered::try_collect`] need
/// none.
///
/// ```
/// # extern crate highwater_core as highwater;
/// # use highwater::{CallError, Ctx, join::buffered};
/// # use highwater_macros::activity;
/// # #[activity] async fn transcode(chunk: u32) -> Result<u64, String> { Ok(5) }
/// # async fn example(ctx: Ctx) -> Result<(), CallError<String>> {
/// // Two hundred chunks, eight at a time; at the first error what is under way is cancelled.
/// let sizes: Vec<u64> = buffered(8, (0..200).map(|chunk| ctx.run(transcode, chunk))).try_collect().await?;
/// # Ok(()) }
/// ```
pub fn buffered<I>(limit: usize, operations: I) -> Buffered<I::IntoIter>
where
    I: IntoIterator,
    I::Item: IntoFuture,
{
    Buffered {
        limit: limit.max(1),
        operations: operations.into_iter(),
        exhausted: false,
        children: Children::new(),
        next: 0,
    }
}

/// Calls `code` for each of the items and waits until all that it returned has ended; at most `limit` at a time.
///
/// ```
/// # extern crate highwater_core as highwater;
/// # use std::cell::Cell;
/// # use highwater::{CallError, Ctx, join::for_each_concurrent};
/// # use highwater_macros::activity;
/// # #[activity] async fn transcode(chunk: u32) -> Result<u64, String> { Ok(5) }
/// # async fn example(ctx: Ctx) {
/// let failed = Cell::new(0);
/// for_each_concurrent(8, 0..200, async |chunk| {
///     if ctx.run(transcode, chunk).await.is_err() {
///         failed.set(failed.get() + 1);
///     }
/// })
/// .await;
/// # }
/// ```
pub async fn for_each_concurrent<I, Fut>(limit: usize, items: I, code: impl FnMut(I::Item) -> Fut)
where
    I: IntoIterator,
    Fut: Future<Output = ()>,
{
    let mut all = buffered(limit, items.into_iter().map(code));
    while all.next().await.is_some() {}
}

/// See [`buffered`].
#[must_use = "nothing is made before this is awaited"]
pub struct Buffered<I>
where
    I: Iterator,
    I::Item: IntoFuture,
{
    limit: usize,
    operations: I,
    exhausted: bool,
    children: Children<<I::Item as IntoFuture>::IntoFuture>,
    /// Whose output comes next.
    next: usize,
}

// A child is on the heap, and neither the iterator nor an output is ever pinned.
impl<I: Iterator> Unpin for Buffered<I> where I::Item: IntoFuture {}

impl<I: Iterator> fmt::Debug for Buffered<I>
where
    I::Item: IntoFuture,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffered")
            .field("limit", &self.limit)
            .field("under_way", &self.children.left())
            .finish_non_exhaustive()
    }
}

impl<I> Buffered<I>
where
    I: Iterator,
    I::Item: IntoFuture,
{
    /// Waits for the next output, in the order of the list; `None` after the last.
    pub async fn next(&mut self) -> Option<<I::Item as IntoFuture>::Output> {
        poll_fn(|cx| self.poll_output(cx)).await
    }

    /// Waits for all outputs.
    pub async fn collect<C: Default + Extend<<I::Item as IntoFuture>::Output>>(mut self) -> C {
        let mut all = C::default();
        while let Some(output) = self.next().await {
            all.extend([output]);
        }
        all
    }

    /// Waits for all values, or for the first error in the order of the list; then the rest is dropped, which cancels
    /// it.
    pub async fn try_collect<C, T, E>(mut self) -> Result<C, E>
    where
        I::Item: IntoFuture<Output = Result<T, E>>,
        C: Default + Extend<T>,
    {
        let mut all = C::default();
        while let Some(output) = self.next().await {
            all.extend([output?]);
        }
        Ok(all)
    }

    fn poll_output(&mut self, cx: &Context<'_>) -> Poll<Option<<I::Item as IntoFuture>::Output>> {
        loop {
            let left = self.children.left();
            self.children.poll(cx, |_| false);
            // An output goes out before more is made: it may be the error after which nothing more is wanted.
            if let Some(output) = self.children.take_one(self.next) {
                self.next += 1;
                return Poll::Ready(Some(output));
            }
            if !self.fill() && self.children.left() == left {
                break;
            }
        }
        if self.exhausted && self.next == self.children.len() { Poll::Ready(None) } else { Poll::Pending }
    }

    /// Makes as many operations as may be under way; tells whether it made any.
    fn fill(&mut self) -> bool {
        let before = self.children.len();
        while !self.exhausted && self.children.left() < self.limit {
            match self.operations.next() {
                Some(operation) => self.children.push(operation.into_future()),
                None => self.exhausted = true,
            }
        }
        self.children.len() > before
    }
}

impl<I> Stream for Buffered<I>
where
    I: Iterator,
    I::Item: IntoFuture,
{
    type Item = <I::Item as IntoFuture>::Output;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_output(cx)
    }
}
