//! Local steps: code that runs in the worker and whose result is recorded.

use std::{
    future::Future,
    marker::PhantomData,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use futures_util::{FutureExt, future::FusedFuture};
use highwater_protocol::{Failure, FailureKind, RunId, TypeName, event::Outcome, task::idempotency_key};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::{
    call::decode,
    operation::{Operation, operation_future},
};
use crate::{
    activity,
    fault::{CallError, Fault},
    run::{Kind, Resolution, Shared},
};

/// What a step knows of itself.
#[derive(Clone, Debug)]
pub struct StepContext {
    run: RunId,
    key: Uuid,
}

impl StepContext {
    /// A key that is the same whenever this step runs again and differs from every other step's: hand it to the service
    /// you call, so that a second execution does not do the work twice.
    pub fn idempotency_key(&self) -> Uuid {
        self.key
    }

    /// The run that the step belongs to.
    pub fn run_id(&self) -> RunId {
        self.run
    }
}

/// A step under way. Dropping it gives its result up.
#[must_use = "dropping this gives the step up; await or detach it"]
pub struct PendingStep<T, E> {
    operation: Operation,
    types: PhantomData<fn() -> (T, E)>,
}

operation_future!(PendingStep<T, E>);

impl<T, E> PendingStep<T, E>
where
    T: Serialize + DeserializeOwned + 'static,
    E: Fault,
{
    #[track_caller]
    pub(super) fn new<F, Fut>(shared: &Rc<Shared>, shielded: bool, name: &str, code: F) -> Self
    where
        F: FnOnce(StepContext) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        let (name, refused) = match TypeName::new(name) {
            Ok(name) => (name, None),
            Err(error) => (
                TypeName::new("-").expect("a dash is a name"),
                Some(Failure::new(FailureKind::Payload, error.to_string())),
            ),
        };
        let op = shared.open(Kind::Step, name.clone(), shielded, |_| None);
        if let Some(failure) = refused {
            let _ = shared.resolve(op, Kind::Step, None, Resolution::Outcome(Outcome::Failed(failure)));
        }
        let context = StepContext { run: shared.run, key: idempotency_key(shared.run, op) };
        let limits = shared.limits;
        // The closure itself runs on the async runtime too: what the user writes before the first await is not workflow code.
        let work = async move { limits.step_outcome(activity::outcome(code(context).await, |_| false)) };
        shared.run_step(op, name, work.boxed());
        Self { operation: Operation::new(Rc::clone(shared), op), types: PhantomData }
    }
}

impl<T: DeserializeOwned, E: Fault> Future for PendingStep<T, E> {
    type Output = Result<T, CallError<E>>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.operation.poll(cx).map_or(Poll::Pending, |resolution| Poll::Ready(decode(resolution)))
    }
}

impl<T: DeserializeOwned, E: Fault> FusedFuture for PendingStep<T, E> {
    fn is_terminated(&self) -> bool {
        self.operation.is_done()
    }
}
