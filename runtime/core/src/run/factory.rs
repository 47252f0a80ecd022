//! The workflow types that a worker knows, and how a run of one begins.

use std::{any::type_name, cell::RefCell, collections::BTreeMap, fmt, rc::Rc, sync::Arc};

use highwater_protocol::{Failure, FailureKind, InvalidId, Started, TypeName, payload};

use super::{Conclusion, Shared};
use crate::{
    context::Ctx,
    definition::{HandledTwice, Handler, Handlers, State, Workflow, WorkflowCode, WorkflowItem},
    intercept::{Interceptors, WorkflowInterceptor},
};

type Begin = dyn Fn(&Started, &Rc<Shared>) + Send + Sync;

/// The workflow types that a worker knows.
#[derive(Default)]
pub struct Registry {
    types: BTreeMap<TypeName, Registered>,
    interceptors: Arc<[Arc<dyn WorkflowInterceptor>]>,
}

struct Registered {
    function: &'static str,
    begin: Box<Begin>,
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
    /// Two handlers of a workflow have one name.
    #[error("in the workflow type {name}, {twice}")]
    Handlers {
        /// The workflow's name.
        name: TypeName,
        /// The handlers.
        twice: HandledTwice,
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
        W: WorkflowCode<P> + Clone + Send + Sync,
    {
        let begin =
            Box::new(move |started: &Started, shared: &Rc<Shared>| begin::<P, W>(item.clone(), started, shared));
        let registered = Registered { function: type_name::<W>(), begin };
        self.insert(<W::Workflow as Workflow>::NAME, registered, handlers::<P, W>().check())
    }

    fn insert(
        &mut self,
        name: &str,
        registered: Registered,
        handlers: Result<(), HandledTwice>,
    ) -> Result<(), RegistryError> {
        let name = TypeName::new(name)?;
        if let Some(known) = self.types.get(&name) {
            return Err(RegistryError::Twice { name, first: known.function, second: registered.function });
        }
        if let Err(twice) = handlers {
            return Err(RegistryError::Handlers { name, twice });
        }
        self.types.insert(name, registered);
        Ok(())
    }

    /// Has an interceptor see what goes into and out of all of them; those that were added before are nearer to the
    /// outside.
    pub fn intercept(&mut self, interceptor: Arc<dyn WorkflowInterceptor>) {
        self.interceptors = self.interceptors.iter().cloned().chain([interceptor]).collect();
    }

    pub(super) fn interceptors(&self, started: &Started) -> Interceptors {
        Interceptors::new(Arc::clone(&self.interceptors), started)
    }

    /// The names, sorted.
    pub fn names(&self) -> Vec<TypeName> {
        self.types.keys().cloned().collect()
    }

    /// Whether a type is known.
    pub fn knows(&self, name: &TypeName) -> bool {
        self.types.contains_key(name)
    }

    /// Makes the code of a run, which begins when it is polled; `None` when its type is not known.
    pub(super) fn begin(&self, started: &Started, shared: &Rc<Shared>) -> Option<()> {
        self.types.get(&started.workflow_type).map(|registered| (registered.begin)(started, shared))
    }
}

fn begin<P, W: WorkflowCode<P>>(item: W, started: &Started, shared: &Rc<Shared>) {
    type Input<P, W> = <<W as WorkflowItem<P>>::Workflow as Workflow>::Input;
    let input: Input<P, W> = match shared.inbound_input(&started.input).decode() {
        Ok(input) => input,
        Err(error) => {
            shared.run_main(std::future::ready(Conclusion::Failed(misfit(started, &error))));
            return;
        }
    };
    let state = State::<Input<P, W>>::init(&input);
    let ctx = Ctx::new(Rc::clone(shared), Rc::new(RefCell::new(state)));
    for Handler { name, method, does } in handlers::<P, W>().into_iter() {
        shared.handle(Some(&name), &method, does.bind(ctx.clone()));
    }
    // The code runs for the first time when it is polled, as an `async fn` does.
    shared.run_main(async move { item.begin(ctx, input).await });
}

/// No code can ever take this input, so the run fails rather than wait for a deploy.
fn misfit(started: &Started, error: &payload::Error) -> Failure {
    let text = format!("the input does not fit workflow {}: {error}", started.workflow_type);
    Failure::new(FailureKind::Payload, text)
}

/// The handlers of a workflow.
fn handlers<P, W: WorkflowCode<P>>() -> Handlers<<W::Workflow as Workflow>::State> {
    let mut handlers = Handlers::new();
    <<W::Workflow as Workflow>::State as State<<W::Workflow as Workflow>::Input>>::handlers(&mut handlers);
    handlers
}
