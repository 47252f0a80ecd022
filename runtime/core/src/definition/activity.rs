//! Activities as types.

use std::{
    any::Any,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
};

use serde::{Serialize, de::DeserializeOwned};

use super::{ActivityDefaults, InputOf};
use crate::fault::Fault;

/// The type that carries an activity's defaults.
pub trait ActivityDef: 'static {
    /// What `#[activity(…)]` says.
    const DEFAULTS: ActivityDefaults;

    /// Whether no further attempt follows this error, by `#[activity(non_retryable = …)]`.
    fn non_retryable(error: &dyn Any) -> bool {
        let _ = error;
        false
    }
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
