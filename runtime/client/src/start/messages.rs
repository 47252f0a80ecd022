//! Starts that bring a message: for the run there is, or for a new one.

use std::{
    fmt,
    future::{Future, IntoFuture},
    marker::PhantomData,
    pin::Pin,
};

use highwater_broker::BoxFuture;
use highwater_core::fault::Fault;
use highwater_protocol::{
    Payload, Payloads, TypeName, UpdateId,
    event::{Signal, Update},
    payload,
    request::{IdConflict, StartRequest},
};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::{Start, StartError, builder::Intent, trace::Caller};
use crate::{
    handle::{Target, WorkflowHandle},
    request::Stored,
    typed::{Returns, Typed, Untyped},
    update::UpdateHandle,
};

/// A start that brings an update: await it for handles of both.
///
/// The update is accepted or refused by itself: a start whose update is refused has started the run.
#[must_use = "a start does nothing until it is awaited"]
pub struct StartWithUpdate<W, R> {
    start: Start<W>,
    returns: PhantomData<fn() -> R>,
}

/// What came of a start and its update: the run, what the update is called, and where the answers come.
type Brought = (Target, UpdateId, Option<Stored>);

impl<W> Start<W> {
    /// Brings a signal. The run there is gets it, as [`IdConflict::UseExisting`] is set too; if there is none, the new
    /// run has it before its code begins. Either both happen or neither.
    ///
    /// ```no_run
    /// # async fn example(client: highwater_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use highwater_protocol::Payload;
    ///
    /// let cart = client.start_by_name("cart", Payload::null()).id("cart-17").with_signal_named("add", "apple").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_signal_named<A: Serialize + ?Sized>(self, name: impl Into<String>, value: &A) -> Self {
        self.bring_signal(name.into(), Payload::encode(value))
    }

    /// Brings a signal whose value is encoded already: see [`with_signal_named`](Self::with_signal_named).
    pub fn with_signal_payload(self, name: impl Into<String>, input: Payload) -> Self {
        self.bring_signal(name.into(), Ok(input))
    }

    pub(super) fn bring_signal(mut self, name: String, input: Result<Payload, payload::Error>) -> Self {
        self.intent.bring_signal(name, input);
        self
    }

    /// Brings an update. The run there is gets it, as [`IdConflict::UseExisting`] is set too; if there is none, the new
    /// run does. A worker has to be alive: until one is, the start waits for it.
    ///
    /// ```no_run
    /// # async fn example(client: highwater_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use highwater_protocol::Payload;
    ///
    /// let start = client.start_by_name("cart", Payload::null()).id("cart-17");
    /// let (cart, update) = start.with_update_named::<_, u32, String>("add", "apple").await?;
    /// let count = update.result().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_update_named<A, T, E>(self, name: impl Into<String>, argument: &A) -> StartWithUpdate<W, Typed<T, E>>
    where
        A: Serialize + ?Sized,
        T: DeserializeOwned + 'static,
        E: Fault,
    {
        self.bring_update(name.into(), Payload::encode(argument))
    }

    /// Brings an update, argument and result encoded: see [`with_update_named`](Self::with_update_named).
    pub fn with_update_payload(self, name: impl Into<String>, argument: Payload) -> StartWithUpdate<W, Untyped> {
        self.bring_update(name.into(), Ok(argument))
    }

    pub(super) fn bring_update<R>(
        mut self,
        name: String,
        input: Result<Payload, payload::Error>,
    ) -> StartWithUpdate<W, R> {
        self.intent.bring_update(name, input);
        StartWithUpdate { start: self, returns: PhantomData }
    }
}

impl Intent {
    fn bring_signal(&mut self, name: String, input: Result<Payload, payload::Error>) {
        let signal = || {
            let input = input?;
            Ok(Signal::new(TypeName::new(name)?, input))
        };
        match signal() {
            Ok(signal) => {
                if let Ok(request) = &mut self.request {
                    request.signals.push(signal);
                    request.id_conflict = IdConflict::UseExisting;
                }
            }
            Err(error) => self.fail(error),
        }
    }

    fn bring_update(&mut self, name: String, input: Result<Payload, payload::Error>) {
        let update = || {
            let (id, input) = (UpdateId::new(Uuid::now_v7().to_string())?, input?);
            Ok(Update { id, name: TypeName::new(name)?, input, headers: Payloads::default(), reply: None })
        };
        match update() {
            Ok(update) => {
                if let Ok(request) = &mut self.request {
                    request.update = Some(Box::new(update));
                    request.id_conflict = IdConflict::UseExisting;
                }
            }
            Err(error) => self.fail(error),
        }
    }

    fn call_update(&mut self, id: String) {
        match UpdateId::new(id) {
            Ok(id) => {
                if let Ok(StartRequest { update: Some(update), .. }) = &mut self.request {
                    update.id = id;
                }
            }
            Err(error) => self.fail(error.into()),
        }
    }

    /// Starts the run, whose request brings an update.
    fn send_with_update(self, caller: Caller) -> BoxFuture<'static, Result<Brought, StartError>> {
        Box::pin(async move {
            let update = self.request.as_ref().ok().and_then(|request| request.update.as_ref());
            let id = update.map(|update| update.id.clone());
            let (target, stored) = self.send(caller).await?;
            Ok((target, id.expect("a start without its update is an error"), stored))
        })
    }
}

impl<W, R> StartWithUpdate<W, R> {
    /// What the update is called: sent again with the same id to the same run, it is the same update. Default: a
    /// generated one.
    pub fn update_id(mut self, id: impl Into<String>) -> Self {
        self.start.intent.call_update(id.into());
        self
    }
}

impl<W: 'static, R: Returns> IntoFuture for StartWithUpdate<W, R> {
    type Output = Result<(WorkflowHandle<W>, UpdateHandle<R>), StartError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        let sent = self.start.intent.send_with_update(Caller::here());
        Box::pin(async move {
            let (target, id, stored) = sent.await?;
            Ok((WorkflowHandle::of(target.clone()), UpdateHandle::of(target, id, stored)))
        })
    }
}

impl<W, R> fmt::Debug for StartWithUpdate<W, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StartWithUpdate").field(&self.start).finish()
    }
}
