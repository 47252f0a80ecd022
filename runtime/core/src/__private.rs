//! What the macros' expansions name. Not for people: it changes without notice.

pub use highwater_protocol::Payload;
/// The argument of a handler that takes none: whatever comes is fine.
pub use serde::de::IgnoredAny as NoArgument;

pub use crate::{
    activity::{ActivityContext, ActivityName, ActivitySet, FreeDef, Work, decode_input},
    context::Ctx,
    definition::{
        Activity, ActivityDef, ActivityDefaults, Conclude, Declared, Free, FreeNoInput, FreeWithContext,
        FreeWithContextNoInput, Handlers, Method, MethodNoInput, MethodWithContext, MethodWithContextNoInput,
        QueryPort, Returned, ReturnsPlain, SignalPort, State, UpdateOutput, UpdatePort, Workflow, WorkflowBody,
        WorkflowRun, tag, tag_run,
    },
    run::Unfinished,
};

use std::any::Any;

use highwater_protocol::event;
use serde::Serialize;

use crate::{activity, definition::Outcome, fault::Fault};

/// Takes what an activity returned and what judges its error.
pub type Recorder<R> = fn(R, fn(&<R as Outcome>::Err) -> bool) -> event::Outcome;

/// What records the result of an activity, whatever alias its type hides behind; the second argument judges its error.
///
/// It takes no value, so that the compiler points at the type when it does not fit.
pub fn recorder<R>() -> Recorder<R>
where
    R: Outcome,
    R::Ok: Serialize,
    R::Err: Fault,
{
    |result, non_retryable| activity::outcome(result.into_result(), non_retryable)
}

/// Judges an error by a pattern, which says of what type it is.
pub fn judge<E: 'static>(error: &dyn Any, matches: impl FnOnce(&E) -> bool) -> bool {
    error.downcast_ref().is_some_and(matches)
}

/// The work of an attempt whose input does not fit.
pub fn refused(outcome: event::Outcome) -> Work {
    Work::Async(Box::pin(std::future::ready(outcome)))
}

/// The only thing that an activity takes by reference.
#[diagnostic::on_unimplemented(
    message = "an activity cannot take a reference to `{Self}`",
    label = "take it by value",
    note = "an activity's input is decoded for it alone, so it is owned: `String` for `&str`, `Vec<T>` for `&[T]`, \
            `{Self}` for `&{Self}`; the only reference it may take is `&ActivityContext`, before the input"
)]
pub trait Lent {
    #[doc(hidden)]
    fn lend(context: &ActivityContext) -> &Self;
}

impl Lent for ActivityContext {
    fn lend(context: &ActivityContext) -> &Self {
        context
    }
}

/// Hands the context to an activity.
pub fn lend<C: Lent>(context: &ActivityContext) -> &C {
    C::lend(context)
}

/// The state of a workflow that has no `#[init]`.
#[diagnostic::on_unimplemented(
    message = "nothing says what the state `{Self}` is when a run starts",
    label = "has neither `#[init]` nor `Default`",
    note = "derive `Default` for it, or write `#[init] fn new(input: &Input) -> Self` in the `#[workflow]` block"
)]
pub trait InitialState {
    #[doc(hidden)]
    fn initial() -> Self;
}

impl<T: Default> InitialState for T {
    fn initial() -> Self {
        T::default()
    }
}

/// The state of a workflow that has no `#[init]`.
pub fn initial_state<T: InitialState>() -> T {
    T::initial()
}

/// The body of an activity that was declared only and lives in another process.
#[expect(clippy::unused_async, reason = "it stands for a body that is elsewhere")]
pub async fn elsewhere<T>(activity: &str) -> T {
    panic!("{activity} runs in another process; call it from a workflow with `ctx.run({activity}, …)`")
}
