//! Asking a run to do something, and hearing what came of it.
//!
//! An update is in the run's history when it is *accepted*, and again when its handler has returned. Both are answered to
//! the sender by plain messages, and both are read from the history when an answer is lost. The sender's id for it makes
//! it one update however often it is sent to a run.

mod error;
mod look;
mod send;
mod wait;

use std::{
    convert::Infallible,
    fmt,
    future::{Future, IntoFuture},
    marker::PhantomData,
    pin::Pin,
};

use futures_util::FutureExt;
use highwater_core::fault::Fault;
use highwater_protocol::{Failure, InvalidId, Payload, Payloads, RunId, TypeName, UpdateId, payload};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::{
    handle::WorkflowHandle,
    intercept::{Asked, UpdateCall},
    request::Stored,
    typed::{Returns, Typed, Untyped},
};

pub use error::UpdateError;
pub use send::Accepted;

/// An update to be: set what matters, then await it for its result, or [`accepted`](Self::accepted) for the moment when
/// the run has it.
///
/// ```no_run
/// # use highwater_client::{Untyped, WorkflowHandle};
/// # async fn example(cart: WorkflowHandle<Untyped>) -> Result<(), Box<dyn std::error::Error>> {
/// let count: u32 = cart.update::<_, u32, String>("add", "apple").await?;
///
/// // In two steps: the run has it, and later what came of it, perhaps in another process.
/// cart.update::<_, u32, String>("add", "pear").id("u-2").accepted().await?;
/// let count = cart.update_handle::<u32, String>("u-2")?.result().await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "an update does nothing until it is awaited"]
pub struct Update<R> {
    handle: WorkflowHandle<Untyped>,
    name: String,
    input: Result<Payload, payload::Error>,
    id: Option<String>,
    returns: PhantomData<fn() -> R>,
}

/// An update that was sent: by this process or by another one.
pub struct UpdateHandle<R> {
    handle: WorkflowHandle<Untyped>,
    id: UpdateId,
    /// The run that accepted it, as far as that is known.
    run: Option<RunId>,
    /// Where the answers to it come, when it was sent from here.
    sent: Option<Stored>,
    returns: PhantomData<fn() -> R>,
}

impl<W> WorkflowHandle<W> {
    /// Asks the run to do something: its handler `name` gets `argument`, and gives a `T` or fails with an `E`. A worker
    /// has to be alive for it to go on; until one is, the update waits.
    pub fn update<A, T, E>(&self, name: impl Into<String>, argument: &A) -> Update<Typed<T, E>>
    where
        A: Serialize + ?Sized,
        T: DeserializeOwned + 'static,
        E: Fault,
    {
        Update::new(self.untyped(), name, Payload::encode(argument))
    }

    /// Asks the run to do something, argument and result encoded.
    pub fn update_payload(&self, name: impl Into<String>, argument: Payload) -> Update<Untyped> {
        Update::new(self.untyped(), name, Ok(argument))
    }

    /// The update that was sent to the run with this id.
    pub fn update_handle<T, E>(&self, id: impl Into<String>) -> Result<UpdateHandle<Typed<T, E>>, InvalidId>
    where
        T: DeserializeOwned + 'static,
        E: Fault,
    {
        Ok(UpdateHandle::new(self.untyped(), UpdateId::new(id)?, None, None))
    }

    /// The update that was sent to the run with this id, its result encoded.
    pub fn update_handle_untyped(&self, id: impl Into<String>) -> Result<UpdateHandle<Untyped>, InvalidId> {
        Ok(UpdateHandle::new(self.untyped(), UpdateId::new(id)?, None, None))
    }
}

impl<R: Returns> Update<R> {
    pub(crate) fn new(
        handle: WorkflowHandle<Untyped>,
        name: impl Into<String>,
        input: Result<Payload, payload::Error>,
    ) -> Self {
        Self { handle, name: name.into(), input, id: None, returns: PhantomData }
    }

    /// What the update is called: sent again with the same id to the same run, it is the same update. Default: a generated
    /// one.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Sends the update and waits until the run has accepted it, for as long as that takes. To stop waiting is not to take
    /// it back.
    pub async fn accepted(self) -> Result<UpdateHandle<R>, UpdateError<R::Err>> {
        self.send().await.map_err(UpdateError::widen)
    }

