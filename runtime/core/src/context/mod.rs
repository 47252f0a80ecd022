//! What workflow code holds.

mod call;
mod handle;
mod operation;
mod signal;
mod step;
mod task;
mod timer;
mod wait;

use std::{cell::RefCell, fmt, rc::Rc};

use highwater_protocol::{Payload, QueueName, RunId, Timestamp, TypeName, WorkflowId};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::{
    definition::{ActivityItem, Workflow},
    fault::Exit,
    run::Shared,
};

pub use call::{ActivityCall, PendingActivity};
pub use handle::{Registered, accept};
pub use signal::{Received, Signals};
pub use step::{PendingStep, StepContext};
pub use task::Task;
pub use timer::Sleep;
pub use wait::{CancelRequested, WaitUntil};

/// The handle through which a workflow does everything: call activities, run steps, sleep, wait.
///
/// `S` is the workflow's state; a workflow that is a function has none. A clone is another handle to the same run.
/// It cannot leave its thread, so a step that captures it does not compile.
pub struct Ctx<S = ()> {
    shared: Rc<Shared>,
    state: Rc<RefCell<S>>,
    shielded: bool,
}

impl<S> Clone for Ctx<S> {
    fn clone(&self) -> Self {
        Self { shared: Rc::clone(&self.shared), state: Rc::clone(&self.state), shielded: self.shielded }
    }
}

impl<S> fmt::Debug for Ctx<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ctx")
            .field("workflow_id", &self.shared.workflow_id)
            .field("run", &self.shared.run)
            .finish_non_exhaustive()
    }
}

impl<S: 'static> Ctx<S> {
    pub(crate) fn new(shared: Rc<Shared>, state: Rc<RefCell<S>>) -> Self {
        Self { shared, state, shielded: false }
    }

    /// Calls an activity: `ctx.run(Shop::charge, order).await?`.
    ///
    /// The call is made when it is awaited (or turned into a future by `into_future`, `select!` or `join!`); until then
    /// its options can be set. Dropping the future asks the activity to cancel.
    pub fn run<P, A: ActivityItem<P>>(&self, _activity: A, input: A::Input) -> ActivityCall<A::Ok, A::Err> {
        ActivityCall::new(Rc::clone(&self.shared), self.shielded, A::DEFAULTS, &input)
    }

    /// Runs code in this worker, once, and records what it returned: for something quick that needs no queue of its own.
    ///
    /// Should the worker end before the result is recorded, the code runs again; [`StepContext::idempotency_key`] is the
    /// same then.
    #[track_caller]
    pub fn step<T, E, F, Fut>(&self, name: &str, code: F) -> PendingStep<T, E>
    where
        F: FnOnce(StepContext) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Serialize + DeserializeOwned + 'static,
        E: crate::fault::Fault,
    {
        PendingStep::new(&self.shared, self.shielded, name, code)
    }

    /// Sleeps. The timer is on the server: it outlives workers, deploys and months.
    #[track_caller]
    pub fn sleep(&self, duration: std::time::Duration) -> Sleep {
        Sleep::new(&self.shared, self.shielded, self.now().after(duration))
    }

    /// Waits until the state is as wished: `ctx.wait_until(|s| s.approved).await?`. Looks again after every event.
    pub fn wait_until<F: FnMut(&S) -> bool + Unpin>(&self, condition: F) -> WaitUntil<S, F> {
        WaitUntil::new(Rc::clone(&self.shared), Rc::clone(&self.state), self.shielded, condition)
    }

    /// Signals of this name, those that came before included, in order. Two receivers of one name share them out.
    ///
    /// # Panics
    ///
    /// When no signal can have this name: it is empty or too long.
    #[track_caller]
    pub fn signals<T: DeserializeOwned>(&self, name: &str) -> Signals<T> {
        Signals::new(Rc::clone(&self.shared), self.shielded, name)
    }

    /// Reads the state. What `read` calls cannot change it.
    #[track_caller]
    pub fn read<R>(&self, read: impl FnOnce(&S) -> R) -> R {
        let Ok(state) = self.state.try_borrow() else { panic!("ctx.read inside of ctx.update: use the state at hand") };
        read(&state)
    }

    /// Changes the state, and has everybody look again who waits for a condition over it.
    #[track_caller]
    pub fn update<R>(&self, change: impl FnOnce(&mut S) -> R) -> R {
        self.shared.refuse_in_query("ctx.update");
        let result = {
            let Ok(mut state) = self.state.try_borrow_mut() else {
                panic!(
                    "ctx.update where the state is being read or changed already: inside of ctx.read, ctx.update or a condition"
                )
            };
            change(&mut state)
        };
        self.shared.wake_waiters();
        result
    }

    /// Ends this run and starts another of type `W` under the same id with an empty history:
    /// `return Err(ctx.continue_as_new::<subscription>(next))`. Signals that were not taken go along.
    pub fn continue_as_new<W: Workflow>(&self, input: W::Input) -> Exit<W::Err> {
        match Payload::encode(&input) {
            Ok(payload) => Exit::ContinueAsNew(payload),
            Err(error) => Exit::Call(highwater_protocol::Failure::new(
                highwater_protocol::FailureKind::Payload,
                format!("the input of the next run: {error}"),
            )),
        }
    }

    /// A handle whose operations go on when the run is asked to cancel: for compensation and clean-up.
    pub fn shielded(&self) -> Self {
        Self { shielded: true, ..self.clone() }
    }

    /// Whether the run was asked to cancel.
    pub fn is_cancelled(&self) -> bool {
        self.shared.cancel_requested()
    }

    /// Why the run was asked to cancel.
    pub fn cancel_reason(&self) -> Option<String> {
        self.shared.cancel_reason()
    }

    /// Waits until the run is asked to cancel.
    pub fn cancelled(&self) -> CancelRequested {
        CancelRequested::new(Rc::clone(&self.shared))
    }

    /// The time, by the server's clock: the same at every replay, and never going back. It stands still between two awaits.
    pub fn now(&self) -> Timestamp {
        self.shared.now()
    }

    /// A unique id: different at every call, the same at every replay.
    #[track_caller]
    pub fn uuid(&self) -> Uuid {
        Uuid::new_v5(&self.shared.run.0, format!("uuid {}", self.shared.next_uuid()).as_bytes())
    }

    /// Whether the code is going through its history. For logging only: code that acts on it does not match its history.
    pub fn is_replaying(&self) -> bool {
        self.shared.is_replaying()
    }

    /// The workflow's id.
    pub fn workflow_id(&self) -> &WorkflowId {
        &self.shared.workflow_id
    }

    /// The workflow's type.
    pub fn workflow_type(&self) -> &TypeName {
        &self.shared.workflow_type
    }

    /// This run's id.
    pub fn run_id(&self) -> RunId {
        self.shared.run
    }

    /// The queue that the run is on.
    pub fn queue(&self) -> &QueueName {
        &self.shared.queue
    }
}
