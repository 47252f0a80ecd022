//! The handlers that a run has, and the messages that wait for one.

use std::{cell::Cell, collections::BTreeMap, rc::Rc};

use futures_util::future::LocalBoxFuture;
use highwater_protocol::{Payload, TypeName, event::Outcome, payload};

use crate::definition::Bound;

/// What becomes of a handler that is under way when the run would end otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unfinished {
    /// The run ends when the handler has returned.
    #[default]
    Wait,
    /// The run ends, and the handler with it.
    Abandon,
}

/// What a handler does with a message.
pub(crate) enum Work<T> {
    /// It is done already.
    Done(T),
    /// It goes on as a task.
    Task(LocalBoxFuture<'static, T>),
}

pub(crate) type Begin<T> = Rc<dyn Fn(&TypeName, &Payload) -> Result<Work<T>, payload::Error>>;
pub(crate) type Validate = Rc<dyn Fn(&TypeName, &Payload) -> Result<Result<(), String>, payload::Error>>;
pub(crate) type QueryHandler = Rc<dyn Fn(&TypeName, &Payload) -> Result<Payload, payload::Error>>;

/// [`Unfinished`], as it may still be chosen when the handler is under way.
pub(crate) type Ending = Rc<Cell<Unfinished>>;

#[derive(Clone)]
pub(crate) struct SignalHandler {
    pub(crate) begin: Begin<()>,
    pub(crate) ending: Ending,
}

#[derive(Clone)]
pub(crate) struct UpdateHandler {
    pub(crate) validate: Validate,
    pub(crate) begin: Begin<Outcome>,
    pub(crate) ending: Ending,
}

/// Handlers of one kind.
pub(super) struct ByName<H> {
    named: BTreeMap<String, Known<H>>,
    /// The one for all other names.
    any: Option<Known<H>>,
}

struct Known<H> {
    method: String,
    handler: H,
}

impl<H> Default for ByName<H> {
    fn default() -> Self {
        Self { named: BTreeMap::new(), any: None }
    }
}

impl<H: Clone> ByName<H> {
    /// Adds a handler, for any name when there is none; an error names the one that is there already.
    fn add(&mut self, name: Option<&str>, method: &str, handler: H) -> Result<(), String> {
        let before = match name {
            Some(name) => self.named.get(name),
            None => self.any.as_ref(),
        };
        if let Some(before) = before {
            return Err(before.method.clone());
        }
        let known = Known { method: method.to_owned(), handler };
        match name {
            Some(name) => drop(self.named.insert(name.to_owned(), known)),
            None => self.any = Some(known),
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.named.is_empty() && self.any.is_none()
    }

    /// The handler of this very name.
    pub(super) fn named(&self, name: &TypeName) -> Option<H> {
        self.named.get(name.as_str()).map(|known| known.handler.clone())
    }

    /// The handler for names that have none.
    pub(super) fn any(&self) -> Option<H> {
        self.any.as_ref().map(|known| known.handler.clone())
    }

    pub(super) fn find(&self, name: &TypeName) -> Option<H> {
        self.named(name).or_else(|| self.any())
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.named.keys().cloned().collect()
    }
}

/// All handlers of a run.
#[derive(Default)]
pub(crate) struct Table {
    pub(super) signals: ByName<SignalHandler>,
    pub(super) queries: ByName<QueryHandler>,
    pub(super) updates: ByName<UpdateHandler>,
}

impl Table {
    /// Whether messages may run code of the user's.
    pub(super) fn take_messages(&self) -> bool {
        !self.signals.is_empty() || !self.updates.is_empty()
    }

    /// Adds a handler, for any name when there is none; an error says what has the name already.
    pub(super) fn add(&mut self, name: Option<&str>, method: &str, handler: Bound) -> Result<(), String> {
        let (kind, added) = match handler {
            Bound::Signal(handler) => ("signal", self.signals.add(name, method, handler)),
            Bound::Query(handler) => ("query", self.queries.add(name, method, handler)),
            Bound::Update(handler) => ("update", self.updates.add(name, method, handler)),
        };
        added.map_err(|first| match name {
            Some(name) => format!("the {kind} {name:?} has two handlers: {first} and {method}; give one another name"),
            None => format!("there are two handlers of any {kind}: {first} and {method}; keep one of them"),
        })
    }
}
