//! Putting an environment together.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use highwater_broker::memory::MemoryOptions;
use highwater_client::Client;
use highwater_core::{
    activity::ActivitySet,
    definition::{ActivityItem, WorkflowCode},
    intercept::{ActivityInterceptor, WorkflowInterceptor},
    run::Registry,
};
use highwater_protocol::{Namespace, Timestamp};
use highwater_worker::{DEFAULT_QUEUE, WorkerBuilder};
use serde::{Serialize, de::DeserializeOwned};

use super::{TestEnv, clock, worker::Workers};
use crate::mock::{Activities, Mock, mock};

/// What the clock shows when an environment starts, unless it is said: 2026-01-01, the same at every run.
const START: Timestamp = Timestamp(1_767_225_600_000_000);

/// How long workflow code may take for one step, in real time: longer than in production, as a build machine is busy.
const TASK_TIMEOUT: Duration = Duration::from_secs(10);

/// How long it takes until a task whose worker crashed goes to another one: as over NATS.
const ACK_WAIT: Duration = Duration::from_secs(10);

/// A part of a worker.
pub(super) type Piece = Arc<dyn Fn(WorkerBuilder) -> WorkerBuilder + Send + Sync>;

/// Puts a [`TestEnv`] together.
#[must_use = "an environment begins with `.start().await`"]
pub struct TestEnvBuilder {
    pieces: Vec<Piece>,
    registry: Registry,
    activities: Activities,
    start_at: Timestamp,
    failures_allowed: bool,
}

impl fmt::Debug for TestEnvBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestEnvBuilder")
            .field("workflows", &self.registry)
            .field("activities", &self.activities)
            .finish_non_exhaustive()
    }
}

impl TestEnvBuilder {
    pub(super) fn new() -> Self {
        let first: Piece = Arc::new(|worker| {
            worker
                .queue(DEFAULT_QUEUE)
                .cached_runs(0)
                .workflow_task_timeout(TASK_TIMEOUT)
                .name("the worker of the test")
        });
        Self {
            pieces: vec![first],
            registry: Registry::new(),
            activities: Activities::default(),
            start_at: START,
            failures_allowed: false,
        }
    }

    /// Runs workflows of this type: `.workflow(order)` or `.workflow(Order::run)`.
    ///
    /// # Panics
    ///
    /// When two workflows have one name.
    #[track_caller]
    pub fn workflow<P, W>(mut self, item: W) -> Self
    where
        W: WorkflowCode<P> + Clone + Send + Sync,
    {
        if let Err(error) = self.registry.add(item.clone()) {
            panic!("{error}");
        }
        self.worker(move |worker| worker.workflow(item.clone()))
    }

    /// Has an interceptor see what goes into and out of all workflows: as
    /// [`WorkerBuilder::intercept_workflows`](highwater_worker::WorkerBuilder::intercept_workflows).
    pub fn intercept_workflows(mut self, interceptor: impl WorkflowInterceptor) -> Self {
        let interceptor: Arc<dyn WorkflowInterceptor> = Arc::new(interceptor);
        self.registry.intercept(Arc::clone(&interceptor));
        self.worker(move |worker| worker.intercept_workflows(Arc::clone(&interceptor)))
    }

    /// Puts an interceptor around every attempt of an activity, of mocked ones too: as
    /// [`WorkerBuilder::intercept_activities`](highwater_worker::WorkerBuilder::intercept_activities).
    pub fn intercept_activities(self, interceptor: impl ActivityInterceptor) -> Self {
        let interceptor: Arc<dyn ActivityInterceptor> = Arc::new(interceptor);
        self.worker(move |worker| worker.intercept_activities(Arc::clone(&interceptor)))
    }

    /// Runs the activities of this set, except those that are mocked: `.activities(Shop::fake())`.
    pub fn activities(mut self, set: impl ActivitySet) -> Self {
        self.activities.add(Arc::new(set));
        self
    }

    /// Plays an activity: the closure takes its input and gives what the activity would. Whether the activity is in one
    /// of the sets does not matter. The last mock of an activity counts.
    pub fn mock<P, A, F, Fut>(self, activity: A, play: F) -> Self
    where
        A: ActivityItem<P>,
        A::Input: DeserializeOwned,
        A::Ok: Serialize,
        F: Fn(A::Input) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<A::Ok, A::Err>> + Send + 'static,
    {
        self.mocked(mock(activity, play))
    }

    /// Plays an activity that fails at first, or takes its time: see [`mock`].
    pub fn mocked<I, T, E>(mut self, mock: Mock<I, T, E>) -> Self {
        self.activities.mock(mock);
        self
    }

    /// Serves this queue beside the default one, and beside those that mocked activities name.
    pub fn queue(self, name: impl Into<String>) -> Self {
        let name = name.into();
        self.worker(move |worker| worker.queue(&name))
    }

    /// Keeps runs in memory between their steps, as production does, rather than rebuild them for every step.
    pub fn keep_runs(self) -> Self {
        self.worker(|worker| worker.cached_runs(10_000))
    }

    /// Changes the worker in any way that a [`WorkerBuilder`] can: `.worker(|worker| worker.activity_slots(1))`. It is
    /// called whenever a worker starts.
    pub fn worker(mut self, change: impl Fn(WorkerBuilder) -> WorkerBuilder + Send + Sync + 'static) -> Self {
        self.pieces.push(Arc::new(change));
        self
    }

    /// What the clock shows at the beginning; 2026-01-01 unless set.
    pub fn start_at(mut self, start: Timestamp) -> Self {
        self.start_at = start;
        self
    }

    /// Goes on when workflow code panics, does not match its history or holds its thread: the run is blocked and tried
    /// again, as in production. Without this the test fails.
    pub fn allow_task_failures(mut self) -> Self {
        self.failures_allowed = true;
        self
    }

    /// Stops tokio's clock and starts a worker.
    ///
    /// # Panics
    ///
    /// Outside of a `#[tokio::test]`, in one of several threads, and when the worker cannot be built.
    pub async fn start(self) -> TestEnv {
        clock::freeze();
        let namespace = Namespace::new("test").expect("a name that can be one");
        let options = MemoryOptions::new(namespace).partitions(1).start_at(self.start_at).task_ack_wait(ACK_WAIT);
        let broker = options.in_process().build();
        let client = Client::new(Arc::new(broker.attended()));
        let calls = self.activities.calls.clone();
        let workers = Workers::new(broker.clone(), self.pieces, self.activities);
        let env = TestEnv::new(broker, client, workers, Arc::new(self.registry), calls, self.failures_allowed);
        env.start_worker();
        // Its task begins before anything else of the test.
        tokio::task::yield_now().await;
        env
    }
}
