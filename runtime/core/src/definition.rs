//! What the macros implement: workflows and activities as types, reached from the item that the user wrote.
//!
//! `#[activity]` makes an `async fn` return a *tagged* future: the untouched body, and a type that carries the name and
//! the options. So `ctx.run(Shop::charge, order)` finds the input, result, error and options from the item's own type,
//! without a registry, a `TypeId` or a string.

use std::{
    cell::RefCell,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use highwater_protocol::{Failure, FailureKind, Payload, RetryPolicy};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    activity::ActivityContext,
    context::Ctx,
    fault::{Exit, Fault, to_failure},
    run::Conclusion,
};

// How the input is found among the parameters of an activity.

/// `fn(&self, input)`
#[derive(Debug)]
pub struct Method;
/// `fn(&self, &ActivityContext, input)`
#[derive(Debug)]
pub struct MethodWithContext;
/// `fn(input)`
#[derive(Debug)]
pub struct Free;
/// `fn(&ActivityContext, input)`
#[derive(Debug)]
pub struct FreeWithContext;
/// `fn(&self)`
#[derive(Debug)]
pub struct MethodNoInput;
/// `fn(&self, &ActivityContext)`
#[derive(Debug)]
pub struct MethodWithContextNoInput;
/// `fn()`
#[derive(Debug)]
pub struct FreeNoInput;
/// `fn(&ActivityContext)`
#[derive(Debug)]
pub struct FreeWithContextNoInput;

/// The input among the parameters of a function of shape `S`.
pub trait InputOf<S> {
    /// Its type; `()` when there is none.
    type Input;
}

impl<T, A> InputOf<Method> for (T, A) {
    type Input = A;
}
impl<T, A> InputOf<MethodWithContext> for (T, &ActivityContext, A) {
    type Input = A;
}
impl<A> InputOf<Free> for (A,) {
    type Input = A;
}
impl<A> InputOf<FreeWithContext> for (&ActivityContext, A) {
    type Input = A;
}
impl<T> InputOf<MethodNoInput> for (T,) {
    type Input = ();
}
impl<T> InputOf<MethodWithContextNoInput> for (T, &ActivityContext) {
    type Input = ();
}
impl InputOf<FreeNoInput> for () {
    type Input = ();
}
impl InputOf<FreeWithContextNoInput> for (&ActivityContext,) {
    type Input = ();
}

/// What `#[activity(…)]` says, known at compile time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ActivityDefaults {
    /// The name that tasks carry.
    pub name: &'static str,
    /// The queue, when it is not the caller's own.
    pub queue: Option<&'static str>,
    /// See [`highwater_protocol::event::ActivityOptions`].
    pub schedule_to_start: Option<Duration>,
    /// Likewise.
    pub start_to_close: Option<Duration>,
    /// Likewise.
    pub schedule_to_close: Option<Duration>,
    /// Likewise.
    pub heartbeat: Option<Duration>,
    /// See [`RetryPolicy`].
    pub initial_interval: Option<Duration>,
    /// Likewise.
    pub backoff_coefficient: Option<f64>,
    /// Likewise.
    pub maximum_interval: Option<Duration>,
    /// Likewise.
    pub maximum_attempts: Option<u32>,
    /// Likewise.
    pub jitter: Option<f64>,
}

impl ActivityDefaults {
    /// A name, and nothing else said.
    pub const fn named(name: &'static str) -> Self {
        Self {
            name,
            queue: None,
            schedule_to_start: None,
            start_to_close: None,
            schedule_to_close: None,
            heartbeat: None,
            initial_interval: None,
            backoff_coefficient: None,
            maximum_interval: None,
            maximum_attempts: None,
            jitter: None,
        }
    }

    /// The retry policy with what is not said filled in.
    pub fn retry(&self) -> RetryPolicy {
        let default = RetryPolicy::default();
        RetryPolicy {
            initial_interval: self.initial_interval.unwrap_or(default.initial_interval),
            backoff_coefficient: self.backoff_coefficient.unwrap_or(default.backoff_coefficient),
            maximum_interval: self.maximum_interval.unwrap_or(default.maximum_interval),
            maximum_attempts: self.maximum_attempts.unwrap_or(default.maximum_attempts),
            jitter: self.jitter.unwrap_or(default.jitter),
        }
    }
}

/// The type that carries an activity's defaults.
pub trait ActivityDef: 'static {
    /// What `#[activity(…)]` says.
    const DEFAULTS: ActivityDefaults;
}

/// What a function of the user's returns: a `Result`.
#[diagnostic::on_unimplemented(
    message = "an activity returns a `Result`, not `{Self}`",
    note = "write `-> Result<{Self}, String>`, or an error enum of your own"
)]
pub trait Outcome {
    /// The value.
    type Ok;
    /// The error.
    type Err;
    /// As the `Result` that it is.
    fn into_result(self) -> Result<Self::Ok, Self::Err>;
}

