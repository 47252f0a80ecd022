//! What the macros implement: workflows and activities as types, reached from the item that the user wrote.
//!
//! `#[activity]` makes an `async fn` return a *tagged* future: the untouched body, and a type that carries the name and
//! the options. So `ctx.run(Shop::charge, order)` finds the input, result, error and options from the item's own type,
//! without a registry, a `TypeId` or a string.

mod activity;
mod defaults;
mod does;
mod handle;
mod handlers;
mod shape;
mod update;
mod workflow;

pub use activity::{Activity, ActivityDef, ActivityItem, Outcome, Tagged, tag};
pub use defaults::ActivityDefaults;
pub(crate) use does::{Bound, Does, Handler, signal_task, update, update_task, validating};
pub use handle::{QueryPort, SignalPort, UpdatePort};
pub use handlers::{Added, HandledTwice, Handlers};
pub use shape::{
    Free, FreeNoInput, FreeWithContext, FreeWithContextNoInput, InputOf, Method, MethodNoInput, MethodWithContext,
    MethodWithContextNoInput,
};
pub use update::{NoError, Returned, ReturnsPlain, UpdateOutput};
pub use workflow::{
    Conclude, Declared, State, TaggedRun, Workflow, WorkflowBody, WorkflowCode, WorkflowItem, WorkflowRun, tag_run,
};
