//! A worker process: workflows, activities, or both.

use std::{fmt, sync::Arc, time::Duration};

use highwater_broker::{BoxFuture, Broker, Error};
use highwater_core::run::Registry;
use highwater_protocol::{
    Key, QueueName, WorkerId, WorkflowId,
    worker::{Announcement, ServedQueue},
};
use tokio::{
    sync::{
        Semaphore,
        mpsc::{self, UnboundedReceiver, UnboundedSender},
    },
    task::JoinSet,
    time::{Instant, timeout},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tracing::{Instrument, instrument::WithSubscriber};

use crate::{
    activities::{ActivityCatalog, ActivityHost, ActivityWorker},
    clock::ServerClock,
    driver::{Driver, Parts, insist},
    executor::Home,
    history_limits::HistoryLimits,
    leftovers,
    membership::Membership,
    options::WorkerBuilder,
    user::UserRuntime,
};

/// How long the end waits for the last answers to go out.
const FLUSH_MAX: Duration = Duration::from_secs(1);

/// Runs workflows and activities until it is told to stop.
///
/// Any number of workers may serve a queue. They share its partitions out among themselves, and take over those of one
/// that ends without a word within seconds.
pub struct Worker {
    broker: Arc<dyn Broker>,
    queues: Vec<QueueName>,
    registry: Arc<Registry>,
    catalog: Arc<ActivityCatalog>,
    options: Options,
    stop: CancellationToken,
    evict: UnboundedSender<Key>,
    evictions: UnboundedReceiver<Key>,
}

#[derive(Clone, Debug)]
struct Options {
    slots: usize,
    threads: Option<usize>,
    cache_max: usize,
    history_limits: HistoryLimits,
    task_timeout: Duration,
    busy_poll: Duration,
    grace: Duration,
    name: String,
}

/// Stops a worker from anywhere: a cheap clone.
#[derive(Clone, Debug)]
pub struct StopHandle(CancellationToken);

impl StopHandle {
    /// Asks the worker to finish what is under way, hand its partitions over and return from [`Worker::run`].
    pub fn stop(&self) {
        self.0.cancel();
    }
}

/// Drops runs from a worker's memory, for test environments.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct EvictHandle(UnboundedSender<Key>);

impl EvictHandle {
    /// Has the run rebuilt from its history at its next event, unless it is in the middle of something.
    pub fn evict(&self, id: &WorkflowId) {
        // A worker that has ended has no run in memory.
        let _ = self.0.send(id.to_key());
    }
}

/// A worker could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The broker did not answer.
    #[error("the worker cannot start: {0}")]
    Broker(#[from] Error),
    /// The operating system did not give it a thread.
    #[error("the worker cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("queues", &self.queues)
            .field("workflows", &self.registry)
            .finish_non_exhaustive()
    }
}

impl Worker {
    /// Begins to put a worker together.
    pub fn builder(broker: Arc<dyn Broker>) -> WorkerBuilder {
        WorkerBuilder::new(broker)
    }

    pub(crate) fn new(builder: WorkerBuilder, catalog: ActivityCatalog) -> Self {
        let (evict, evictions) = mpsc::unbounded_channel();
        let name = builder.name.unwrap_or_else(|| format!("pid {}", std::process::id()));
        Self {
            broker: builder.broker,
            queues: builder.queues.into_iter().collect(),
            registry: Arc::new(builder.registry),
            catalog: Arc::new(catalog),
            options: Options {
                slots: builder.slots,
                threads: builder.threads,
                cache_max: builder.cache_max,
                history_limits: builder.history_limits,
                task_timeout: builder.task_timeout,
                busy_poll: builder.busy_poll,
                grace: builder.grace,
                name,
            },
            stop: CancellationToken::new(),
            evict,
            evictions,
        }
    }

    /// A handle that drops runs from this worker's memory.
    #[doc(hidden)]
    pub fn evict_handle(&self) -> EvictHandle {
        EvictHandle(self.evict.clone())
    }

    /// A handle that stops this worker.
    pub fn stop_handle(&self) -> StopHandle {
        StopHandle(self.stop.clone())
    }

    /// Runs until the worker is stopped. A connection that is lost meanwhile is waited for, and so is a server that does
    /// not answer yet.
    ///
    /// All that the worker does itself, and workflow code, has a thread and a connection of its own. Activities and
    /// steps belong to the async runtime that polls this; those that are quick are polled on the worker's thread first.
    pub async fn run(self) -> Result<(), RunError> {
        self.running().await
    }

