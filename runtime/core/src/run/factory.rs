//! The workflow types that a worker knows, and how a run of one begins.

use std::{
    any::type_name,
    cell::RefCell,
    collections::BTreeMap,
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use highwater_protocol::{Failure, FailureKind, InvalidId, Payload, Started, TypeName, payload};

use super::{Conclusion, Shared};
use crate::{
    context::Ctx,
    definition::{Handlers, State, StateHandlers, Workflow, WorkflowItem},
};

type Create = dyn Fn(&Started, &Rc<Shared>) -> Instance + Send + Sync;

/// The workflow types that a worker knows.
#[derive(Default)]
pub struct Registry {
    types: BTreeMap<TypeName, Registered>,
}

struct Registered {
    function: &'static str,
    create: Box<Create>,
}

/// A workflow type cannot be registered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// Two workflows have one name.
    #[error("the workflow type {name} is registered twice: by {first} and by {second}; give one of them another name")]
    Twice {
        /// The name.
        name: TypeName,
        /// The Rust type that has it.
        first: &'static str,
        /// The Rust type that wants it too.
        second: &'static str,
    },
    /// The name is no name.
    #[error("a workflow cannot have this name: {0}")]
    Name(#[from] InvalidId),
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.types.keys()).finish()
    }
}

impl Registry {
    /// A registry that knows nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a workflow.
    pub fn add<P, W>(&mut self, item: W) -> Result<(), RegistryError>
    where
        W: WorkflowItem<P> + Clone + Send + Sync,
    {
        let name = TypeName::new(<W::Workflow as Workflow>::NAME)?;
        let function = type_name::<W>();
        if let Some(known) = self.types.get(&name) {
            return Err(RegistryError::Twice { name, first: known.function, second: function });
        }
        let create =
            Box::new(move |started: &Started, shared: &Rc<Shared>| instance::<P, W>(item.clone(), started, shared));
        self.types.insert(name, Registered { function, create });
        Ok(())
    }

    /// The names, sorted.
    pub fn names(&self) -> Vec<TypeName> {
        self.types.keys().cloned().collect()
    }

    /// Whether a type is known.
    pub fn knows(&self, name: &TypeName) -> bool {
        self.types.contains_key(name)
    }

    /// Begins a run; `None` when its type is not known.
    pub(super) fn create(&self, started: &Started, shared: &Rc<Shared>) -> Option<Instance> {
        self.types.get(&started.workflow_type).map(|registered| (registered.create)(started, shared))
    }
}

fn instance<P, W: WorkflowItem<P>>(item: W, started: &Started, shared: &Rc<Shared>) -> Instance {
    type Input<P, W> = <<W as WorkflowItem<P>>::Workflow as Workflow>::Input;
    let input: Input<P, W> = match started.input.decode() {
        Ok(input) => input,
        Err(error) => {
            // No code can ever take this input, so the run fails rather than wait for a deploy.
            let text = format!("the input does not fit workflow {}: {error}", started.workflow_type);
            let failure = Failure::new(FailureKind::Payload, text);
            return Instance { future: Box::pin(std::future::ready(Conclusion::Failed(failure))), handlers: None };
        }
    };
    let state = Rc::new(RefCell::new(State::<Input<P, W>>::init(&input)));
    let handlers = StateHandlers { state: Rc::clone(&state), input: PhantomData::<fn() -> Input<P, W>> };
    let ctx = Ctx::new(Rc::clone(shared), state);
    // The code runs for the first time when it is polled, as an `async fn` does.
    let future = Box::pin(async move { item.begin(ctx, input).await });
    Instance { future, handlers: Some(Box::new(handlers)) }
}

/// A run's code, under way.
pub(super) struct Instance {
    future: Pin<Box<dyn Future<Output = Conclusion>>>,
    handlers: Option<Box<dyn Handlers>>,
}

impl Instance {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Conclusion> {
        self.future.as_mut().poll(cx)
    }

    pub(super) fn signal(&self, name: &str, input: &Payload) -> Option<Result<(), payload::Error>> {
        self.handlers.as_ref()?.signal(name, input)
    }

    pub(super) fn query(&self, name: &str, input: &Payload) -> Option<Result<Payload, payload::Error>> {
        self.handlers.as_ref()?.query(name, input)
    }

    pub(super) fn queries(&self) -> &'static [&'static str] {
        self.handlers.as_ref().map_or(&[], |handlers| handlers.queries())
    }
}
