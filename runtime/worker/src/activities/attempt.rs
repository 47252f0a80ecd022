//! What becomes of one task.

use std::{sync::Arc, time::Duration};

use highwater_broker::{BoxFuture, Message, Stream};
use highwater_protocol::{
    Failure, FailureKind, TimeoutKind,
    event::{ActivityCancellation, Outcome},
    task::{ActivityState, ActivityTask, StartDecision},
    wire,
};
use tracing::Instrument;

use super::{
    heartbeat::Port,
    host::{Host, Slot},
    lease::{GivenUp, Lease},
    report::{reject, report},
    retry::{self, Retry},
    settled::is_settled,
    state::StateEntry,
    trace::attempt_span,
    work::{Attempt, Ended},
};
use crate::trace::Traced;

/// The part of the largest payload that heartbeat details may take, so that they fit beside a failure.
const HEARTBEAT_PART: usize = 2;

/// A task that this worker has no use for comes back to the queue after this time, and a random part of the spread
/// more.
const PASS_ON_MIN: Duration = Duration::from_secs(1);
const PASS_ON_SPREAD: Duration = Duration::from_secs(4);

/// A task that was delivered.
pub(super) struct Delivery {
    pub(super) message: Message,
    pub(super) delivered: u32,
    pub(super) lease: Lease,
}

/// What to do with a task before any code runs.
enum Verdict {
    /// Run it.
    Run(ActivityState),
    /// Its outcome is known.
    Report(Outcome),
    /// It is settled elsewhere.
    Drop,
    /// Another worker should have it.
    PassOn(ActivityState),
}

/// A task as it was read.
struct Case<'a> {
    host: &'a Host,
    lease: &'a Lease,
    task: ActivityTask,
    seq: u64,
    delivered: u32,
}

impl Delivery {
    /// Does with the task what is to be done, beside telling the server that it goes on.
    pub(super) async fn attend(self, host: &Host, slot: Slot) {
        tokio::select! {
            biased;
            () = self.handle(host, slot) => {}
            never = self.lease.keep() => match never {},
        }
    }

    async fn handle(&self, host: &Host, slot: Slot) {
        match wire::decode(&self.message.payload) {
            Ok(task) => self.case(host, task).handle(slot).await,
            Err(error) => reject(host, &self.lease, &self.message, &error).await,
        }
    }

    /// No slot gets free for the task, so that another worker should have it.
    pub(super) async fn pass_on(self, host: &Host) {
        let Ok(task) = wire::decode(&self.message.payload) else { return self.lease.retry_after(PASS_ON_MIN).await };
        let case = self.case(host, task);
        let entry = StateEntry::new(host.broker.clone(), &case.task);
        let pass_on = async {
            match case.known(&entry).await {
                Ok(Some((attempt, state))) => case.pass_on(&entry.at_attempt(attempt), &state).await,
                Ok(None) => case.lease.done().await,
                Err(given_up) => forgo(&given_up),
            }
        };
        tokio::select! {
            () = pass_on => {}
            never = self.lease.keep() => match never {},
        }
    }

    fn case<'a>(&'a self, host: &'a Host, task: ActivityTask) -> Case<'a> {
        Case { host, lease: &self.lease, task, seq: self.message.seq, delivered: self.delivered }
    }
}