    async fn send(self) -> Result<UpdateHandle<R>, UpdateError<Infallible>> {
        let id = UpdateId::new(self.id.unwrap_or_else(|| Uuid::now_v7().to_string()))?;
        let call = UpdateCall {
            workflow_id: self.handle.id().clone(),
            update_id: id,
            name: TypeName::new(self.name)?,
            input: self.input?,
            headers: Payloads::default(),
        };
        let id = call.update_id.clone();
        let accepted = self.handle.client().ask(call, &|call| send::send(&self.handle, call).boxed()).await?;
        Ok(UpdateHandle::new(self.handle, id, Some(accepted.run), accepted.sent))
    }

    async fn outcome(self) -> Result<(UpdateId, Result<Payload, Failure>), UpdateError<Infallible>> {
        let update = self.send().await?;
        let outcome = update.outcome().await?;
        Ok((update.id, outcome))
    }

    /// Sends the update and waits for what its handler returns, as awaiting does.
    pub async fn completed(self) -> Result<R::Ok, UpdateError<R::Err>> {
        self.outcome().await.map_err(UpdateError::widen).and_then(|(id, outcome)| read::<R>(&id, outcome))
    }
}

impl<R> UpdateHandle<R> {
    fn new(handle: WorkflowHandle<Untyped>, id: UpdateId, run: Option<RunId>, sent: Option<Stored>) -> Self {
        Self { handle, id, run, sent, returns: PhantomData }
    }

    /// An update that went along with a start, whose answers come to the same place.
    pub(crate) fn of_start(handle: WorkflowHandle<Untyped>, id: UpdateId, start: Option<Stored>) -> Self {
        Self::new(handle, id, None, start)
    }

    /// What came of it, as the interceptors let it be heard.
    async fn outcome(&self) -> Result<Result<Payload, Failure>, UpdateError<Infallible>> {
        let outcome = wait::outcome(self).await?;
        let of = Asked::Update { workflow_id: self.handle.id(), update_id: &self.id };
        Ok(self.handle.client().heard(of, outcome))
    }

    /// What the update is called.
    pub fn id(&self) -> &UpdateId {
        &self.id
    }

    /// The run that accepted it, when this process was told.
    pub fn run_id(&self) -> Option<RunId> {
        self.run
    }
}

impl<R: Returns> UpdateHandle<R> {
    /// What the handler of the update returned, once it has. Waits for as long as it takes, through restarts of NATS too.
    pub async fn result(&self) -> Result<R::Ok, UpdateError<R::Err>> {
        self.outcome().await.map_err(UpdateError::widen).and_then(|outcome| read::<R>(&self.id, outcome))
    }
}

fn read<R: Returns>(id: &UpdateId, outcome: Result<Payload, Failure>) -> Result<R::Ok, UpdateError<R::Err>> {
    match outcome {
        Ok(result) => R::read_ok(&result).map_err(|source| UpdateError::Decode { update: id.clone(), source }),
        Err(failure) => Err(match R::read_err(failure) {
            Ok(error) => UpdateError::Failed(error),
            Err(failure) => UpdateError::FailedOtherwise(failure),
        }),
    }
}

impl<R: Returns> IntoFuture for Update<R>
where
    R::Ok: 'static,
    R::Err: 'static,
{
    type Output = Result<R::Ok, UpdateError<R::Err>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.completed())
    }
}

impl<R> Clone for UpdateHandle<R> {
    fn clone(&self) -> Self {
        Self {
            handle: self.handle.clone(),
            id: self.id.clone(),
            run: self.run,
            sent: self.sent.clone(),
            returns: PhantomData,
        }
    }
}

impl<R> fmt::Debug for Update<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Update").field("handle", &self.handle).field("name", &self.name).finish_non_exhaustive()
    }
}

impl<R> fmt::Debug for UpdateHandle<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpdateHandle").field("handle", &self.handle).field("id", &self.id).finish_non_exhaustive()
    }
}
