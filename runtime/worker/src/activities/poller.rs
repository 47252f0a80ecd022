//! Takes the tasks of a queue while there are free slots.

use std::{sync::Arc, time::Duration};

use highwater_broker::{BoxFuture, Error, Task};
use tokio::{
    sync::Semaphore,
    task::{JoinError, JoinSet},
    time::timeout,
};

use super::{
    attempt::Delivery,
    host::{Host, Slot},
    lease::Lease,
};
use crate::backoff::Backoff;

/// How long one call waits for tasks.
const TAKE_WAIT: Duration = Duration::from_secs(30);
/// How long a task may wait here for a slot that another queue of this worker was faster to take.
const SLOT_WAIT: Duration = Duration::from_secs(5);
/// How long abandoned attempts have to write down their heartbeat details, and what was said before to reach the
/// server.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A call for tasks.
type Taking = BoxFuture<'static, Result<Vec<Task>, Error>>;

/// Takes the tasks of one queue and runs them.
#[derive(Debug)]
pub(crate) struct ActivityWorker {
    host: Arc<Host>,
    slots: Arc<Semaphore>,
    grace: Duration,
}

impl ActivityWorker {
    /// Runs the activities of the host's catalog that are called through its queue. `slots` says how many run at once;
    /// it is one for all queues of a process. Cancel the host's `stop` to have no more tasks taken and end, running
    /// attempts after `grace` at the latest.
    pub(crate) fn new(host: Host, slots: Arc<Semaphore>, grace: Duration) -> Self {
        Self { host: Arc::new(host), slots, grace }
    }

    /// Runs until it is told to stop and the attempts have ended or the grace period has. Attempts that have not are
    /// aborted without a word to the server: after the ack wait another worker gets them. Dropping this does the same,
    /// without the grace period.
    pub(crate) async fn run(self) {
        let serve = async {
            let mut attempts = JoinSet::new();
            let taking = self.take_until_stopped(&mut attempts).await;
            self.finish(attempts, taking).await;
        };
        let host = &self.host;
        tokio::select! {
            () = serve => {}
            () = host.keep_time() => {}
            () = host.cancellations.listen(host.broker.as_ref(), &host.queue) => {}
        }
    }

    /// Returns the call that was waiting for tasks, if there was one.
    async fn take_until_stopped(&self, attempts: &mut JoinSet<()>) -> Option<Taking> {
        let host = &self.host;
        let mut backoff = Backoff::new();
        loop {
            while let Some(ended) = attempts.try_join_next() {
                note_end(ended);
            }
            let max = tokio::select! {
                biased;
                () = host.stop.cancelled() => return None,
                max = self.free_slots() => max,
            };
            // Within a process nothing is lost that a second call would find.
            let wait = if host.broker.is_in_process() { Duration::MAX } else { TAKE_WAIT };
            let mut taking = host.broker.take_tasks(host.queue.clone(), max, wait);
            let taken = tokio::select! {
                biased;
                () = host.stop.cancelled() => return Some(taking),
                taken = &mut taking => taken,
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
                        () = host.stop.cancelled() => return None,
                        () = backoff.pause() => {}
                    }
                }
            }
        }
    }

    /// Waits until there is a free slot and tells how many there are. They are not held while waiting for tasks: other
    /// queues wait for theirs with the same slots.
    async fn free_slots(&self) -> usize {
        match self.slots.acquire().await {
            Ok(_free) => self.slots.available_permits() + 1,
            // Nobody closes the semaphore.
            Err(_) => std::future::pending().await,
        }
    }

    fn delivery(&self, task: Task) -> Delivery {
        self.host.observe(task.message.time);
        let lease = Lease::new(task.ack, self.host.broker.task_ack_wait());
        Delivery { message: task.message, delivered: task.delivered, lease }
    }

    /// Begins an attempt. It is on the heap by itself, as it would be copied several times on its way into a task.
    fn begin(&self, task: Task, attempts: &mut JoinSet<()>) {
        let (host, slots, delivery) = (self.host.clone(), self.slots.clone(), self.delivery(task));
        match slots.clone().try_acquire_owned() {
            Ok(slot) => attempts.spawn(Box::pin(async move { delivery.attend(&host, Slot::new(slot)).await })),
            Err(_) => attempts.spawn(Box::pin(async move {
                let slot = tokio::select! {
                    slot = timeout(SLOT_WAIT, slots.acquire_owned()) => slot.ok().and_then(Result::ok),
                    () = host.stop.cancelled() => None,
                    never = delivery.lease.keep() => match never {},
                };
                match slot {
                    Some(slot) => delivery.attend(&host, Slot::new(slot)).await,
                    None => delivery.pass_on(&host).await,
                }
            })),
        };
    }

    async fn finish(&self, mut attempts: JoinSet<()>, taking: Option<Taking>) {
        let ended = timeout(self.grace, self.wind_up(&mut attempts, taking)).await;
        if ended.is_ok() {
            // Tasks that were let go of before are no other worker's, once the server has heard of that.
            let _ = timeout(LAST_WORDS, self.host.broker.flush()).await;
            return;
        }
        let left = attempts.len();
        tracing::warn!(queue = %self.host.queue, left, "activities still run after the grace period; other workers get them");
        self.host.abandon.cancel();
        let _ = timeout(LAST_WORDS, self.wind_up(&mut attempts, None)).await;
        attempts.shutdown().await;
    }

    /// Waits for the attempts. The server may still answer the last call for tasks meanwhile; to drop the call would
    /// make each of these deliveries look like an attempt that died.
    async fn wind_up(&self, attempts: &mut JoinSet<()>, mut taking: Option<Taking>) {
        loop {
            tokio::select! {
                biased;
                taken = async { taking.as_mut().expect("guarded").await }, if taking.is_some() => {
                    taking = None;
                    for task in taken.unwrap_or_default() {
                        let (host, delivery) = (self.host.clone(), self.delivery(task));
                        attempts.spawn(async move { delivery.pass_on(&host).await });
                    }
                }
                ended = attempts.join_next() => match ended {
                    Some(ended) => note_end(ended),
                    None => return,
                },
            }
        }
    }
}

/// An attempt is not meant to panic: user code's panics are caught further inside.
fn note_end(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "an attempt ended in a way that it should not; its task is delivered again");
    }
}
