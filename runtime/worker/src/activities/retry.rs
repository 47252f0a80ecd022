//! What follows a failed attempt.

use std::time::Duration;

use highwater_broker::{ErrorKind, Publish, Schedule};
use highwater_protocol::{
    Failure, Timestamp,
    task::{ActivityState, ActivityTask},
    wire,
};

use super::{
    heartbeat::Port,
    host::Host,
    lease::{GivenUp, Lease, Lost},
    report::bounded,
    state::StateEntry,
};

/// Up to this delay a retry is a nak; beyond it a scheduled message, so that waiting retries neither fill the
/// consumer's pending window nor are lost count of.
const NAK_DELAY_MAX: Duration = Duration::from_secs(5);

/// The part of the largest payload that an error value kept for the next attempt may take.
const FAILURE_PART: usize = 4;

/// The delay before the next attempt, or `None` when this failure is the last word.
pub(super) fn delay(
    task: &ActivityTask,
    attempt: u32,
    failure: &Failure,
    now: Timestamp,
    random: f64,
) -> Option<Duration> {
    let options = &task.call.options;
    if !failure.is_retryable() {
        return None;
    }
    let delay = options.retry.delay_after(attempt, random)?;
    let in_time = options.schedule_to_close.is_none_or(|limit| now.after(delay) < task.scheduled_at.after(limit));
    in_time.then_some(delay)
}

/// An attempt that is followed by another.
pub(super) struct Retry<'a> {
    pub(super) host: &'a Host,
    pub(super) lease: &'a Lease,
    pub(super) task: &'a ActivityTask,
    pub(super) attempt: u32,
    pub(super) entry: &'a StateEntry,
    pub(super) port: &'a Port,
}

impl Retry<'_> {
    /// Makes the next attempt come after a delay. Leaves the task alone when it may be another process's.
    pub(super) async fn after(self, delay: Duration, failure: Failure) {
        let Self { host, lease, task, attempt, .. } = self;
        tracing::info!(%failure, ?delay, "the attempt failed and is followed by another");
        let later = delay > NAK_DELAY_MAX;
        if self.note(failure, later).await.is_err() {
            return;
        }
        if !later {
            return lease.retry_after(delay).await;
        }
        let next = scheduled(host, task, attempt + 1, delay);
        match lease.insist(|| host.broker.publish(next.clone())).await {
            Ok(_) => lease.done().await,
            // It is there already: an earlier delivery of this attempt came so far.
            Err(GivenUp::Refused(error)) if error.kind == ErrorKind::Conflict => lease.done().await,
            Err(GivenUp::Refused(error)) => {
                tracing::warn!(%error, "a retry cannot be scheduled; it waits as a delivery");
                lease.retry_after(delay).await;
            }
            Err(GivenUp::Lost) => {}
        }
    }

    /// Writes down how the attempt failed and what its heartbeats carried last. Only a lost task keeps it from going
    /// on.
    async fn note(&self, failure: Failure, new_message: bool) -> Result<(), Lost> {
        let failure = bounded(failure, self.host.limits.payload_max / FAILURE_PART);
        let details = self.port.unwritten().map(|(_, details)| details);
        let change = move |state: &mut ActivityState| {
            state.last_failure = Some(failure.clone());
            if let Some(details) = &details {
                state.heartbeat = Some(details.clone());
            }
            if new_message {
                state.passed_on = 0;
            }
        };
        match self.lease.insist(|| self.entry.update(change.clone())).await {
            Ok(_) => Ok(()),
            // A later attempt has begun, so this one has lost its task.
            Err(GivenUp::Refused(error)) if error.kind == ErrorKind::Conflict => Err(Lost),
            Err(GivenUp::Refused(error)) => {
                tracing::warn!(%error, "cannot write down how the attempt failed");
                Ok(())
            }
            Err(GivenUp::Lost) => Err(Lost),
        }
    }
}

fn scheduled(host: &Host, task: &ActivityTask, attempt: u32, delay: Duration) -> Publish {
    let subjects = host.broker.subjects();
    let (queue, run, op) = (&task.call.queue, task.run, task.call.op);
    let next = ActivityTask { attempt, ..task.clone() };
    Publish {
        subject: subjects.task_later(queue, run, op, attempt),
        payload: wire::encode(&next),
        expect_last: Some(0),
        schedule: Some(Schedule { at: host.now().after(delay), target: subjects.task(queue, run, op, attempt) }),
        ..Publish::default()
    }
}
