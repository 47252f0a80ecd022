//! What workflow code holds.

mod call;
mod child;
mod child_handle;
mod external;
mod handle;
mod info;
mod next;
mod operation;
mod random;
mod scope;
mod signal;
mod step;
mod task;
mod timeout;
mod timer;
mod wait;

use std::{cell::RefCell, fmt, future::IntoFuture, rc::Rc, time::Duration};

use highwater_protocol::{QueueName, RunId, Timestamp, TypeName, WorkflowId};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::{
    definition::ActivityItem,
    fault::{Fault, Recordable},
    run::{Scope, Shared},
};

use operation::Scoped;

pub use call::{ActivityCall, PendingActivity};
pub use child::{ChildCall, ChildType, Named};
pub use child_handle::{Child, ChildResult, StartingChild};
pub use external::{ExternalError, ExternalWorkflow, Sent};
pub use handle::{Registered, accept};
pub use highwater_protocol::{
    event::{ActivityCancellation, ChildCancellation, ParentClose},
    request::IdReuse,
};
pub use info::Info;
pub use next::ContinueAsNew;
pub use random::Random;
pub use scope::CancelScope;
pub use signal::{Received, Signals};
pub use step::{PendingStep, StepCall, StepContext};
pub use task::Task;
pub use timeout::Timeout;
pub use timer::Sleep;
pub use wait::{CancelRequested, WaitUntil};

/// The handle through which a workflow does everything: call activities, run steps, sleep, wait.
///
/// `S` is the workflow's state; a workflow that is a function has none. A clone is another handle to the same run.
/// It cannot leave its thread, so a step that captures it does not compile.
pub struct Ctx<S = ()> {
    inner: Rc<OnlyInWorkflowCode<S>>,
}

/// What is behind a [`Ctx`]. One pointer to it is all that keeps a `Ctx` on its thread, so this name, and nothing else,
/// is in what the compiler says to whoever captures a `Ctx` in a step.
struct OnlyInWorkflowCode<S> {
    at: Scoped,
    state: Rc<RefCell<S>>,
}

impl<S> Clone for Ctx<S> {
    fn clone(&self) -> Self {
        Self { inner: Rc::clone(&self.inner) }
    }
}

impl<S> fmt::Debug for Ctx<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ctx")
            .field("workflow_id", &self.inner.at.shared.workflow_id)
            .field("run", &self.inner.at.shared.run)
            .finish_non_exhaustive()
    }
}

