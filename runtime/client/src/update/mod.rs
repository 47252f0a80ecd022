//! Asking a run to do something, and hearing what came of it.
//!
//! An update is in the run's history when it is *accepted*, and again when its handler has returned. Both are answered
//! to the sender by plain messages, and both are read from the history when an answer is lost. The sender's id for it
//! makes it one update however often it is sent to a run.

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

use highwater_broker::BoxFuture;
use highwater_core::fault::Fault;
use highwater_protocol::{Failure, InvalidId, Payload, Payloads, RunId, TypeName, UpdateId, payload};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::{
    handle::{Target, WorkflowHandle},
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
    update: NewUpdate,
    returns: PhantomData<fn() -> R>,
}

/// An update that was sent: by this process or by another one.
pub struct UpdateHandle<R> {
    update: SentUpdate,
    returns: PhantomData<fn() -> R>,
}

/// An update to be, whatever it gives.
struct NewUpdate {
    target: Target,
    name: String,
    input: Result<Payload, payload::Error>,
    id: Option<String>,
}

/// An update that was sent, whatever it gives.
#[derive(Clone)]
struct SentUpdate {
    target: Target,
    id: UpdateId,
    /// The run that accepted it, as far as that is known.
    run: Option<RunId>,
    /// Where the answers to it come, when it was sent from here.
    stored: Option<Stored>,
}

/// What came of an update.
type Outcome = Result<Payload, Failure>;

impl<W> WorkflowHandle<W> {
    /// Asks the run to do something: its handler `name` gets `argument`, and gives a `T` or fails with an `E`. A worker
    /// has to be alive for it to go on; until one is, the update waits.
    pub fn update<A, T, E>(&self, name: impl Into<String>, argument: &A) -> Update<Typed<T, E>>
    where
        A: Serialize + ?Sized,
        T: DeserializeOwned + 'static,
        E: Fault,
    {
        Update::new(self.target(), name.into(), Payload::encode(argument))
    }

    /// Asks the run to do something, argument and result encoded.
    pub fn update_payload(&self, name: impl Into<String>, argument: Payload) -> Update<Untyped> {
        Update::new(self.target(), name.into(), Ok(argument))
    }

    /// The update that was sent to the run with this id.
    pub fn update_handle<T, E>(&self, id: impl Into<String>) -> Result<UpdateHandle<Typed<T, E>>, InvalidId>
    where
        T: DeserializeOwned + 'static,
        E: Fault,
    {
        Ok(UpdateHandle::of(self.target().clone(), UpdateId::new(id)?, None))
    }

    /// The update that was sent to the run with this id, its result encoded.
    pub fn update_handle_untyped(&self, id: impl Into<String>) -> Result<UpdateHandle<Untyped>, InvalidId> {
        Ok(UpdateHandle::of(self.target().clone(), UpdateId::new(id)?, None))
    }
}

impl<R: Returns> Update<R> {
    fn new(target: &Target, name: String, input: Result<Payload, payload::Error>) -> Self {
        let update = NewUpdate { target: target.clone(), name, input, id: None };
        Self { update, returns: PhantomData }
    }

    /// What the update is called: sent again with the same id to the same run, it is the same update. Default: a
    /// generated one.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.update.id = Some(id.into());
        self
    }

    /// Sends the update and waits until the run has accepted it, for as long as that takes. To stop waiting is not to
    /// take it back.
    pub async fn accepted(self) -> Result<UpdateHandle<R>, UpdateError<R::Err>> {
        let sent = self.update.accepted().await.map_err(UpdateError::widen)?;
        Ok(UpdateHandle { update: sent, returns: PhantomData })
    }

    /// Sends the update and waits for what its handler returns, as awaiting does.
    pub async fn completed(self) -> Result<R::Ok, UpdateError<R::Err>> {
        let (id, outcome) = self.update.completed().await.map_err(UpdateError::widen)?;
        read::<R>(&id, outcome)
    }
}

impl NewUpdate {
    fn accepted(self) -> BoxFuture<'static, Result<SentUpdate, UpdateError<Infallible>>> {
        Box::pin(self.send())
    }

    fn completed(self) -> BoxFuture<'static, Result<(UpdateId, Outcome), UpdateError<Infallible>>> {
        Box::pin(async move {
            let update = self.send().await?;
            let outcome = update.hear().await?;
            Ok((update.id, outcome))
        })
    }

    async fn send(self) -> Result<SentUpdate, UpdateError<Infallible>> {
        let id = UpdateId::new(self.id.unwrap_or_else(|| Uuid::now_v7().to_string()))?;
        let call = UpdateCall {
            workflow_id: self.target.id().clone(),
            update_id: id,
            name: TypeName::new(self.name)?,
            input: self.input?,
            headers: Payloads::default(),
        };
        let id = call.update_id.clone();
        let send = |call| -> BoxFuture<'_, _> { Box::pin(send::send(&self.target, call)) };
        let accepted = self.target.client().ask(call, &send).await?;
        Ok(SentUpdate { id, run: Some(accepted.run), stored: accepted.sent, target: self.target })
    }
}

impl SentUpdate {
    fn outcome(&self) -> BoxFuture<'_, Result<Outcome, UpdateError<Infallible>>> {
        Box::pin(self.hear())
    }

    /// What came of it, as the interceptors let it be heard.
    async fn hear(&self) -> Result<Outcome, UpdateError<Infallible>> {
        let outcome = wait::outcome(self).await?;
        let of = Asked::Update { workflow_id: self.target.id(), update_id: &self.id };
        Ok(self.target.client().heard(of, outcome))
    }
}

impl<R> UpdateHandle<R> {
    /// An update that came along with a start, or that somebody sent.
    pub(crate) fn of(target: Target, id: UpdateId, stored: Option<Stored>) -> Self {
        Self { update: SentUpdate { target, id, run: None, stored }, returns: PhantomData }
    }

    /// What the update is called.
    pub fn id(&self) -> &UpdateId {
        &self.update.id
    }

    /// The run that accepted it, when this process was told.
    pub fn run_id(&self) -> Option<RunId> {
        self.update.run
    }
}

impl<R: Returns> UpdateHandle<R> {
    /// What the handler of the update returned, once it has. Waits for as long as it takes, through restarts of NATS
    /// too.
    pub async fn result(&self) -> Result<R::Ok, UpdateError<R::Err>> {
        let outcome = self.update.outcome().await.map_err(UpdateError::widen)?;
        read::<R>(&self.update.id, outcome)
    }
}

fn read<R: Returns>(id: &UpdateId, outcome: Outcome) -> Result<R::Ok, UpdateError<R::Err>> {
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
        Self { update: self.update.clone(), returns: PhantomData }
    }
}

impl<R> fmt::Debug for Update<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NewUpdate { target, name, .. } = &self.update;
        f.debug_struct("Update").field("handle", target).field("name", name).finish_non_exhaustive()
    }
}

impl<R> fmt::Debug for UpdateHandle<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SentUpdate { target, id, .. } = &self.update;
        f.debug_struct("UpdateHandle").field("handle", target).field("id", id).finish_non_exhaustive()
    }
}
