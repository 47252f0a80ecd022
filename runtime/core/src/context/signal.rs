//! Receiving signals by name.

use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use highwater_protocol::TypeName;
use serde::de::DeserializeOwned;

use super::wait::Waiter;
use crate::{fault::Cancelled, run::Shared};

/// Receives the signals of one name, in the order in which they came.
pub struct Signals<T> {
    shared: Rc<Shared>,
    shielded: bool,
    /// `None` for a name that no signal can have.
    name: Option<TypeName>,
    types: PhantomData<fn() -> T>,
}

impl<T> fmt::Debug for Signals<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Signals").field(&self.name).finish()
    }
}

impl<T: DeserializeOwned> Signals<T> {
    pub(super) fn new(shared: Rc<Shared>, shielded: bool, name: &str) -> Self {
        Self { shared, shielded, name: TypeName::new(name).ok(), types: PhantomData }
    }

    /// Waits for the next signal.
    pub fn recv(&mut self) -> Received<'_, T> {
        let waiter = Waiter::new(Rc::clone(&self.shared));
        Received { signals: self, waiter }
    }

    /// The next signal, if one is there.
    pub fn try_recv(&mut self) -> Option<T> {
        let name = self.name.as_ref()?;
        loop {
            match self.shared.pop_signal(name)?.decode() {
                Ok(value) => return Some(value),
                Err(error) => tracing::error!(
                    workflow_id = %self.shared.workflow_id, signal = %name, %error,
                    "a signal's argument does not fit its receiver; it stays in the history and changes nothing"
                ),
            }
        }
    }
}

/// Waits for the next signal.
#[must_use = "await it and look at its result"]
pub struct Received<'a, T> {
    signals: &'a mut Signals<T>,
    waiter: Waiter,
}

impl<T> fmt::Debug for Received<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Received").field(&self.signals.name).finish()
    }
}

impl<T: DeserializeOwned> Future for Received<'_, T> {
    type Output = Result<T, Cancelled>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(value) = self.signals.try_recv() {
            return Poll::Ready(Ok(value));
        }
        if !self.signals.shielded && self.signals.shared.cancel_requested() {
            return Poll::Ready(Err(Cancelled));
        }
        self.waiter.wait(cx);
        Poll::Pending
    }
}
