//! Takes the tasks of a queue while there are free slots.

use std::{sync::Arc, time::Duration};

use highwater_broker::{Broker, Error, Task};
use highwater_core::run::Limits;
use highwater_protocol::QueueName;
use tokio::{
    sync::Semaphore,
    task::{JoinError, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    attempt::Delivery,
    backoff::Backoff,
    catalog::ActivityCatalog,
    host::{Host, Slot},
    lease::Lease,
};

/// How long one call waits for tasks.
const TAKE_WAIT: Duration = Duration::from_secs(30);
/// How long a task may wait here for a slot that another queue of this worker was faster to take.
const SLOT_WAIT: Duration = Duration::from_secs(5);
/// How long abandoned attempts have to write down their heartbeat details.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Takes the tasks of one queue and runs them.
#[derive(Debug)]
pub(crate) struct ActivityWorker {
    host: Arc<Host>,
    slots: Arc<Semaphore>,
    grace: Duration,
}

impl ActivityWorker {
    /// Runs the activities of `catalog` that are called through `queue`. `slots` says how many run at once; it is one for
    /// all queues of a process. Cancel `stop` to have no more tasks taken and end, running attempts after `grace` at the
    /// latest.
    pub(crate) fn new(
        broker: Arc<dyn Broker>,
        queue: QueueName,
        catalog: Arc<ActivityCatalog>,
        slots: Arc<Semaphore>,
        limits: Limits,
        stop: CancellationToken,
        grace: Duration,
    ) -> Self {
        Self { host: Arc::new(Host::new(broker, queue, catalog, limits, stop)), slots, grace }
    }

    /// Runs until it is told to stop and the attempts have ended or the grace period has. Attempts that have not are
    /// aborted without a word to the server: after the ack wait another worker gets them. Dropping this does the same,
    /// without the grace period.
    pub(crate) async fn run(self) {
        let serve = async {
            let mut attempts = JoinSet::new();
            self.take_until_stopped(&mut attempts).await;
            self.finish(attempts).await;
        };
        let host = &self.host;
        tokio::select! {
            () = serve => {}
            () = host.keep_time() => {}
            () = host.cancellations.listen(host.broker.as_ref(), &host.queue) => {}
        }
    }

    async fn take_until_stopped(&self, attempts: &mut JoinSet<()>) {
        let host = &self.host;
        let mut backoff = Backoff::new();
        loop {
            while let Some(ended) = attempts.try_join_next() {
                note_end(ended);
            }
            let taken = tokio::select! {
                biased;
                () = host.stop.cancelled() => return,
                taken = self.take() => taken,
            };
            match taken {
                Ok(tasks) => {
                    backoff.reset();
                    for task in tasks {
                        self.begin(task, attempts);
                    }
                }
                Err(error) => {
                    tracing::warn!(queue = %host.queue, %error, "cannot take activity tasks");
                    tokio::select! {
                        () = host.stop.cancelled() => return,
                        () = backoff.pause() => {}
                    }
                }
            }
        }
    }

    async fn take(&self) -> Result<Vec<Task>, Error> {
        // Nobody closes the semaphore.
        let Ok(free) = self.slots.acquire().await else { return std::future::pending().await };
        // Not held while waiting for tasks: other queues wait for theirs with the same slots.
        let max = self.slots.available_permits() + 1;
        drop(free);
        self.host.broker.take_tasks(self.host.queue.clone(), max, TAKE_WAIT).await
    }

    fn begin(&self, task: Task, attempts: &mut JoinSet<()>) {
        let host = self.host.clone();
        host.observe(task.message.time);
        let lease = Lease::new(task.ack, host.broker.task_ack_wait());
        let delivery = Delivery { message: task.message, delivered: task.delivered, lease };
        let slots = self.slots.clone();
        match slots.clone().try_acquire_owned() {
            Ok(slot) => attempts.spawn(async move { delivery.attend(&host, Slot::new(slot)).await }),
            Err(_) => attempts.spawn(async move {
                let slot = tokio::select! {
                    slot = timeout(SLOT_WAIT, slots.acquire_owned()) => slot.ok().and_then(Result::ok),
                    () = host.stop.cancelled() => None,
                    never = delivery.lease.keep() => match never {},
                };
                match slot {
                    Some(slot) => delivery.attend(&host, Slot::new(slot)).await,
                    None => delivery.pass_on(&host).await,
                }
            }),
        };
    }

    async fn finish(&self, mut attempts: JoinSet<()>) {
        if timeout(self.grace, join_all(&mut attempts)).await.is_ok() {
            return;
        }
        tracing::warn!(queue = %self.host.queue, left = attempts.len(), "activities still run after the grace period; other workers get them");
        self.host.abandon.cancel();
        let _ = timeout(LAST_WORDS, join_all(&mut attempts)).await;
        attempts.shutdown().await;
    }
}

async fn join_all(attempts: &mut JoinSet<()>) {
    while let Some(ended) = attempts.join_next().await {
        note_end(ended);
    }
}

/// An attempt is not meant to panic: user code's panics are caught further inside.
fn note_end(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "an attempt ended in a way that it should not; its task is delivered again");
    }
}