    fn running(self) -> BoxFuture<'static, Result<(), RunError>> {
        Box::pin(async move {
            if self.broker.is_in_process() {
                let broker = Arc::clone(&self.broker);
                return self.work(broker, None, UserRuntime::current(None)).await;
            }
            let home = Home::new();
            let user = UserRuntime::current(Some(Arc::clone(&home)));
            let hosted = Arc::clone(&home);
            let work = async move {
                let broker = tokio::select! {
                    () = self.stop.cancelled() => return Ok(()),
                    broker = insist("connecting", || self.broker.dedicated()) => broker?,
                };
                self.work(Arc::clone(&broker), Some(hosted), user).await?;
                // The last answers are on their way.
                let _ = timeout(FLUSH_MAX, broker.flush()).await;
                Ok(())
            };
            home.host(work.in_current_span().with_current_subscriber()).await?
        })
    }

    async fn work(
        self,
        broker: Arc<dyn Broker>,
        home: Option<Arc<Home>>,
        user: Arc<UserRuntime>,
    ) -> Result<(), RunError> {
        let asked = Instant::now();
        let server = tokio::select! {
            () = self.stop.cancelled() => return Ok(()),
            server = insist("asking for the server's time", || broker.server_time()) => server?,
        };
        // The server's clock was read somewhere between asking and now; the later instant makes the estimate the
        // earlier one.
        let clock = ServerClock::new(server, Instant::now());
        tracing::debug!(round_trip = ?asked.elapsed(), "the server's clock is known");
        let mut parts = JoinSet::new();
        let activities = self.spawn_activities(&broker, &user, &mut parts);
        if self.registry.names().is_empty() {
            self.stop.cancelled().await;
        } else {
            self.run_workflows(broker, home, user, clock).await;
        }
        activities.cancel();
        while parts.join_next().await.is_some() {}
        Ok(())
    }

    /// Runs until `signal` completes and then stops in good order.
    pub async fn run_until(self, signal: impl Future<Output = ()> + Send + 'static) -> Result<(), RunError> {
        let stop = self.stop_handle();
        let waiter = tokio::spawn(async move {
            signal.await;
            stop.stop();
        });
        let result = self.run().await;
        waiter.abort();
        result
    }

    fn spawn_activities(
        &self,
        broker: &Arc<dyn Broker>,
        user: &Arc<UserRuntime>,
        parts: &mut JoinSet<()>,
    ) -> CancellationToken {
        let stop = self.stop.child_token();
        if self.catalog.is_empty() {
            return stop;
        }
        let slots = Arc::new(Semaphore::new(self.options.slots));
        for queue in &self.queues {
            let host = ActivityHost::new(
                Arc::clone(broker),
                Arc::clone(user),
                queue.clone(),
                Arc::clone(&self.catalog),
                stop.clone(),
            );
            parts.spawn(ActivityWorker::new(host, Arc::clone(&slots), self.options.grace).run());
        }
        stop
    }

    async fn run_workflows(
        self,
        broker: Arc<dyn Broker>,
        home: Option<Arc<Home>>,
        user: Arc<UserRuntime>,
        clock: ServerClock,
    ) {
        let types = self.registry.names();
        let queues =
            self.queues.iter().map(|queue| ServedQueue { queue: queue.clone(), types: types.clone() }).collect();
        let announcement = Announcement { worker: WorkerId::generate(), name: self.options.name.clone(), queues };
        let (notes, noted) = mpsc::unbounded_channel();
        let (command, commands) = mpsc::unbounded_channel();
        let membership = Membership::new(Arc::clone(&broker), announcement, notes, commands);
        let member = tokio::spawn(membership.run());
        let _leftovers = AbortOnDropHandle::new(tokio::spawn(leftovers::clear(Arc::clone(&broker))));
        let driver = Driver::new(Parts {
            broker,
            queues: self.queues.clone(),
            registry: Arc::clone(&self.registry),
            home,
            threads: self.options.threads,
            user,
            cache_max: self.options.cache_max,
            history_limits: self.options.history_limits,
            task_timeout: self.options.task_timeout,
            busy_poll: self.options.busy_poll,
            clock,
            notes: noted,
            commands: command.clone(),
            evictions: self.evictions,
        });
        driver.run(self.stop, &command).await;
        if let Err(error) = member.await {
            tracing::error!(%error, "the membership ended badly");
        }
    }
}
