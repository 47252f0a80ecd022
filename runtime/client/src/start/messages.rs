//! Starts that bring a message: for the run there is, or for a new one.

use std::{
    fmt,
    future::{Future, IntoFuture},
    marker::PhantomData,
    pin::Pin,
};

use highwater_core::fault::Fault;
use highwater_protocol::{
    Payload, Payloads, TypeName, UpdateId,
    event::{Signal, Update},
    request::IdConflict,
};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::{Start, StartError, trace::Caller};
use crate::{
    handle::WorkflowHandle,
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

impl<W> Start<W> {
    /// Brings a signal. The run there is gets it, as [`IdConflict::UseExisting`] is set too; if there is none, the new run
    /// has it before its code begins. Either both happen or neither.
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
        match Payload::encode(value) {
            Ok(payload) => self.with_signal_payload(name, payload),
            Err(error) => self.fail(error.into()),
        }
    }

    /// Brings a signal whose value is encoded already: see [`with_signal_named`](Self::with_signal_named).
    pub fn with_signal_payload(self, name: impl Into<String>, input: Payload) -> Self {
        match TypeName::new(name) {
            Ok(name) => self.set(|request| {
                request.signals.push(Signal::new(name, input));
                request.id_conflict = IdConflict::UseExisting;
            }),
            Err(error) => self.fail(error.into()),
        }
    }

    /// Brings an update. The run there is gets it, as [`IdConflict::UseExisting`] is set too; if there is none, the new run
    /// does. A worker has to be alive: until one is, the start waits for it.
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
        match Payload::encode(argument) {
            Ok(payload) => self.bring_update(name.into(), payload),
            Err(error) => StartWithUpdate { start: self.fail(error.into()), returns: PhantomData },
        }
    }

    /// Brings an update, argument and result encoded: see [`with_update_named`](Self::with_update_named).
    pub fn with_update_payload(self, name: impl Into<String>, argument: Payload) -> StartWithUpdate<W, Untyped> {
        self.bring_update(name.into(), argument)
    }

    pub(super) fn bring_update<R>(self, name: String, input: Payload) -> StartWithUpdate<W, R> {
        let update = || {
            let (id, name) = (UpdateId::new(Uuid::now_v7().to_string())?, TypeName::new(name)?);
            Ok(Update { id, name, input, headers: Payloads::default(), reply: None })
        };
        let start = match update() {
            Ok(update) => self.set(|request| {
                request.update = Some(Box::new(update));
                request.id_conflict = IdConflict::UseExisting;
            }),
            Err(error) => self.fail(StartError::Name(error)),
        };
        StartWithUpdate { start, returns: PhantomData }
    }

    /// Notes what is wrong with the start; the first such thing is told.
    pub(super) fn fail(mut self, error: StartError) -> Self {
        self.request = self.request.and(Err(error));
        self
    }
}

impl<W, R> StartWithUpdate<W, R> {
    /// What the update is called: sent again with the same id to the same run, it is the same update. Default: a generated
    /// one.
    pub fn update_id(mut self, id: impl Into<String>) -> Self {
        self.start = match UpdateId::new(id) {
            Ok(id) => self.start.set(|request| {
                if let Some(update) = &mut request.update {
                    update.id = id;
                }
            }),
            Err(error) => self.start.fail(error.into()),
        };
        self
    }

    async fn send_from(self, caller: Caller) -> Result<(WorkflowHandle<W>, UpdateHandle<R>), StartError>
    where
        R: Returns,
    {
        let update = self.start.request.as_ref().ok().and_then(|request| request.update.as_ref());
        let id = update.map(|update| update.id.clone());
        let (handle, request) = self.start.send_plan(caller).await?;
        let id = id.expect("a start without its update is an error");
        Ok((handle.clone(), UpdateHandle::of_start(handle.untyped(), id, request)))
    }
}

impl<W: 'static, R: Returns> IntoFuture for StartWithUpdate<W, R> {
    type Output = Result<(WorkflowHandle<W>, UpdateHandle<R>), StartError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        let caller = Caller::here();
        Box::pin(self.send_from(caller))
    }
}

impl<W, R> fmt::Debug for StartWithUpdate<W, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StartWithUpdate").field(&self.start).finish()
    }
}