impl Case<'_> {
    async fn handle(self, slot: Slot) {
        let entry = StateEntry::new(self.host.broker.clone(), &self.task);
        let (attempt, state) = match self.known(&entry).await {
            Ok(Some(known)) => known,
            Ok(None) => return self.lease.done().await,
            Err(given_up) => return forgo(&given_up),
        };
        let entry = entry.at_attempt(attempt);
        let span = attempt_span(&self.task, attempt);
        async {
            match self.verdict(attempt, state, &entry).await {
                Ok(Verdict::Run(state)) => self.run(attempt, state, &entry, slot).await,
                Ok(Verdict::Report(outcome)) => self.close(attempt, outcome, &entry, false).await,
                Ok(Verdict::Drop) => self.lease.done().await,
                Ok(Verdict::PassOn(state)) => Box::pin(self.pass_on(&entry, &state)).await,
                Err(given_up) => forgo(&given_up),
            }
        }
        .instrument(span)
        .await;
    }

    /// The attempt's number and what is known from earlier ones; `None` when a later attempt's message exists already,
    /// or the outcome.
    async fn known(&self, entry: &StateEntry) -> Result<Option<(u32, ActivityState)>, GivenUp> {
        let task = &self.task;
        if self.delivered <= 1 && task.attempt <= 1 {
            return Ok(Some((task.attempt.max(1), ActivityState::default())));
        }
        if self.delivered > 1 {
            // The worker before may have scheduled the next attempt and ended before it could say that this one is
            // done.
            let any = self.host.broker.subjects().task_any(&task.call.queue, task.run, task.call.op);
            let last = self.lease.insist(|| self.host.broker.last_from_leader(Stream::Tasks, any.clone())).await?;
            if last.is_some_and(|last| last.seq > self.seq) {
                return Ok(None);
            }
            let is_settled = || -> BoxFuture<'static, _> {
                let (broker, task) = (self.host.broker.clone(), task.clone());
                Box::pin(async move { is_settled(&*broker, &task).await })
            };
            if self.lease.insist(is_settled).await? {
                tracing::info!(run = %task.run, op = %task.call.op, "the task of an activity that has its outcome came again; it ends");
                return Ok(None);
            }
        }
        let state = self.lease.insist(|| entry.read()).await?;
        let tried = (self.delivered - 1).saturating_sub(state.passed_on);
        Ok(Some((task.attempt.saturating_add(tried).max(1), state)))
    }

    async fn verdict(&self, attempt: u32, state: ActivityState, entry: &StateEntry) -> Result<Verdict, GivenUp> {
        let (task, options) = (&self.task, &self.task.call.options);
        let name = &task.call.name;
        if state.start == Some(StartDecision::TimedOut) {
            return Ok(Verdict::Drop);
        }
        if state.cancel_requested {
            return Ok(Verdict::Report(cancelled(state.last_failure)));
        }
        let attempts_max = options.retry.maximum_attempts;
        if attempts_max != 0 && attempt > attempts_max {
            let failure = state.last_failure.unwrap_or_else(|| {
                Failure::application(format!(
                    "the worker that ran attempt {} of {name} ended without a word",
                    attempt - 1
                ))
            });
            return Ok(Verdict::Report(Outcome::Failed(failure)));
        }
        if let Some(limit) = options.schedule_to_close
            && self.left(limit).is_zero()
        {
            let text = format!(
                "activity {name} did not end within {limit:?} of being scheduled; attempt {attempt} came too late"
            );
            let failure = Failure::timeout(TimeoutKind::ScheduleToClose, text);
            return Ok(Verdict::Report(Outcome::Failed(Failure {
                cause: state.last_failure.map(Box::new),
                ..failure
            })));
        }
        if self.host.catalog.find(name.as_str()).is_none() {
            let known = self.host.catalog.names().join(", ");
            tracing::error!(
                "this worker does not know activity {name:?}, it knows: {known}; the task goes back to queue {} for \
                 another worker",
                self.host.queue
            );
            return Ok(Verdict::PassOn(state));
        }
        // The owner may decide that nobody starts it: when the time for that is over, or when the run no longer wants
        // it.
        let decided = options.schedule_to_start.is_some() || options.cancellation == ActivityCancellation::Wait;
        if decided && state.start.is_none() && !self.starts_in_time(entry).await? {
            return Ok(Verdict::Drop);
        }
        Ok(Verdict::Run(state))
    }

    /// Settles with the owner who was first, the start or whatever ends the activity without one.
    async fn starts_in_time(&self, entry: &StateEntry) -> Result<bool, GivenUp> {
        let claim = |state: &mut ActivityState| {
            state.start.get_or_insert(StartDecision::Started);
        };
        let state = self.lease.insist(|| entry.update(claim)).await?;
        Ok(state.start == Some(StartDecision::Started))
    }

    /// What is left of a schedule-to-close timeout.
    fn left(&self, limit: Duration) -> Duration {
        self.task.scheduled_at.after(limit).since(self.host.now())
    }

    async fn run(&self, attempt: u32, state: ActivityState, entry: &StateEntry, slot: Slot) {
        let (host, task) = (self.host, &self.task);
        let Some(set) = host.catalog.find(task.call.name.as_str()) else { return };
        if !self.lease.is_held() {
            return forgo(&GivenUp::Lost);
        }
        let registered = host.cancellations.register(task);
        let details_max = host.limits.payload_max / HEARTBEAT_PART;
        let port = Arc::new(Port::new(registered.token.clone(), details_max));
        let left = task.call.options.schedule_to_close.map(|limit| self.left(limit));
        tracing::debug!("the attempt starts");
        let running =
            Attempt { host, set, task, number: attempt, state, entry, port: port.clone(), left, slot: slot.clone() };
        let traced = Traced::attempt(task, attempt);
        let outcome = match traced.around(Box::pin(running.run())).await {
            Ended::Outcome(outcome) => outcome,
            Ended::Abandoned => {
                traced.abandon();
                return Box::pin(self.abandon(entry, &port)).await;
            }
        };
        traced.finish(&outcome);
        let asked = registered.token.is_cancelled();
        let outcome = match outcome {
            Outcome::Failed(failure) if asked => cancelled(Some(failure)),
            Outcome::Failed(failure) => match retry::delay(task, attempt, &failure, host.now(), rand::random()) {
                Some(delay) => {
                    let retry = Retry { host, lease: self.lease, task, attempt, entry, port: &port };
                    return Box::pin(retry.after(delay, failure)).await;
                }
                None => Outcome::Failed(failure),
            },
            other => other,
        };
        self.close(attempt, outcome, entry, asked).await;
    }

    /// Reports the outcome and clears what is kept for further attempts. `noted` tells that the owner wrote the entry
    /// since it was read.
    async fn close(&self, attempt: u32, outcome: Outcome, entry: &StateEntry, noted: bool) {
        report(self.host, &self.task, attempt, outcome).await;
        if !self.host.stop.is_cancelled() && !entry.may_exist(noted).await {
            return self.lease.let_go().await;
        }
        self.lease.done().await;
        // Another worker that may have the task by now still needs it.
        if self.lease.is_held() {
            entry.clear(noted).await;
        }
    }

    /// Gives the task back for another worker, without using up an attempt: the entry counts such deliveries.
    async fn pass_on(&self, entry: &StateEntry, state: &ActivityState) {
        // Not an increment, as the change may be made twice when the first answer is lost.
        let count = state.passed_on + 1;
        let count = move |state: &mut ActivityState| state.passed_on = count;
        match self.lease.insist(|| entry.update(count)).await {
            Ok(_) => {}
            Err(GivenUp::Lost) => return,
            Err(GivenUp::Refused(error)) => tracing::warn!(%error, "a task that is passed on uses up an attempt"),
        }
        // A worker that stops will not get it again; one that goes on would, were it to come back at once.
        let stopping = self.host.stop.is_cancelled();
        let delay = if stopping { Duration::ZERO } else { PASS_ON_MIN + PASS_ON_SPREAD.mul_f64(rand::random()) };
        self.lease.retry_after(delay).await;
    }

    /// Leaves the task to the worker that gets it after the ack wait, with the heartbeat details.
    async fn abandon(&self, entry: &StateEntry, port: &Port) {
        tracing::info!("the worker stops; the attempt is left to another worker");
        if let Some((_, details)) = port.unwritten()
            && let Err(error) = entry.update(move |state| state.heartbeat = Some(details.clone())).await
        {
            tracing::debug!(%error, "cannot write heartbeat details");
        }
    }
}

fn cancelled(cause: Option<Failure>) -> Outcome {
    let failure = Failure::new(FailureKind::Cancelled, "the activity was cancelled");
    Outcome::Cancelled(Failure { cause: cause.map(Box::new), ..failure })
}

/// The task is left to a later delivery.
fn forgo(given_up: &GivenUp) {
    match given_up {
        GivenUp::Lost => tracing::warn!("a task was lost before it could be started; the server delivers it again"),
        GivenUp::Refused(error) => tracing::error!(%error, "a task cannot be started; the server delivers it again"),
    }
}
