//! Local steps: code that runs in the worker and whose result is recorded.

use std::{
    fmt,
    future::{Future, IntoFuture},
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::{FutureExt, future::FusedFuture};
use highwater_protocol::{Failure, FailureKind, OpId, RetryPolicy, RunId, TypeName, task::idempotency_key};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::{
    call::decode,
    operation::{Operation, Scoped, operation_future},
};
use crate::{
    activity,
    fault::{CallError, Fault, Recordable},
    run::{Kind, OnCancel, StepWork},
};

/// What a step knows of itself.
#[derive(Clone, Debug)]
pub struct StepContext {
    run: RunId,
    op: OpId,
    attempt: u32,
}

impl StepContext {
    /// A key that is the same whenever this step runs again and differs from every other step's: hand it to the service
    /// you call, so that a second execution does not do the work twice.
    pub fn idempotency_key(&self) -> Uuid {
        idempotency_key(self.run, self.op)
    }

    /// The run that the step belongs to.
    pub fn run_id(&self) -> RunId {
        self.run
    }

    /// Which attempt this is, from 1. A worker that takes the run over begins to count again.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }
}

/// A step that has not been begun yet: await it, or set options first.
#[must_use = "a step is run when this is awaited"]
pub struct StepCall<F, E> {
    at: Scoped,
    name: Result<TypeName, Failure>,
    code: F,
    /// Makes the code of a further attempt, where there may be one.
    again: Option<fn(&F) -> F>,
    policy: RetryPolicy,
    non_retryable: fn(&E) -> bool,
}

impl<F, E> fmt::Debug for StepCall<F, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StepCall").field(&self.name).finish()
    }
}

impl<F, E> StepCall<F, E> {
    pub(super) fn new(at: Scoped, name: &str, code: F) -> Self {
        let name = at.shared.name(name).map_err(|error| Failure::new(FailureKind::Payload, error.to_string()));
        Self { at, name, code, again: None, policy: RetryPolicy::none(), non_retryable: |_| false }
    }

    /// Runs the code again when it returned an error or panicked, as the policy says; without this there is one
    /// attempt. The worker waits between the attempts, and a worker that takes the run over begins with the first.
    ///
    /// Every attempt gets a clone of the code, and so of all that it captures.
    ///
    /// ```
    /// # extern crate highwater_core as highwater;
    /// # use std::time::Duration;
    /// # use highwater::{CallError, Ctx};
    /// # use highwater_protocol::RetryPolicy;
    /// # async fn example(ctx: Ctx, url: String) -> Result<(), CallError<String>> {
    /// let quick = RetryPolicy { initial_interval: Duration::from_millis(50), maximum_attempts: 5, ..Default::default() };
    /// let page: String = ctx
    ///     .step("fetch", async move |_| Err(format!("nothing at {url}")))
    ///     .retry(quick)
    ///     .non_retryable(|error| error.contains("gone"))
    ///     .await?;
    /// # Ok(()) }
    /// ```
    pub fn retry(self, policy: RetryPolicy) -> Self
    where
        F: Clone,
    {
        Self { again: Some(F::clone), policy, ..self }
    }

    /// After which errors no further attempt is made, whatever the policy says.
    pub fn non_retryable(self, judge: fn(&E) -> bool) -> Self {
        Self { non_retryable: judge, ..self }
    }
}

impl<F, Fut, T, E> IntoFuture for StepCall<F, E>
where
    F: FnOnce(StepContext) -> Fut + Send + 'static,
    Fut: Future<Output = Result<T, E>> + Send + 'static,
    T: Recordable,
    E: Fault,
{
    type Output = Result<T, CallError<E>>;
    type IntoFuture = PendingStep<T, E>;

    /// Begins the step: here the operation gets its number.
    #[track_caller]
    fn into_future(self) -> PendingStep<T, E> {
        let (name, refused) = match self.name {
            Ok(name) => (name, None),
            Err(failure) => (TypeName::new("-").expect("a dash is a name"), Some(failure)),
        };
        let operation = self.at.make(Kind::Step, name.clone(), OnCancel::Tell, |_| None);
        if let Some(failure) = refused {
            operation.fail(Kind::Step, failure);
        }
        let shared = &self.at.shared;
        let (run, limits, non_retryable) = (shared.run, shared.limits, self.non_retryable);
        let op = operation.op();
        let mut code = Some(self.code);
        let work: StepWork = Box::new(move |attempt| {
            let code = match self.again {
                Some(clone) => code.as_ref().map(clone),
                None => code.take(),
            };
            let code = code.expect("without a retry policy there is one attempt");
            let context = StepContext { run, op, attempt };
            // The closure itself runs on the async runtime too: what the user writes before the first await is not
            // workflow code.
            async move { limits.step_outcome(activity::outcome(code(context).await, non_retryable)) }.boxed()
        });
        shared.run_step(operation.op(), name, self.policy, work);
        PendingStep { operation, types: PhantomData }
    }
}

/// A step under way. Dropping it gives its result up.
#[must_use = "dropping this gives the step up; await or detach it"]
pub struct PendingStep<T, E> {
    operation: Operation,
    types: PhantomData<fn() -> (T, E)>,
}

operation_future!(PendingStep<T, E>);

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
