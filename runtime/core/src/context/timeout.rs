//! Waiting at most so long.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::future::FusedFuture;

use super::timer::Sleep;
use crate::fault::Elapsed;

/// An operation with a timeout; made by [`Ctx::timeout`](super::Ctx::timeout).
#[must_use = "dropping this cancels the operation and its timer; await it"]
pub struct Timeout<F> {
    /// Gone once either has ended, so that what is left is cancelled then and not when this is dropped.
    waiting: Option<(Pin<Box<F>>, Sleep)>,
}

impl<F> fmt::Debug for Timeout<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Timeout").field(&self.waiting.as_ref().map(|(_, sleep)| sleep)).finish()
    }
}

impl<F> Timeout<F> {
    pub(super) fn new(operation: F, sleep: Sleep) -> Self {
        Self { waiting: Some((Box::pin(operation), sleep)) }
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some((operation, sleep)) = &mut self.waiting else { return Poll::Pending };
        // The operation first: what has ended counts, even if the time has passed meanwhile.
        let ended = match operation.as_mut().poll(cx) {
            Poll::Ready(output) => Ok(output),
            Poll::Pending => match Pin::new(sleep).poll(cx) {
                Poll::Ready(_) => Err(Elapsed),
                Poll::Pending => return Poll::Pending,
            },
        };
        self.waiting = None;
        Poll::Ready(ended)
    }
}

impl<F: Future> FusedFuture for Timeout<F> {
    fn is_terminated(&self) -> bool {
        self.waiting.is_none()
    }
}
