//! What is on its way to the broker: thousands of calls at once, polled by the driver itself.
//!
//! None of them may yield to the runtime: it forgets whom it let wait when the engine leaves it for its chores
//! (`executor/home.rs`). A task for each would be scheduled twice more for every record, and the calls of one burst
//! would reach the connection one by one, each with a write of its own. Here they begin together.

use std::{
    fmt,
    task::{Context, Poll, Waker},
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use highwater_broker::BoxFuture;
use tokio::task::unconstrained;

use crate::engine::Input;

/// The calls under way. Each ends with what the engine is to be told, if anything.
#[derive(Default)]
pub(super) struct Flights(FuturesUnordered<BoxFuture<'static, Option<Input>>>);

impl Flights {
    /// Adds one. It begins when this is polled next, with all others that were added meanwhile.
    pub(super) fn add(&mut self, flight: impl Future<Output = Option<Input>> + Send + 'static) {
        // Without the runtime's budget: it is one for the whole driver, which would soon poll in vain.
        self.0.push(Box::pin(unconstrained(flight)));
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What the next one has to tell that ends and has something to tell; nothing when all have ended.
    pub(super) async fn next(&mut self) -> Option<Input> {
        while let Some(landed) = self.0.next().await {
            if landed.is_some() {
                return landed;
            }
        }
        None
    }

    /// The same of those that have ended by now. All others have begun then.
    pub(super) fn try_next(&mut self) -> Option<Input> {
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            match self.0.poll_next_unpin(&mut cx) {
                Poll::Ready(Some(None)) => {}
                Poll::Ready(landed) => return landed.flatten(),
                Poll::Pending => return None,
            }
        }
    }

    /// Waits until all have ended.
    pub(super) async fn land(&mut self) {
        while self.0.next().await.is_some() {}
    }
}

impl fmt::Debug for Flights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Flights").field(&self.0.len()).finish()
    }
}
