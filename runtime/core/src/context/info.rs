//! What a run knows of itself, and what can be known of it.

use highwater_protocol::{
    Failure, Payloads, QueueName, RunId, Timestamp, TypeName, WorkflowId,
    event::{Attributes, InvalidAttributes, Origin},
};
use serde::de::DeserializeOwned;

use super::Ctx;

/// What a run knows of itself. The same at every replay.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Info {
    /// The workflow's id.
    pub workflow_id: WorkflowId,
    /// The workflow's type.
    pub workflow_type: TypeName,
    /// This run.
    pub run_id: RunId,
    /// The first run of the chain that this one continues or tries again; this run when it is the first.
    pub first_run: RunId,
    /// The run before it in the chain.
    pub continued_from: Option<RunId>,
    /// The queue that it is on.
    pub queue: QueueName,
    /// Which attempt it is by its retry policy, from 1.
    pub attempt: u32,
    /// How the attempt before failed.
    pub last_failure: Option<Failure>,
    /// The run that started it as its child.
    pub parent: Option<Origin>,
    /// When it was started.
    pub started_at: Timestamp,
    /// When the whole chain must have ended, if it has an execution timeout.
    pub deadline: Option<Timestamp>,
    /// How many events its history has.
    pub history_events: u64,
    /// About how many bytes its history has.
    pub history_bytes: u64,
    /// The history is long: see [`Ctx::continue_as_new_suggested`].
    pub continue_as_new_suggested: bool,
    /// Notes of the starter's; see [`Ctx::memo`].
    pub memo: Payloads,
    /// What the run can be found by, with what [`Ctx::upsert_attributes`] has set.
    pub attributes: Attributes,
    /// The context headers that go with the run into its activities and children.
    pub headers: Payloads,
}

impl<S: 'static> Ctx<S> {
    /// What the run knows of itself: ids, attempt, parent, the size of its history.
    ///
    /// ```
    /// # extern crate highwater_core as highwater;
    /// # use highwater::{Ctx, Exit};
    /// # use highwater_macros::workflow;
    /// #[workflow]
    /// async fn counter(ctx: Ctx, mut count: u64) -> Result<u64, Exit> {
    ///     let mut ticks = ctx.signals::<()>("tick");
    ///     loop {
    ///         ticks.recv().await?;
    ///         count += 1;
    ///         if ctx.info().history_events > 5_000 {
    ///             return Err(ctx.continue_as_new::<counter>(count));
    ///         }
    ///     }
    /// }
    /// ```
    pub fn info(&self) -> Info {
        let shared = &self.inner.at.shared;
        let started = &shared.started;
        let (history_events, history_bytes) = shared.history_size();
        Info {
            workflow_id: started.workflow_id.clone(),
            workflow_type: started.workflow_type.clone(),
            run_id: shared.run,
            first_run: started.first_run.unwrap_or(shared.run),
            continued_from: started.continued_from,
            queue: started.queue.clone(),
            attempt: started.attempt,
            last_failure: started.last_failure.clone(),
            parent: started.parent.clone(),
            started_at: shared.started_at,
            deadline: started.deadline,
            history_events,
            history_bytes,
            continue_as_new_suggested: shared.continue_as_new_suggested(),
            memo: started.memo.clone(),
            attributes: shared.attributes(),
            headers: started.headers.clone(),
        }
    }

    /// Whether the history has become so long that [`continue_as_new`](Self::continue_as_new) is in order. How long
    /// that is, the worker says; that it is so is in the history, so every replay is told the same at the same place.
    ///
    /// A run that does not follow it may go on, until its history is as long as the worker lets one become: then the
    /// run fails.
    ///
    /// ```
    /// # extern crate highwater_core as highwater;
    /// # use highwater::{Ctx, Exit};
    /// # use highwater_macros::workflow;
    /// #[workflow]
    /// async fn counter(ctx: Ctx, mut count: u64) -> Result<u64, Exit> {
    ///     let mut ticks = ctx.signals::<()>("tick");
    ///     loop {
    ///         ticks.recv().await?;
    ///         count += 1;
    ///         if ctx.continue_as_new_suggested() {
    ///             return Err(ctx.continue_as_new::<counter>(count));
    ///         }
    ///     }
    /// }
    /// ```
    pub fn continue_as_new_suggested(&self) -> bool {
        self.inner.at.shared.continue_as_new_suggested()
    }

    /// A note that the starter left, or the run before this one; `None` when there is none of this name.
    ///
    /// # Panics
    ///
    /// When the note is no `T`: the task fails, and goes on when it is deployed with the right type.
    #[track_caller]
    pub fn memo<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let decoded = self.inner.at.shared.started.memo.get(name)?.decode();
        Some(decoded.unwrap_or_else(|error| panic!("the memo {name:?} does not fit: {error}")))
    }

    /// Sets what the run can be found by; attributes of other names stay. An error, and nothing set, when they could
    /// not be searched for or all together would be too large.
    ///
    /// ```
    /// # extern crate highwater_core as highwater;
    /// # use highwater::Ctx;
    /// # use highwater_protocol::event::{Attributes, InvalidAttributes};
    /// # fn example(ctx: Ctx) -> Result<(), InvalidAttributes> {
    /// ctx.upsert_attributes(Attributes::default().with("stage", "shipped").with("parcels", 2))?;
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn upsert_attributes(&self, attributes: Attributes) -> Result<(), InvalidAttributes> {
        self.inner.at.shared.upsert_attributes(attributes)
    }

    /// Whether this run goes with a change of the code: `true` for runs that come to this line first after the change
    /// was deployed, `false` for those whose history has passed it without. What a run is told once it is told always.
    ///
    /// ```
    /// # extern crate highwater_core as highwater;
    /// # use highwater::{CallError, Ctx};
    /// # async fn new_way(ctx: &Ctx) -> Result<(), CallError<String>> { Ok(()) }
    /// # async fn old_way(ctx: &Ctx) -> Result<(), CallError<String>> { Ok(()) }
    /// # async fn example(ctx: Ctx) -> Result<(), CallError<String>> {
    /// if ctx.patched("charge-before-shipping") {
    ///     new_way(&ctx).await?;
    /// } else {
    ///     old_way(&ctx).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// When no run that went the old way is left, write [`deprecate_patch`](Self::deprecate_patch) and the new way
    /// only; when none that went through `patched` is left, remove that too.
    ///
    /// # Panics
    ///
    /// When the id is empty or too long.
    #[track_caller]
    pub fn patched(&self, id: &str) -> bool {
        self.inner.at.shared.patched(id, false)
    }

    /// Says that no run is left which goes without a change: the code for those is gone.
    ///
    /// # Panics
    ///
    /// When the id is empty or too long.
    #[track_caller]
    pub fn deprecate_patch(&self, id: &str) {
        self.inner.at.shared.patched(id, true);
    }
}