impl<T, E> Outcome for Result<T, E> {
    type Ok = T;
    type Err = E;
    fn into_result(self) -> Self {
        self
    }
}

/// The future that an activity returns.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not returned by an activity",
    label = "write `#[activity]` on the function"
)]
pub trait Activity: Future {
    /// How the input is found among the parameters.
    type Shape;
    /// The defaults.
    type Def: ActivityDef;
}

/// A future with the type of its activity on it.
pub struct Tagged<D, S, F> {
    future: Pin<Box<F>>,
    tag: PhantomData<fn() -> (D, S)>,
}

impl<D, S, F> std::fmt::Debug for Tagged<D, S, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tagged")
    }
}

/// Tags a future.
pub fn tag<D: ActivityDef, S, F: Future>(future: F) -> Tagged<D, S, F> {
    Tagged { future: Box::pin(future), tag: PhantomData }
}

impl<D, S, F: Future> Future for Tagged<D, S, F> {
    type Output = F::Output;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.future.as_mut().poll(cx)
    }
}

impl<D: ActivityDef, S, F: Future> Activity for Tagged<D, S, F> {
    type Shape = S;
    type Def = D;
}

/// A function item marked `#[activity]`; `P` stands for its parameters and is inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an activity",
    label = "expected a function or method marked `#[activity]`",
    note = "write `ctx.run(Shop::charge, order)`: the item itself, not a call of it; for inline code use `ctx.step`"
)]
pub trait ActivityItem<P> {
    /// What it takes.
    type Input: Serialize;
    /// What it gives.
    type Ok: DeserializeOwned;
    /// How it fails.
    type Err: Fault;
    /// The type that carries its defaults.
    type Def: ActivityDef;
    /// What `#[activity(…)]` says.
    const DEFAULTS: ActivityDefaults = <Self::Def as ActivityDef>::DEFAULTS;
}

macro_rules! activity_item {
    ($($parameter:ident),*) => {
        impl<F, Fut, $($parameter),*> ActivityItem<($($parameter,)*)> for F
        where
            F: Fn($($parameter),*) -> Fut,
            Fut: Activity,
            Fut::Output: Outcome,
            <Fut::Output as Outcome>::Ok: DeserializeOwned,
            <Fut::Output as Outcome>::Err: Fault,
            ($($parameter,)*): InputOf<Fut::Shape>,
            <($($parameter,)*) as InputOf<Fut::Shape>>::Input: Serialize,
        {
            type Input = <($($parameter,)*) as InputOf<Fut::Shape>>::Input;
            type Ok = <Fut::Output as Outcome>::Ok;
            type Err = <Fut::Output as Outcome>::Err;
            type Def = Fut::Def;
        }
    };
}
activity_item!();
activity_item!(P0);
activity_item!(P0, P1);
activity_item!(P0, P1, P2);

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

    /// Takes a signal; `None` when there is no handler of this name, so that the signal waits for a receiver.
    fn signal(&mut self, name: &str, input: &Payload) -> Option<Result<(), highwater_protocol::payload::Error>> {
        let _ = (name, input);
        None
    }

    /// Answers a query; `None` when there is no handler of this name.
    fn query(&self, name: &str, input: &Payload) -> Option<Result<Payload, highwater_protocol::payload::Error>> {
        let _ = (name, input);
        None
    }

    /// The names of the queries it answers, for the error that an unknown one gets.
    fn queries() -> &'static [&'static str] {
        &[]
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

/// A running workflow's handlers.
pub(crate) trait Handlers {
    fn signal(&self, name: &str, input: &Payload) -> Option<Result<(), highwater_protocol::payload::Error>>;
    fn query(&self, name: &str, input: &Payload) -> Option<Result<Payload, highwater_protocol::payload::Error>>;
    fn queries(&self) -> &'static [&'static str];
}

pub(crate) struct StateHandlers<S, I> {
    pub(crate) state: Rc<RefCell<S>>,
    pub(crate) input: PhantomData<fn() -> I>,
}

impl<I: 'static, S: State<I>> Handlers for StateHandlers<S, I> {
    fn signal(&self, name: &str, input: &Payload) -> Option<Result<(), highwater_protocol::payload::Error>> {
        self.state.borrow_mut().signal(name, input)
    }
    fn query(&self, name: &str, input: &Payload) -> Option<Result<Payload, highwater_protocol::payload::Error>> {
        self.state.borrow().query(name, input)
    }
    fn queries(&self) -> &'static [&'static str] {
        S::queries()
    }
}