impl<S: 'static> Ctx<S> {
    pub(crate) fn new(shared: Rc<Shared>, state: Rc<RefCell<S>>) -> Self {
        let scope = Rc::clone(&shared.scope);
        Self { inner: Rc::new(OnlyInWorkflowCode { at: Scoped { shared, scope }, state }) }
    }

    /// Calls an activity: `ctx.run(Shop::charge, order).await?`.
    ///
    /// The call is made when it is awaited (or turned into a future by `into_future`, `select!` or `join!`); until then
    /// its options can be set. Dropping the future asks the activity to cancel.
    pub fn run<P, A: ActivityItem<P>>(&self, _activity: A, input: A::Input) -> ActivityCall<A::Ok, A::Err> {
        ActivityCall::new(self.inner.at.clone(), &A::DEFAULTS, &input)
    }

    /// Calls an activity by its name alone: one in another language, or one whose code this program does not have.
    /// Nothing checks that `I`, `T` and `E` are what it takes, returns and fails with. No timeouts are set.
    ///
    /// ```
    /// # extern crate highwater_core as highwater;
    /// # use std::time::Duration;
    /// # use highwater::{CallError, Ctx};
    /// # async fn example(ctx: Ctx) -> Result<(), CallError<String>> {
    /// let label: String = ctx
    ///     .run_named::<_, _, String>("classify", "cat.png")
    ///     .queue("models")
    ///     .start_to_close(Duration::from_secs(30))
    ///     .await?;
    /// # Ok(()) }
    /// ```
    pub fn run_named<I, T, E>(&self, name: &str, input: &I) -> ActivityCall<T, E>
    where
        I: Serialize + ?Sized,
        T: DeserializeOwned,
        E: Fault,
    {
        ActivityCall::named(self.inner.at.clone(), name, input)
    }

    /// Runs code in this worker, once, and records what it returned: for something quick that needs no queue of its
    /// own.
    ///
    /// Should the worker end before the result is recorded, the code runs again; [`StepContext::idempotency_key`] is
    /// the same then. The step begins when it is awaited (or turned into a future by `into_future`, `select!` or
    /// `join!`).
    ///
    /// ```
    /// # extern crate highwater_core as highwater;
    /// # use highwater::{CallError, Ctx};
    /// # async fn example(ctx: Ctx) -> Result<(), CallError<String>> {
    /// let cents: u64 = ctx.step("price", async |_| Ok::<_, String>(500)).await?;
    /// # Ok(()) }
    /// ```
    pub fn step<T, E, F, Fut>(&self, name: &str, code: F) -> StepCall<F, E>
    where
        F: FnOnce(StepContext) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Recordable,
        E: Fault,
    {
        StepCall::new(self.inner.at.clone(), name, code)
    }

    /// Sleeps. The timer is on the server: it outlives workers, deploys and months.
    #[track_caller]
    pub fn sleep(&self, duration: Duration) -> Sleep {
        self.sleep_until(self.now().after(duration))
    }

    /// Sleeps until a time of the server's clock, which is that of [`now`](Self::now). A time that has passed ends the
    /// sleep at once.
    #[track_caller]
    pub fn sleep_until(&self, time: Timestamp) -> Sleep {
        Sleep::new(&self.inner.at, time)
    }

    /// Waits for an operation, at most so long; then it is dropped, which cancels it.
    ///
    /// A request to cancel reaches the operation as it would without a timeout, and is told by what the operation
    /// returns.
    ///
    /// ```
    /// # extern crate highwater_core as highwater;
    /// # use std::time::Duration;
    /// # use highwater::{Cancelled, Ctx, fault::Elapsed};
    /// # async fn example(ctx: Ctx) -> Result<(), Cancelled> {
    /// let mut answers = ctx.signals::<bool>("answer");
    /// let agreed = match ctx.timeout(Duration::from_secs(3 * 24 * 3600), answers.recv()).await {
    ///     Ok(answer) => answer?,
    ///     Err(Elapsed) => false,
    /// };
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn timeout<O: IntoFuture>(&self, duration: Duration, operation: O) -> Timeout<O::IntoFuture> {
        // The operation gets its number first, as it stands first in the code's own logic: it may end at once.
        let operation = operation.into_future();
        // What is asked to cancel may take its time, and the timeout holds for that too.
        Timeout::new(operation, self.shielded().sleep(duration))
    }

    /// Waits until the state is as wished: `ctx.wait_until(|s| s.approved).await?`. Looks again after every event.
    pub fn wait_until<F: FnMut(&S) -> bool + Unpin>(&self, condition: F) -> WaitUntil<S, F> {
        WaitUntil::new(self.inner.at.clone(), Rc::clone(&self.inner.state), condition)
    }

    /// Signals of this name, those that came before included, in order. Two receivers of one name share them out.
    ///
    /// # Panics
    ///
    /// When no signal can have this name: it is empty or too long.
    #[track_caller]
    pub fn signals<T: DeserializeOwned>(&self, name: &str) -> Signals<T> {
        Signals::new(self.inner.at.clone(), name)
    }

    /// Reads the state. What `read` calls cannot change it.
    #[track_caller]
    pub fn read<R>(&self, read: impl FnOnce(&S) -> R) -> R {
        let Ok(state) = self.inner.state.try_borrow() else {
            panic!("ctx.read inside of ctx.update: use the state at hand")
        };
        read(&state)
    }

    /// Changes the state, and has everybody look again who waits for a condition over it.
    #[track_caller]
    pub fn update<R>(&self, change: impl FnOnce(&mut S) -> R) -> R {
        self.inner.at.shared.refuse_in_query("ctx.update");
        let result = {
            let Ok(mut state) = self.inner.state.try_borrow_mut() else {
                panic!(
                    "ctx.update where the state is being read or changed already: inside of ctx.read, ctx.update or a condition"
                )
            };
            change(&mut state)
        };
        self.inner.at.shared.wake_waiters();
        result
    }

    /// A handle whose operations go on when the run is asked to cancel: for compensation and clean-up.
    pub fn shielded(&self) -> Self {
        self.in_scope(Scope::apart())
    }

    /// A part of the run that can be cancelled by itself: everything made through [`CancelScope::ctx`] ends as
    /// cancelled when the scope is cancelled, or what this handle belongs to.
    ///
    /// ```
    /// # extern crate highwater_core as highwater;
    /// # use std::time::Duration;
    /// # use highwater::{Cancelled, Ctx};
    /// # async fn search(ctx: Ctx) -> Result<(), Cancelled> { Ok(()) }
    /// # async fn example(ctx: Ctx) -> Result<(), Cancelled> {
    /// let scope = ctx.scope();
    /// let mut search = Box::pin(search(scope.ctx().clone()));
    /// if ctx.timeout(Duration::from_secs(60), &mut search).await.is_err() {
    ///     scope.cancel("took too long");
    ///     search.await.ok(); // it sees the cancellation, and can clean up
    /// }
    /// # Ok(()) }
    /// ```
    pub fn scope(&self) -> CancelScope<S> {
        CancelScope::new(self.in_scope(Scope::within(&self.inner.at.scope)))
    }

    fn in_scope(&self, scope: Rc<Scope>) -> Self {
        let at = Scoped { shared: Rc::clone(&self.inner.at.shared), scope };
        Self { inner: Rc::new(OnlyInWorkflowCode { at, state: Rc::clone(&self.inner.state) }) }
    }

    /// Whether the run was asked to cancel, or the scope that this handle belongs to. Never so for a shielded one.
    pub fn is_cancelled(&self) -> bool {
        self.inner.at.is_cancelled()
    }

    /// Why the run or the scope was asked to cancel.
    pub fn cancel_reason(&self) -> Option<String> {
        self.inner.at.scope.reason()
    }

    /// Waits until the run is asked to cancel, or the scope that this handle belongs to.
    pub fn cancelled(&self) -> CancelRequested {
        CancelRequested::new(self.inner.at.clone())
    }

    /// The time, by the server's clock: the same at every replay, and never going back. It stands still between two
    /// awaits.
    pub fn now(&self) -> Timestamp {
        self.inner.at.shared.now()
    }

    /// A unique id: different at every call, the same at every replay.
    #[track_caller]
    pub fn uuid(&self) -> Uuid {
        Uuid::new_v5(&self.inner.at.shared.run.0, format!("uuid {}", self.inner.at.shared.next_uuid()).as_bytes())
    }

    /// Whether the code is going through its history. Code that acts on it does not match its history. For logging it
    /// is not needed: events of `tracing` in workflow code are silent then, and stand under a span with the run's ids
    /// otherwise.
    pub fn is_replaying(&self) -> bool {
        self.inner.at.shared.is_replaying()
    }

    /// The workflow's id.
    pub fn workflow_id(&self) -> &WorkflowId {
        &self.inner.at.shared.workflow_id
    }

    /// The workflow's type.
    pub fn workflow_type(&self) -> &TypeName {
        &self.inner.at.shared.workflow_type
    }

    /// This run's id.
    pub fn run_id(&self) -> RunId {
        self.inner.at.shared.run
    }

    /// The queue that the run is on.
    pub fn queue(&self) -> &QueueName {
        &self.inner.at.shared.queue
    }
}
