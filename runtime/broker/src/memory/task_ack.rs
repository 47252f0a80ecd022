//! What is told about a task.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::shared::{Shared, Topic};
use crate::{
    broker::{BoxFuture, Stream, TaskAck},
    error::Error,
};

/// A delivered task, in its taker's hands.
pub(super) struct Held {
    pub(super) shared: Arc<Shared>,
    pub(super) queue: String,
    pub(super) seq: u64,
    pub(super) delivery: u32,
}

impl Held {
    fn put_off(&self, wait: Duration) -> Result<(), Error> {
        let mut state = self.shared.lock();
        state.faults.check()?;
        state.tasks.put_off(&self.queue, self.seq, Instant::now(), wait);
        drop(state);
        self.shared.wake(Topic::Stream(Stream::Tasks));
        Ok(())
    }
}

impl TaskAck for Held {
    /// As with NATS, the word of whoever had the task counts, even when another has it by now.
    fn done(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async {
            let mut state = self.shared.lock();
            state.faults.check()?;
            state.remove(Stream::Tasks, self.seq);
            Ok(())
        })
    }

    fn progress(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async {
            // Nothing to tell where the task is this taker's for as long as it lives.
            if self.shared.options.in_process { Ok(()) } else { self.put_off(self.shared.options.task_ack_wait) }
        })
    }

    fn retry_after(&self, delay: Duration) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move { self.put_off(delay) })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.shared.options.in_process {
            let mut state = self.shared.lock();
            if state.tasks.is_held(&self.queue, self.seq, self.delivery) {
                let wait = self.shared.options.task_ack_wait;
                state.tasks.put_off(&self.queue, self.seq, Instant::now(), wait);
                drop(state);
                self.shared.wake(Topic::Stream(Stream::Tasks));
            }
        }
    }
}
