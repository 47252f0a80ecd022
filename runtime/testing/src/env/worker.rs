//! The worker of an environment, which can be stopped, crashed and started again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use highwater_broker::memory::MemoryBroker;
use highwater_protocol::WorkflowId;
use highwater_worker::{EvictHandle, RunError, StopHandle, Worker};
use tokio::task::JoinHandle;

use super::builder::Piece;
use crate::mock::Activities;

/// Makes workers, one at a time.
pub(super) struct Workers {
    broker: MemoryBroker,
    pieces: Vec<Piece>,
    activities: Activities,
    running: Mutex<Option<Running>>,
}

struct Running {
    task: JoinHandle<Result<(), RunError>>,
    stop: StopHandle,
    evict: EvictHandle,
}

impl Workers {
    pub(super) fn new(broker: MemoryBroker, pieces: Vec<Piece>, activities: Activities) -> Self {
        Self { broker, pieces, activities, running: Mutex::default() }
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a worker, if none runs.
    pub(super) fn start(&self) {
        let mut running = self.running();
        if running.is_some() {
            return;
        }
        let mut builder = Worker::builder(Arc::new(self.broker.clone()));
        for queue in &self.activities.queues {
            builder = builder.queue(queue);
        }
        for piece in &self.pieces {
            builder = piece(builder);
        }
        for set in self.activities.sets() {
            builder = builder.activities(set);
        }
        let worker = builder.build().unwrap_or_else(|error| panic!("the worker cannot be built: {error}"));
        let (stop, evict) = (worker.stop_handle(), worker.evict_handle());
        *running = Some(Running { task: tokio::spawn(worker.run()), stop, evict });
    }

    /// Stops the worker in good order.
    pub(super) async fn stop(&self) {
        let running = self.running().take();
        if let Some(Running { task, stop, .. }) = running {
            stop.stop();
            finished(task).await;
        }
    }

    /// Ends the worker in the middle of whatever it does.
    pub(super) async fn crash(&self) {
        let running = self.running().take();
        if let Some(Running { task, .. }) = running {
            task.abort();
            finished(task).await;
        }
    }

    pub(super) fn evict(&self, id: &WorkflowId) {
        if let Some(running) = &*self.running() {
            running.evict.evict(id);
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        if let Some(running) = self.running().take() {
            running.task.abort();
        }
    }
}

async fn finished(task: JoinHandle<Result<(), RunError>>) {
    match task.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => panic!("the worker could not run: {error}"),
        Err(error) if error.is_cancelled() => {}
        Err(error) => panic!("the worker ended in a way that it should not: {error}"),
    }
}
