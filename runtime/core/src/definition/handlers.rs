//! The handlers of a workflow: what takes its signals, answers its queries and does its updates.

use std::{collections::BTreeMap, fmt, future::Future, marker::PhantomData};

use highwater_protocol::{Payload, TypeName, payload};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    UpdateOutput,
    does::{Does, Handler, fits, signal, signal_task, update, update_task, validating},
};
use crate::{
    context::Ctx,
    run::{Unfinished, Work},
};

/// The handlers that a workflow's type has, by name: what `#[workflow]` fills for an `impl` block.
///
/// ```
/// # extern crate highwater_core as highwater;
/// # use highwater::{Ctx, definition::{Handlers, State}};
/// #[derive(Default)]
/// struct Cart {
///     items: Vec<String>,
/// }
///
/// impl State<()> for Cart {
///     fn init(_: &()) -> Self {
///         Self::default()
///     }
///     fn handlers(handlers: &mut Handlers<Self>) {
///         handlers.query("size", "Cart::size", |cart, (): ()| cart.items.len());
///         handlers.signal("add", "Cart::add", |cart, item: String| cart.items.push(item));
///         handlers
///             .update::<_, false, _>("rename", "Cart::rename", |cart, name: String| cart.items[0] = name)
///             .validate(|cart, name| if cart.items.is_empty() { Err(format!("no item for {name}")) } else { Ok(()) });
///     }
/// }
/// ```
pub struct Handlers<S> {
    list: Vec<Handler<S>>,
}

/// Two handlers of one kind have one name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {kind} {name:?} has two handlers: {first} and {second}; give one of them another name")]
pub struct HandledTwice {
    /// `signal`, `query` or `update`.
    pub kind: &'static str,
    /// The name.
    pub name: String,
    /// The method that has it.
    pub first: String,
    /// The method that wants it too.
    pub second: String,
}

impl<S> fmt::Debug for Handlers<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.list.iter().map(|handler| (handler.does.kind(), &handler.name))).finish()
    }
}

impl<S: 'static> Handlers<S> {
    pub(crate) fn new() -> Self {
        Self { list: Vec::new() }
    }

    /// Takes signals of this name by changing the state. `method` is what an error calls it.
    pub fn signal<A: DeserializeOwned + 'static>(
        &mut self,
        name: &str,
        method: &str,
        handler: impl Fn(&mut S, A) + 'static,
    ) -> Added<'_, S, A> {
        self.add(name, method, signal(handler))
    }

    /// Takes signals of this name with a task of their own, beside `run`.
    pub fn signal_task<A: DeserializeOwned + 'static, F: Future<Output = ()> + 'static>(
        &mut self,
        name: &str,
        method: &str,
        handler: impl Fn(Ctx<S>, A) -> F + 'static,
    ) -> Added<'_, S, A> {
        self.add(name, method, signal_task(move |ctx, _, argument| handler(ctx, argument), Payload::decode))
    }

    /// Answers queries of this name.
    pub fn query<A: DeserializeOwned + 'static, R: Serialize + 'static>(
        &mut self,
        name: &str,
        method: &str,
        handler: impl Fn(&S, A) -> R + 'static,
    ) -> Added<'_, S, A> {
        self.query_encoded(name, method, move |state, argument| Payload::encode(&handler(state, argument)))
    }

    /// Answers queries of this name; the handler encodes its answer, which may so be borrowed from the state.
    pub fn query_encoded<A: DeserializeOwned + 'static>(
        &mut self,
        name: &str,
        method: &str,
        handler: impl Fn(&S, A) -> Result<Payload, payload::Error> + 'static,
    ) -> Added<'_, S, A> {
        self.add(
            name,
            method,
            Does::Query(Box::new(move |ctx, _, input| {
                let argument = input.decode()?;
                ctx.read(|state| handler(state, argument))
            })),
        )
    }

    /// Does updates of this name by changing the state. `FALLIBLE` says whether the handler returns a `Result`: see
    /// [`Returned`](super::Returned).
    pub fn update<A, const FALLIBLE: bool, R>(
        &mut self,
        name: &str,
        method: &str,
        handler: impl Fn(&mut S, A) -> R + 'static,
    ) -> Added<'_, S, A>
    where
        A: DeserializeOwned + 'static,
        R: UpdateOutput<FALLIBLE> + 'static,
    {
        let begin = move |ctx: &Ctx<S>, _: &TypeName, input: &Payload| {
            let argument = input.decode()?;
            Ok(Work::Done(ctx.update(|state| handler(state, argument)).outcome()))
        };
        self.add(name, method, update(fits::<S, A>(), Box::new(begin)))
    }

    /// Does updates of this name with a task of their own, beside `run`. `FALLIBLE` says whether the handler returns a
    /// `Result`.
    pub fn update_task<A, const FALLIBLE: bool, R, F>(
        &mut self,
        name: &str,
        method: &str,
        handler: impl Fn(Ctx<S>, A) -> F + 'static,
    ) -> Added<'_, S, A>
    where
        A: DeserializeOwned + 'static,
        R: UpdateOutput<FALLIBLE> + 'static,
        F: Future<Output = R> + 'static,
    {
        let begin = update_task(move |ctx, _, argument| handler(ctx, argument), Payload::decode);
        self.add(name, method, update(fits::<S, A>(), begin))
    }

    fn add<A>(&mut self, name: &str, method: &str, does: Does<S>) -> Added<'_, S, A> {
        self.list.push(Handler { name: name.to_owned(), method: method.to_owned(), does });
        Added { handler: self.list.last_mut().expect("it was just added"), argument: PhantomData }
    }

    /// The first two of one kind and name, if any.
    pub(crate) fn check(&self) -> Result<(), HandledTwice> {
        let named = self.list.iter().map(|Handler { name, method, does }| Named { kind: does.kind(), name, method });
        twice(named.collect())
    }

    pub(crate) fn into_iter(self) -> impl Iterator<Item = Handler<S>> {
        self.list.into_iter()
    }
}

struct Named<'a> {
    kind: &'static str,
    name: &'a str,
    method: &'a str,
}

fn twice(handlers: Vec<Named<'_>>) -> Result<(), HandledTwice> {
    let mut known = BTreeMap::new();
    for Named { kind, name, method } in handlers {
        if let Some(first) = known.insert((kind, name), method) {
            let (first, second) = (first.to_owned(), method.to_owned());
            return Err(HandledTwice { kind, name: name.to_owned(), first, second });
        }
    }
    Ok(())
}

/// A handler that was added: what more there is to say of it.
pub struct Added<'a, S, A> {
    handler: &'a mut Handler<S>,
    argument: PhantomData<fn(A)>,
}

impl<S, A> fmt::Debug for Added<'_, S, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Added").field(&self.handler.name).finish()
    }
}

impl<S: 'static, A: DeserializeOwned + 'static> Added<'_, S, A> {
    /// What becomes of it when the run would end while it is under way.
    pub fn unfinished(self, unfinished: Unfinished) -> Self {
        self.handler.does.ending().set(unfinished);
        self
    }

    /// Looks at an update before it is accepted; an error refuses it, and its text is what the sender hears. Replay
    /// does not ask again. Only updates are asked.
    pub fn validate<E: fmt::Display>(self, validator: impl Fn(&S, &A) -> Result<(), E> + 'static) -> Self {
        if let Does::Update { validate, .. } = &mut self.handler.does {
            *validate = validating(validator);
        }
        self
    }
}
