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

/// The future that a workflow returns whose code is in this program.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is of a workflow whose code is in another process",
    label = "it is declared only, so it cannot run here"
)]
pub trait WorkflowBody: WorkflowRun {}

impl<W: Workflow, F: Future> WorkflowBody for TaggedRun<W, F> {}

/// The future that a workflow returns whose code is in another process: there to have a type, not to be polled.
pub struct Declared<W, R> {
    path: &'static str,
    types: PhantomData<fn() -> (W, R)>,
}

impl<W, R> std::fmt::Debug for Declared<W, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Declared").field(&self.path).finish()
    }
}

impl<W, R> Declared<W, R> {
    /// What the function at this path returns.
    pub fn new(path: &'static str) -> Self {
        Self { path, types: PhantomData }
    }
}

impl<W, R> Future for Declared<W, R> {
    type Output = R;
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<R> {
        let path = self.path;
        panic!(
            "{path} runs in another process; start it with `client.start({path}, …)`, or call it with `ctx.child({path}, …)`"
        )
    }
}

impl<W: Workflow, R> WorkflowRun for Declared<W, R> {
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

/// A function item marked `#[workflow]`: a workflow that can be started, wherever its code is.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a workflow",
    label = "expected a function marked `#[workflow]`, or the `run` method of an `impl` block marked so",
    note = "write the item itself, not a call of it: `order`, or `Order::run`"
)]
pub trait WorkflowItem<P>: 'static {
    /// The workflow's type.
    type Workflow: Workflow;
}

impl<F, Fut, S, I> WorkflowItem<(S, I)> for F
where
    F: Fn(Ctx<S>, I) -> Fut + 'static,
    Fut: WorkflowRun,
    Fut::Workflow: Workflow<Input = I, State = S>,
{
    type Workflow = Fut::Workflow;
}

impl<F, Fut, S> WorkflowItem<(S,)> for F
where
    F: Fn(Ctx<S>) -> Fut + 'static,
    Fut: WorkflowRun,
    Fut::Workflow: Workflow<Input = (), State = S>,
{
    type Workflow = Fut::Workflow;
}

/// A function item marked `#[workflow]`, with the code: a workflow that a worker can run.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a workflow that can run here",
    label = "expected a function marked `#[workflow]`, or the `run` method of an `impl` block marked so",
    note = "write the item itself: `worker.workflow(order)` or `worker.workflow(Order::run)`",
    note = "a workflow that is declared only, as a trait or a function that ends in `;`, runs in the process that has its code"
)]
pub trait WorkflowCode<P>: WorkflowItem<P> {
    /// Calls it.
    fn begin(
        &self,
        ctx: Ctx<<Self::Workflow as Workflow>::State>,
        input: <Self::Workflow as Workflow>::Input,
    ) -> Pin<Box<dyn Future<Output = Conclusion>>>;
}

impl<F, Fut, S, I> WorkflowCode<(S, I)> for F
where
    F: Fn(Ctx<S>, I) -> Fut + 'static,
    Fut: WorkflowBody + 'static,
    Fut::Output: Conclude,
    Fut::Workflow: Workflow<Input = I, State = S>,
{
    fn begin(&self, ctx: Ctx<S>, input: I) -> Pin<Box<dyn Future<Output = Conclusion>>> {
        let future = self(ctx, input);
        Box::pin(async move { future.await.conclude() })
    }
}

impl<F, Fut, S> WorkflowCode<(S,)> for F
where
    F: Fn(Ctx<S>) -> Fut + 'static,
    Fut: WorkflowBody + 'static,
    Fut::Output: Conclude,
    Fut::Workflow: Workflow<Input = (), State = S>,
{
    fn begin(&self, ctx: Ctx<S>, (): ()) -> Pin<Box<dyn Future<Output = Conclusion>>> {
        let future = self(ctx);
        Box::pin(async move { future.await.conclude() })
    }
}
