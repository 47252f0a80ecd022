//! Putting a worker together.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use highwater_broker::Broker;
use highwater_core::{
    activity::ActivitySet,
    definition::WorkflowCode,
    intercept::{ActivityInterceptor, WorkflowInterceptor},
    run::{Registry, RegistryError},
};
use highwater_protocol::{InvalidId, QueueName};

use crate::{
    activities::{ActivityCatalog, CatalogError},
    history_limits::{HistoryLimits, InvalidHistoryLimits},
    worker::Worker,
};

/// The queue that workers serve when none is named.
pub const DEFAULT_QUEUE: &str = "default";

/// A worker cannot be put together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A workflow cannot be registered.
    #[error(transparent)]
    Workflow(#[from] RegistryError),
    /// An activity cannot be registered.
    #[error(transparent)]
    Activity(#[from] CatalogError),
    /// A queue's name cannot be one.
    #[error("a queue cannot have this name: {0}")]
    Queue(#[from] InvalidId),
    /// The limits of histories contradict each other.
    #[error(transparent)]
    HistoryLimits(#[from] InvalidHistoryLimits),
    /// There is nothing for the worker to do.
    #[error("the worker has neither workflows nor activities; register some with `.workflow(…)` or `.activities(…)`")]
    Nothing,
}

/// Puts a [`Worker`] together.
#[derive(Debug)]
pub struct WorkerBuilder {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) queues: BTreeSet<QueueName>,
    pub(crate) registry: Registry,
    pub(crate) sets: Vec<Sets>,
    pub(crate) interceptors: Around,
    pub(crate) slots: usize,
    pub(crate) threads: Option<usize>,
    pub(crate) cache_max: usize,
    pub(crate) history_limits: HistoryLimits,
    pub(crate) task_timeout: Duration,
    pub(crate) busy_poll: Duration,
    pub(crate) grace: Duration,
    pub(crate) name: Option<String>,
    error: Option<BuildError>,
}

/// Activities, hidden from `Debug`.
pub(crate) struct Sets(pub(crate) Arc<dyn ActivitySet>);

/// What stands around attempts of activities, hidden from `Debug`.
#[derive(Default)]
pub(crate) struct Around(pub(crate) Vec<Arc<dyn ActivityInterceptor>>);

impl std::fmt::Debug for Around {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} interceptors", self.0.len())
    }
}

impl std::fmt::Debug for Sets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.activities()).finish()
    }
}

impl WorkerBuilder {
    /// A worker of the namespace behind this broker.
    pub fn new(broker: Arc<dyn Broker>) -> Self {
        Self {
            broker,
            queues: BTreeSet::new(),
            registry: Registry::new(),
            sets: Vec::new(),
            interceptors: Around::default(),
            slots: 200,
            threads: None,
            cache_max: 10_000,
            history_limits: HistoryLimits::default(),
            task_timeout: Duration::from_secs(2),
            busy_poll: Duration::from_micros(200),
            grace: Duration::from_secs(10),
            name: None,
            error: None,
        }
    }

    /// Serves this queue. Call it again for more; without it the worker serves [`DEFAULT_QUEUE`].
    pub fn queue(mut self, name: &str) -> Self {
        match QueueName::new(name) {
            Ok(queue) => {
                self.queues.insert(queue);
            }
            Err(error) => self.note(error.into()),
        }
        self
    }

    /// Runs workflows of this type: `.workflow(order)` or `.workflow(Order::run)`.
    pub fn workflow<P, W>(mut self, item: W) -> Self
    where
        W: WorkflowCode<P> + Clone + Send + Sync,
    {
        if let Err(error) = self.registry.add(item) {
            self.note(error.into());
        }
        self
    }

    /// Runs the activities of this set: `.activities(Shop { db })`.
    pub fn activities(mut self, set: impl ActivitySet) -> Self {
        self.sets.push(Sets(Arc::new(set)));
        self
    }

    /// Has an interceptor see what goes into and out of all workflows. Those that are added first are nearest to the
    /// outside.
    pub fn intercept_workflows(mut self, interceptor: impl WorkflowInterceptor) -> Self {
        self.registry.intercept(Arc::new(interceptor));
        self
    }

    /// Puts an interceptor around every attempt of an activity. Those that are added first are the outermost.
    pub fn intercept_activities(mut self, interceptor: impl ActivityInterceptor) -> Self {
        self.interceptors.0.push(Arc::new(interceptor));
        self
    }

    /// How many activities run at once in this process; 200 unless set.
    pub fn activity_slots(mut self, slots: usize) -> Self {
        self.slots = slots.max(1);
        self
    }

    /// Gives workflow code threads of its own, for code that computes much. Unless set, it runs on the one thread that
    /// all else of the worker's workflows has, which spares most code the wait for another thread to wake.
    pub fn workflow_threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads.max(1));
        self
    }

    /// How many runs stay in memory between their events; 10,000 unless set. One that is not there is rebuilt from its
    /// history.
    pub fn cached_runs(mut self, runs: usize) -> Self {
        self.cache_max = runs;
        self
    }

    /// How long the history of a run may become; see [`HistoryLimits`] for what it is unless set.
    pub fn history_limits(mut self, limits: HistoryLimits) -> Self {
        self.history_limits = limits;
        self
    }

    /// How long workflow code may keep its thread without awaiting anything; 2 s unless set.
    pub fn workflow_task_timeout(mut self, timeout: Duration) -> Self {
        self.task_timeout = timeout;
        self
    }

    /// How long the worker's thread may stay awake for what is probably about to come, instead of sleeping until it is
    /// there; 200 µs unless set, zero for never.
    ///
    /// It does so while most of such waits were shorter lately: in the time in which a server nearby stores a record,
    /// and between requests that follow each other closely. A thread that sleeps then is woken late and with cold
    /// caches; with a server on the same machine a run that is alone is done in four fifths of the time without that,
    /// for up to twice the worker's CPU time. A worker that awaits more than two answers at once, one that waits for a
    /// distant server and one that has nothing to do sleep as before, and so does one in a process that has a single
    /// processor.
    pub fn busy_poll(mut self, window: Duration) -> Self {
        self.busy_poll = window;
        self
    }

    /// How long a stopping worker waits for running activities; 10 s unless set.
    pub fn shutdown_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// What the worker calls itself, for people; host and process id unless set.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    fn note(&mut self, error: BuildError) {
        self.error.get_or_insert(error);
    }

    /// Checks everything and makes the worker. It does nothing until it is [run](Worker::run).
    pub fn build(mut self) -> Result<Worker, BuildError> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        self.history_limits.check()?;
        if self.queues.is_empty() {
            self.queues.insert(QueueName::new(DEFAULT_QUEUE)?);
        }
        let catalog = ActivityCatalog::new(self.sets.drain(..).map(|set| set.0).collect())?
            .intercepted(std::mem::take(&mut self.interceptors.0));
        if catalog.is_empty() && self.registry.names().is_empty() {
            return Err(BuildError::Nothing);
        }
        Ok(Worker::new(self, catalog))
    }
}
