//! Workflows as types.

use std::{
    future::Future,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
};

use highwater_protocol::{Failure, FailureKind, Payload};
use serde::{Serialize, de::DeserializeOwned};

use super::Handlers;
use crate::{
    context::Ctx,
    fault::{Exit, Fault, to_failure},
    run::Conclusion,
};

/// A workflow type: what `#[workflow]` implements.
pub trait Workflow: 'static {
    /// What it takes.
    type Input: Serialize + DeserializeOwned + 'static;
    /// What it gives.
    type Ok: Serialize + DeserializeOwned + 'static;
    /// How it fails.
    type Err: Fault;
    /// The state that signals change and queries read; `()` for a workflow that is a function.
    type State: State<Self::Input>;
    /// The name that histories carry.
    const NAME: &'static str;
}

/// The state of a workflow, with the handlers that `#[workflow]` found in its `impl` block.
pub trait State<I>: Sized + 'static {
    /// The state when the run starts.
    fn init(input: &I) -> Self;

    /// Adds the handlers of its signals, queries and updates.
    fn handlers(handlers: &mut Handlers<Self>) {
        let _ = handlers;
    }
}

impl<I> State<I> for () {
    fn init(_: &I) -> Self {}
}

/// The future that a workflow returns.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not returned by a workflow",
    label = "write `#[workflow]` on the function or the `impl` block"
)]
pub trait WorkflowRun: Future {
    /// The workflow's type.
    type Workflow: Workflow;
}

/// A future with the type of its workflow on it.
pub struct TaggedRun<W, F> {
    future: Pin<Box<F>>,
    tag: PhantomData<fn() -> W>,
}

impl<W, F> std::fmt::Debug for TaggedRun<W, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TaggedRun")
    }
}

/// Tags a future.
pub fn tag_run<W: Workflow, F: Future>(future: F) -> TaggedRun<W, F> {
    TaggedRun { future: Box::pin(future), tag: PhantomData }
}

impl<W, F: Future> Future for TaggedRun<W, F> {
    type Output = F::Output;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.future.as_mut().poll(cx)
    }
}

impl<W: Workflow, F: Future> WorkflowRun for TaggedRun<W, F> {
    type Workflow = W;
}

/// What a workflow returns: a `Result` whose error is the user's own or an [`Exit`].
#[diagnostic::on_unimplemented(
    message = "a workflow returns a `Result`, not `{Self}`",
    note = "write `-> Result<Output, Exit<YourError>>`; `Exit` lets `?` pass on cancellation and failed calls"
)]
pub trait Conclude {
    /// The value.
    type Ok;
    /// The user's own error.
    type Err;
    /// How the run ends.
    fn conclude(self) -> Conclusion;
}

impl<T: Serialize, E: Fault> Conclude for Result<T, Exit<E>> {
    type Ok = T;
    type Err = E;
    fn conclude(self) -> Conclusion {
        match self {
            Ok(value) => completed(&value),
            Err(Exit::Error(error)) => Conclusion::Failed(to_failure(&error, false)),
            Err(Exit::Call(failure)) => Conclusion::Failed(failure),
            Err(Exit::Cancelled) => {
                Conclusion::Cancelled(Failure::new(FailureKind::Cancelled, "the run was asked to cancel"))
            }
            Err(Exit::ContinueAsNew(input)) => Conclusion::ContinueAsNew(input),
        }
    }
}

impl<T: Serialize, E: Fault> Conclude for Result<T, E> {
    type Ok = T;
    type Err = E;
    fn conclude(self) -> Conclusion {
        match self {
            Ok(value) => completed(&value),
            Err(error) => Conclusion::Failed(to_failure(&error, false)),
        }
    }
}

fn completed<T: Serialize>(value: &T) -> Conclusion {
    match Payload::encode(value) {
        Ok(result) => Conclusion::Completed(result),
        Err(error) => Conclusion::Failed(Failure::new(FailureKind::Payload, format!("the workflow's result: {error}"))),
    }
}

/// A function item marked `#[workflow]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a workflow",
    label = "expected a function marked `#[workflow]`, or the `run` method of an `impl` block marked so",
    note = "write the item itself: `worker.workflow(order)` or `worker.workflow(Order::run)`"
)]
pub trait WorkflowItem<P>: 'static {
    /// The workflow's type.
    type Workflow: Workflow;
    /// Calls it.
    fn begin(
        &self,
        ctx: Ctx<<Self::Workflow as Workflow>::State>,
        input: <Self::Workflow as Workflow>::Input,
    ) -> Pin<Box<dyn Future<Output = Conclusion>>>;
}

impl<F, Fut, S, I> WorkflowItem<(S, I)> for F
where
    F: Fn(Ctx<S>, I) -> Fut + 'static,
    Fut: WorkflowRun + 'static,
    Fut::Output: Conclude,
    Fut::Workflow: Workflow<Input = I, State = S>,
{
    type Workflow = Fut::Workflow;
    fn begin(&self, ctx: Ctx<S>, input: I) -> Pin<Box<dyn Future<Output = Conclusion>>> {
        let future = self(ctx, input);
        Box::pin(async move { future.await.conclude() })
    }
}

impl<F, Fut, S> WorkflowItem<(S,)> for F
where
    F: Fn(Ctx<S>) -> Fut + 'static,
    Fut: WorkflowRun + 'static,
    Fut::Output: Conclude,
    Fut::Workflow: Workflow<Input = (), State = S>,
{
    type Workflow = Fut::Workflow;
    fn begin(&self, ctx: Ctx<S>, (): ()) -> Pin<Box<dyn Future<Output = Conclusion>>> {
        let future = self(ctx);
        Box::pin(async move { future.await.conclude() })
    }
}
