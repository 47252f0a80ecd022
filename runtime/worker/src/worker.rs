//! A worker process: workflows, activities, or both.

use std::{fmt, panic, sync::Arc};

use highwater_broker::{Broker, Error};
use highwater_core::run::{Limits, Registry};
use highwater_protocol::{
    Key, QueueName, WorkerId, WorkflowId,
    worker::{Announcement, ServedQueue},
};
use tokio::{
    sync::{
        Semaphore,
        mpsc::{self, UnboundedReceiver, UnboundedSender},
    },
    task::{JoinError, JoinSet},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tracing::{Instrument, instrument::WithSubscriber};

use crate::{
    activities::{ActivityCatalog, ActivityWorker},
    clock::ServerClock,
    driver::{Driver, Parts},
    history_limits::HistoryLimits,
    leftovers,
    membership::Membership,
    options::WorkerBuilder,
};

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
    threads: usize,
    cache_max: usize,
    history_limits: HistoryLimits,
    task_timeout: std::time::Duration,
    grace: std::time::Duration,
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

    /// Runs until the worker is stopped. A connection that is lost meanwhile is waited for.
    pub async fn run(self) -> Result<(), RunError> {
        if self.broker.is_in_process() {
            return self.work().await;
        }
        // A program mostly awaits this in its main function, whose thread does nothing else. There every message would have to
        // wake another thread; among the tasks that bring it, it need not.
        let work = self.work().in_current_span().with_current_subscriber();
        let ended = AbortOnDropHandle::new(tokio::spawn(work)).await;
        match ended.map_err(JoinError::try_into_panic) {
            Ok(ended) => ended,
            Err(Ok(panic)) => panic::resume_unwind(panic),
            // The runtime shuts down, and whoever waits here on another one waits for nothing.
            Err(Err(_)) => Ok(()),
        }
    }

    async fn work(self) -> Result<(), RunError> {
        let asked = Instant::now();
        let server = self.broker.server_time().await?;
        // The server's clock was read somewhere between asking and now; the later instant makes the estimate the earlier one.
        let clock = ServerClock::new(server, Instant::now());
        tracing::debug!(round_trip = ?asked.elapsed(), "the server's clock is known");
        let mut parts = JoinSet::new();
        let activities = self.spawn_activities(&mut parts);
        if self.registry.names().is_empty() {
            self.stop.cancelled().await;
        } else {
            self.run_workflows(clock).await;
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

    fn spawn_activities(&self, parts: &mut JoinSet<()>) -> CancellationToken {
        let stop = self.stop.child_token();
        if self.catalog.is_empty() {
            return stop;
        }
        let slots = Arc::new(Semaphore::new(self.options.slots));
        let limits = Limits::for_message_max(self.broker.payload_max());
        for queue in &self.queues {
            let worker = ActivityWorker::new(
                Arc::clone(&self.broker),
                queue.clone(),
                Arc::clone(&self.catalog),
                Arc::clone(&slots),
                limits,
                stop.clone(),
                self.options.grace,
            );
            parts.spawn(worker.run());
        }
        stop
    }

    async fn run_workflows(self, clock: ServerClock) {
        let types = self.registry.names();
        let queues =
            self.queues.iter().map(|queue| ServedQueue { queue: queue.clone(), types: types.clone() }).collect();
        let announcement = Announcement { worker: WorkerId::generate(), name: self.options.name.clone(), queues };
        let (notes, noted) = mpsc::unbounded_channel();
        let (command, commands) = mpsc::unbounded_channel();
        let membership = Membership::new(Arc::clone(&self.broker), announcement, notes, commands);
        let member = tokio::spawn(membership.run());
        let _leftovers = AbortOnDropHandle::new(tokio::spawn(leftovers::clear(Arc::clone(&self.broker))));
        let driver = Driver::new(Parts {
            broker: Arc::clone(&self.broker),
            queues: self.queues.clone(),
            registry: Arc::clone(&self.registry),
            threads: self.options.threads,
            cache_max: self.options.cache_max,
            history_limits: self.options.history_limits,
            task_timeout: self.options.task_timeout,
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
