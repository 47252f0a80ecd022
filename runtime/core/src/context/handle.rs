//! Handlers that the code registers while it runs, and updates, signals and queries whose names are unknown before.

use std::{fmt, future::Future, panic::Location};

use highwater_protocol::{Payload, TypeName};
use serde::{Serialize, de::DeserializeOwned};

use super::Ctx;
use crate::{
    definition::{Conclude, Does, signal_task, update, update_task, validating},
    run::{Ending, Unfinished, Unhandled},
};

/// A handler that was registered.
pub struct Registered {
    ending: Ending,
}

impl fmt::Debug for Registered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Registered").field(&self.ending.get()).finish()
    }
}

impl Registered {
    /// The run ends without waiting for this handler to return. By default it waits.
    pub fn abandon(self) {
        self.ending.set(Unfinished::Abandon);
    }
}

/// A validator that accepts every update whose argument fits: for [`Ctx::on_update`].
pub fn accept<S, A>(_state: &S, _argument: &A) -> Result<(), std::convert::Infallible> {
    Ok(())
}

impl<S: 'static> Ctx<S> {
    /// Answers queries of this name from now on. The handler must not change anything.
    ///
    /// # Panics
    ///
    /// When the workflow answers queries of this name already.
    #[track_caller]
    pub fn on_query<A: DeserializeOwned + 'static, R: Serialize + 'static>(
        &self,
        name: &str,
        handler: impl Fn(A) -> R + 'static,
    ) {
        self.handle(Some(name), Does::Query(Box::new(move |_, _, input| Payload::encode(&handler(input.decode()?)))));
    }

    /// Takes signals of this name from now on, and those that came before. Each is a task of its own, and the run does
    /// not end before it unless [`Registered::abandon`] says so.
    ///
    /// ```
    /// # extern crate highwater_core as highwater;
    /// # use highwater::{Ctx, Exit};
    /// # async fn example(ctx: Ctx) -> Result<(), Exit> {
    /// ctx.on_signal("restock", |ctx, item: String| async move {
    ///     let _ = ctx.step("order", async move |_| Ok::<_, String>(item.len())).await;
    /// });
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// When the workflow takes signals of this name already.
    #[track_caller]
    pub fn on_signal<A: DeserializeOwned + 'static, F: Future<Output = ()> + 'static>(
        &self,
        name: &str,
        handler: impl Fn(Self, A) -> F + 'static,
    ) -> Registered {
        self.handle(Some(name), signal_task(move |ctx, _, argument| handler(ctx, argument), Payload::decode))
    }

    /// Does updates of this name from now on. The validator sees the state and the argument before the update is
    /// accepted, and refuses it with an error; [`accept`] refuses none. The handler is a task of its own, and what it
    /// returns is the answer.
    ///
    /// # Panics
    ///
    /// When the workflow does updates of this name already.
    #[track_caller]
    pub fn on_update<A, E, R, F>(
        &self,
        name: &str,
        validator: impl Fn(&S, &A) -> Result<(), E> + 'static,
        handler: impl Fn(Self, A) -> F + 'static,
    ) -> Registered
    where
        A: DeserializeOwned + 'static,
        E: fmt::Display,
        R: Conclude + 'static,
        F: Future<Output = R> + 'static,
    {
        let begin = update_task(move |ctx, _, argument| handler(ctx, argument), Payload::decode);
        self.handle(Some(name), update(validating(validator), begin))
    }

    /// Answers queries whose name has no handler.
    ///
    /// # Panics
    ///
    /// When there is such a handler already.
    #[track_caller]
    pub fn on_any_query<R: Serialize + 'static>(&self, handler: impl Fn(TypeName, Payload) -> R + 'static) {
        let answer =
            move |_: &Self, name: &TypeName, input: &Payload| Payload::encode(&handler(name.clone(), input.clone()));
        self.handle(None, Does::Query(Box::new(answer)));
    }

    /// Takes signals whose name has no handler, and that are not received with [`Ctx::signals`], those that came before
    /// included. Each is a task of its own.
    ///
    /// # Panics
    ///
    /// When there is such a handler already.
    #[track_caller]
    pub fn on_any_signal<F: Future<Output = ()> + 'static>(
        &self,
        handler: impl Fn(Self, TypeName, Payload) -> F + 'static,
    ) -> Registered {
        self.handle(None, signal_task(handler, |input| Ok(input.clone())))
    }

    /// Does updates whose name has no handler. Each is a task of its own.
    ///
    /// # Panics
    ///
    /// When there is such a handler already.
    #[track_caller]
    pub fn on_any_update<R: Conclude + 'static, F: Future<Output = R> + 'static>(
        &self,
        handler: impl Fn(Self, TypeName, Payload) -> F + 'static,
    ) -> Registered {
        let begin = update_task(handler, |input| Ok(input.clone()));
        self.handle(None, update(Box::new(|_, _, _| Ok(Ok(()))), begin))
    }

    /// Signals that came in and that nothing takes: nothing has their name, or their argument does not fit.
    pub fn unhandled_signals(&self) -> Vec<Unhandled> {
        self.inner.at.shared.unhandled_signals()
    }

    #[track_caller]
    fn handle(&self, name: Option<&str>, does: Does<S>) -> Registered {
        let ending = does.ending();
        let place = format!("the one at {}", Location::caller());
        self.inner.at.shared.handle(name, &place, does.bind(self.clone()));
        Registered { ending }
    }
}
