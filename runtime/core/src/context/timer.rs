//! Durable sleep.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::future::FusedFuture;
use highwater_protocol::{Event, Timestamp, TypeName};

use super::operation::{Operation, Scoped, operation_future};
use crate::{
    fault::Cancelled,
    run::{Kind, OnCancel, Resolution},
};

/// A timer under way. Dropping it cancels the timer.
#[must_use = "dropping this cancels the timer; await it and look at its result"]
pub struct Sleep {
    operation: Operation,
}

operation_future!(Sleep);

impl Sleep {
    #[track_caller]
    pub(super) fn new(at: &Scoped, fire_at: Timestamp) -> Self {
        let name = TypeName::new("sleep").expect("a word is a name");
        let operation = at.make(Kind::Timer, name, OnCancel::Tell, |op| Some(Event::TimerStarted { op, fire_at }));
        Self { operation }
    }
}

impl Future for Sleep {
    type Output = Result<(), Cancelled>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.operation.poll(cx) {
            Some(Resolution::Fired) => Poll::Ready(Ok(())),
            Some(Resolution::Cancelled | Resolution::Outcome(..) | Resolution::Delivered(_)) => {
                Poll::Ready(Err(Cancelled))
            }
            None => Poll::Pending,
        }
    }
}

impl FusedFuture for Sleep {
    fn is_terminated(&self) -> bool {
        self.operation.is_done()
    }
}
