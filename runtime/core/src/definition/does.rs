//! What a handler does: first without the run whose messages it takes, then with it.

use std::{fmt, future::Future, rc::Rc};

use futures_util::FutureExt;
use highwater_protocol::{Payload, TypeName, event::Outcome, payload};
use serde::de::DeserializeOwned;

use super::UpdateOutput;
use crate::{
    context::Ctx,
    run::{Begin, Ending, QueryHandler, SignalHandler, UpdateHandler, Validate, Work},
};

/// One handler, without the run whose messages it takes.
pub(crate) struct Handler<S> {
    pub(crate) name: String,
    /// What people know it by: the method, or the place where it was registered.
    pub(crate) method: String,
    pub(crate) does: Does<S>,
}

type Beginning<S, T> = Box<dyn Fn(&Ctx<S>, &TypeName, &Payload) -> Result<Work<T>, payload::Error>>;
type Answering<S> = Box<dyn Fn(&Ctx<S>, &TypeName, &Payload) -> Result<Payload, payload::Error>>;
type Validating<S> = Box<dyn Fn(&Ctx<S>, &TypeName, &Payload) -> Result<Result<(), String>, payload::Error>>;

/// What a handler does.
pub(crate) enum Does<S> {
    Signal { begin: Beginning<S, ()>, ending: Ending },
    Query(Answering<S>),
    Update { validate: Validating<S>, begin: Beginning<S, Outcome>, ending: Ending },
}

/// A handler that changes the state.
pub(super) fn signal<S: 'static, A: DeserializeOwned + 'static>(handler: impl Fn(&mut S, A) + 'static) -> Does<S> {
    let begin = move |ctx: &Ctx<S>, _: &TypeName, input: &Payload| {
        let argument = input.decode()?;
        ctx.update(|state| handler(state, argument));
        Ok(Work::Done(()))
    };
    Does::Signal { begin: Box::new(begin), ending: Ending::default() }
}

/// A handler that is a task; `decode` makes its argument.
pub(crate) fn signal_task<S: 'static, A: 'static, F: Future<Output = ()> + 'static>(
    handler: impl Fn(Ctx<S>, TypeName, A) -> F + 'static,
    decode: impl Fn(&Payload) -> Result<A, payload::Error> + 'static,
) -> Does<S> {
    let begin = move |ctx: &Ctx<S>, name: &TypeName, input: &Payload| {
        Ok(Work::Task(handler(ctx.clone(), name.clone(), decode(input)?).boxed_local()))
    };
    Does::Signal { begin: Box::new(begin), ending: Ending::default() }
}

/// An update's handler that is a task.
pub(crate) fn update_task<
    S: 'static,
    A: 'static,
    const FALLIBLE: bool,
    R: UpdateOutput<FALLIBLE> + 'static,
    F: Future<Output = R> + 'static,
>(
    handler: impl Fn(Ctx<S>, TypeName, A) -> F + 'static,
    decode: impl Fn(&Payload) -> Result<A, payload::Error> + 'static,
) -> Beginning<S, Outcome> {
    Box::new(move |ctx, name, input| {
        let task = handler(ctx.clone(), name.clone(), decode(input)?);
        Ok(Work::Task(task.map(R::outcome).boxed_local()))
    })
}

pub(crate) fn update<S>(validate: Validating<S>, begin: Beginning<S, Outcome>) -> Does<S> {
    Does::Update { validate, begin, ending: Ending::default() }
}

/// What is asked of an argument at least.
pub(super) fn fits<S, A: DeserializeOwned + 'static>() -> Validating<S> {
    Box::new(|_, _, input| input.decode::<A>().map(|_| Ok(())))
}

pub(crate) fn validating<S: 'static, A: DeserializeOwned + 'static, E: fmt::Display>(
    validator: impl Fn(&S, &A) -> Result<(), E> + 'static,
) -> Validating<S> {
    Box::new(move |ctx, _, input| {
        let argument = input.decode()?;
        Ok(ctx.read(|state| validator(state, &argument)).map_err(|error| error.to_string()))
    })
}

impl<S> Does<S> {
    /// Where it may still be said what becomes of it at the run's end; a query never goes on.
    pub(crate) fn ending(&self) -> Ending {
        match self {
            Self::Signal { ending, .. } | Self::Update { ending, .. } => Rc::clone(ending),
            Self::Query(_) => Ending::default(),
        }
    }

    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Signal { .. } => "signal",
            Self::Query(_) => "query",
            Self::Update { .. } => "update",
        }
    }
}

/// A handler of a run.
pub(crate) enum Bound {
    Signal(SignalHandler),
    Query(QueryHandler),
    Update(UpdateHandler),
}

impl<S: 'static> Does<S> {
    /// The handler with the run whose messages it takes.
    pub(crate) fn bind(self, ctx: Ctx<S>) -> Bound {
        match self {
            Self::Signal { begin, ending } => Bound::Signal(SignalHandler { begin: bind(begin, ctx), ending }),
            Self::Query(answer) => Bound::Query(Rc::new(move |name, input| answer(&ctx, name, input))),
            Self::Update { validate, begin, ending } => {
                let validating = ctx.clone();
                let validate: Validate = Rc::new(move |name, input| validate(&validating, name, input));
                Bound::Update(UpdateHandler { validate, begin: bind(begin, ctx), ending })
            }
        }
    }
}

fn bind<S: 'static, T: 'static>(begin: Beginning<S, T>, ctx: Ctx<S>) -> Begin<T> {
    Rc::new(move |name, input| begin(&ctx, name, input))
}
