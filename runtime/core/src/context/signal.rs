//! Receiving signals by name.

use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use futures_util::future::FusedFuture;
use highwater_protocol::TypeName;
use serde::de::DeserializeOwned;

use super::{operation::Scoped, wait::Waiter};
use crate::{fault::Cancelled, run::Awaited};

/// Receives the signals of one name, in the order in which they came.
pub struct Signals<T> {
    at: Scoped,
    name: TypeName,
    types: PhantomData<fn() -> T>,
}

impl<T> fmt::Debug for Signals<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Signals").field(&self.name).finish()
    }
}

impl<T: DeserializeOwned> Signals<T> {
    #[track_caller]
    pub(super) fn new(at: Scoped, name: &str) -> Self {
        let name = TypeName::try_from(name).unwrap_or_else(|error| panic!("no signal can have this name: {error}"));
        at.shared.receive(&name);
        Self { at, name, types: PhantomData }
    }

    /// Waits for the next signal.
    pub fn recv(&mut self) -> Received<'_, T> {
        let waiter = Waiter::new(Rc::clone(&self.at.shared), Awaited::Signal(self.name.clone()));
        Received { signals: self, waiter, done: false }
    }

    /// The next signal, if one is there.
    #[track_caller]
    pub fn try_recv(&mut self) -> Option<T> {
        loop {
            let signal = self.at.shared.pop_signal(&self.name)?;
            match self.at.shared.inbound_signal(&signal).input.decode() {
                Ok(value) => return Some(value),
                Err(error) => self.at.shared.unfit(&signal, &error),
            }
        }
    }
}

/// Waits for the next signal.
#[must_use = "await it and look at its result"]
pub struct Received<'a, T> {
    signals: &'a mut Signals<T>,
    waiter: Waiter,
    done: bool,
}

impl<T> fmt::Debug for Received<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Received").field(&self.signals.name).finish()
    }
}

impl<T: DeserializeOwned> Future for Received<'_, T> {
    type Output = Result<T, Cancelled>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.done {
            return Poll::Pending;
        }
        if let Some(value) = self.signals.try_recv() {
            self.done = true;
            return Poll::Ready(Ok(value));
        }
        if self.signals.at.is_cancelled() {
            self.done = true;
            return Poll::Ready(Err(Cancelled));
        }
        self.waiter.wait(cx);
        Poll::Pending
    }
}

impl<T: DeserializeOwned> FusedFuture for Received<'_, T> {
    fn is_terminated(&self) -> bool {
        self.done
    }
}
