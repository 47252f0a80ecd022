//! Messages that a start brings, written like those to a handle.

use std::{fmt, marker::PhantomData};

use highwater_core::{
    definition::{SignalPort, UpdatePort},
    fault::Fault,
};
use highwater_protocol::{Payload, payload};
use serde::{Serialize, de::DeserializeOwned};

use super::{Start, StartWithUpdate};
use crate::typed::Typed;

/// Takes down one message for a workflow of type `W`: what [`Start::with_signal`] and [`Start::with_update`] show to
/// their closures. The typed handle of the workflow has its methods on it.
pub struct Draft<W>(PhantomData<fn() -> W>);

/// A message that was taken down; `R` is what it gives.
#[must_use = "it is part of a start only when the closure returns it"]
pub struct Drafted<R> {
    name: &'static str,
    argument: Result<Payload, payload::Error>,
    returns: PhantomData<fn() -> R>,
}

impl<W> fmt::Debug for Draft<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Draft")
    }
}

impl<R> fmt::Debug for Drafted<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drafted").field("name", &self.name).field("argument", &self.argument).finish()
    }
}

impl<R> Drafted<R> {
    fn new<A: Serialize + ?Sized>(name: &'static str, argument: &A) -> Self {
        Self { name, argument: Payload::encode(argument), returns: PhantomData }
    }
}

impl<W> SignalPort<W> for Draft<W> {
    type Sent = Drafted<()>;

    fn send_signal<A: Serialize + ?Sized>(&self, name: &'static str, argument: &A) -> Self::Sent {
        Drafted::new(name, argument)
    }
}

impl<W> UpdatePort<W> for Draft<W> {
    type Updated<T: DeserializeOwned + 'static, E: Fault> = Drafted<Typed<T, E>>;

    fn send_update<A: Serialize + ?Sized, T: DeserializeOwned + 'static, E: Fault>(
        &self,
        name: &'static str,
        argument: &A,
    ) -> Self::Updated<T, E> {
        Drafted::new(name, argument)
    }
}

impl<W> Start<W> {
    /// Brings a signal, by the method of the workflow's typed handle:
    /// `client.start(Cart::run, ()).id("cart-17").with_signal(|cart| cart.add(item)).await?`.
    ///
    /// The run there is gets it, as [`IdConflict::UseExisting`](crate::IdConflict::UseExisting) is set too; if there is
    /// none, the new run has it before its code begins. Either both happen or neither.
    pub fn with_signal(self, signal: impl FnOnce(&Draft<W>) -> Drafted<()>) -> Self {
        let Drafted { name, argument, .. } = signal(&Draft(PhantomData));
        self.bring_signal(name.to_owned(), argument)
    }

    /// Brings an update, by the method of the workflow's typed handle:
    /// `let (cart, update) = client.start(Cart::run, ()).id("cart-17").with_update(|cart| cart.add(item)).await?`.
    ///
    /// The run there is gets it, as [`IdConflict::UseExisting`](crate::IdConflict::UseExisting) is set too; if there is
    /// none, the new run does. A worker has to be alive: until one is, the start waits for it.
    pub fn with_update<T, E>(
        self,
        update: impl FnOnce(&Draft<W>) -> Drafted<Typed<T, E>>,
    ) -> StartWithUpdate<W, Typed<T, E>> {
        let Drafted { name, argument, .. } = update(&Draft(PhantomData));
        self.bring_update(name.to_owned(), argument)
    }
}
