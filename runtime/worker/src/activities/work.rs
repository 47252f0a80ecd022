//! Running the user's code: under its timeouts, and so that a panic is a failure.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use futures_util::future::{AbortHandle, abortable};
use highwater_core::{
    activity::{ActivityContext, ActivityInfo, ActivitySet, Work},
    panic,
};
use highwater_protocol::{
    Failure, FailureKind, TimeoutKind, TypeName,
    event::Outcome,
    task::{ActivityState, ActivityTask},
};
use tokio::{
    sync::oneshot,
    task::{JoinError, JoinHandle},
    time::{Instant, sleep_until},
};
use tracing::{Instrument, Span};

use super::{
    around, cancel,
    heartbeat::Port,
    host::{Host, Slot},
    state::StateEntry,
};
use crate::{trace, user::UserRuntime};

/// How running the code ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// With an outcome.
    Outcome(Outcome),
    /// The worker stops and leaves the rest to others.
    Abandoned,
}

/// What is run.
pub(super) struct Attempt<'a> {
    pub(super) host: &'a Host,
    pub(super) set: Arc<dyn ActivitySet>,
    pub(super) task: &'a ActivityTask,
    pub(super) number: u32,
    pub(super) state: ActivityState,
    pub(super) entry: &'a StateEntry,
    pub(super) port: Arc<Port>,
    /// What is left of schedule-to-close.
    pub(super) left: Option<Duration>,
    pub(super) slot: Slot,
}

impl Attempt<'_> {
    /// Runs the code to its end or to a timeout.
    pub(super) async fn run(self) -> Ended {
        let started = Instant::now();
        let context = ActivityContext::new(self.info(), self.port.clone());
        let (set, input) = (self.set.clone(), &self.task.call.input);
        let work = match panic::catch(|| around::work(&self.host.catalog, set, context, input, &self.slot)) {
            Ok(work) => work,
            Err(text) => return Ended::Outcome(panicked(text)),
        };
        let mut running = Running::start(&self.host.user, &self.task.call.name, work, self.slot.clone());
        let options = &self.task.call.options;
        let (port, entry) = (&self.port, self.entry);
        tokio::select! {
            biased;
            ended = running.end() => ended,
            () = at(started, options.start_to_close) => self.timed_out(TimeoutKind::StartToClose, options.start_to_close),
            () = at(started, self.left) => self.timed_out(TimeoutKind::ScheduleToClose, options.schedule_to_close),
            () = silence(port, options.heartbeat) => self.timed_out(TimeoutKind::Heartbeat, options.heartbeat),
            () = self.host.abandon.cancelled() => Ended::Abandoned,
            never = port.write_beats(entry, options.heartbeat) => match never {},
            never = cancel::look(port, entry, options.heartbeat) => match never {},
        }
    }

    fn info(&self) -> ActivityInfo {
        let task = self.task;
        ActivityInfo {
            name: task.call.name.clone(),
            workflow_id: task.workflow_id.clone(),
            workflow_type: task.workflow_type.clone(),
            run: task.run,
            op: task.call.op,
            attempt: self.number,
            scheduled_at: task.scheduled_at,
            idempotency_key: task.idempotency_key(),
            heartbeat_timeout: task.call.options.heartbeat,
            last_heartbeat: self.state.heartbeat.clone(),
            last_failure: self.state.last_failure.clone(),
            trace: task.trace.clone(),
            headers: task.headers.clone(),
        }
    }

    fn timed_out(&self, kind: TimeoutKind, limit: Option<Duration>) -> Ended {
        let (name, attempt, limit) = (&self.task.call.name, self.number, limit.unwrap_or_default());
        let text = match kind {
            TimeoutKind::Heartbeat => format!("attempt {attempt} of activity {name} sent no heartbeat for {limit:?}"),
            TimeoutKind::ScheduleToClose => {
                format!(
                    "activity {name} did not end within {limit:?} of being scheduled; attempt {attempt} was running"
                )
            }
            _ => format!("attempt {attempt} of activity {name} did not end within {limit:?}"),
        };
        Ended::Outcome(Outcome::Failed(Failure::timeout(kind, text)))
    }
}

/// The user's code at work. Dropping it aborts code that awaits; code that blocks goes on, unheard, with its slot.
enum Running {
    Async { outcome: oneshot::Receiver<Outcome>, abort: AbortHandle },
    Blocking(JoinHandle<Outcome>),
}

impl Running {
    fn start(user: &UserRuntime, name: &TypeName, work: Work, slot: Slot) -> Self {
        match work {
            Work::Async(future) => {
                let span = Span::current();
                let (work, abort) = abortable(trace::carry(caught(future).instrument(span)));
                let (told, outcome) = oneshot::channel();
                user.spawn(name, async move {
                    let _slot = slot;
                    if let Ok(outcome) = work.await {
                        let _ = told.send(outcome);
                    }
                });
                Self::Async { outcome, abort }
            }
            Work::Blocking(code) => Self::Blocking(user.spawn_blocking(with_slot(code, slot))),
        }
    }

    /// Without an outcome the user's runtime has ended, and this worker is about to.
    async fn end(&mut self) -> Ended {
        let outcome = match self {
            Self::Async { outcome, .. } => outcome.await.ok(),
            Self::Blocking(handle) => match handle.await {
                Err(error) if error.is_cancelled() => None,
                ended => Some(joined(ended)),
            },
        };
        outcome.map_or(Ended::Abandoned, Ended::Outcome)
    }
}

/// Runs code that blocks on a thread of its own.
pub(super) async fn blocking(code: BlockingCode, slot: Slot) -> Outcome {
    joined(tokio::task::spawn_blocking(with_slot(code, slot)).await)
}

type BlockingCode = Box<dyn FnOnce() -> Outcome + Send>;

fn with_slot(code: BlockingCode, slot: Slot) -> impl FnOnce() -> Outcome + Send {
    let span = Span::current();
    trace::carry_call(move || {
        let _slot = slot;
        span.in_scope(|| panic::catch(code).unwrap_or_else(panicked))
    })
}

fn joined(result: Result<Outcome, JoinError>) -> Outcome {
    result.unwrap_or_else(|error| panicked(format!("the activity's task ended: {error}")))
}

impl Drop for Running {
    fn drop(&mut self) {
        match self {
            Self::Async { abort, .. } => abort.abort(),
            Self::Blocking(handle) => handle.abort(),
        }
    }
}

/// Polls user code so that a panic is an outcome.
pub(crate) async fn caught(future: impl Future<Output = Outcome>) -> Outcome {
    #[expect(
        clippy::redundant_async_block,
        reason = "drops the code in the poll that ends it, so that a panic of its destructors is caught, too"
    )]
    let mut future = pin!(async move { future.await });
    poll_fn(|context| match panic::catch(|| future.as_mut().poll(context)) {
        Ok(poll) => poll,
        Err(text) => std::task::Poll::Ready(panicked(text)),
    })
    .await
}

fn panicked(text: String) -> Outcome {
    Outcome::Failed(Failure::new(FailureKind::Panic, text))
}

async fn at(started: Instant, limit: Option<Duration>) {
    // A limit beyond what a clock can tell is none.
    match limit.and_then(|limit| started.checked_add(limit)) {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

async fn silence(port: &Port, timeout: Option<Duration>) {
    match timeout {
        Some(timeout) => port.silence(timeout).await,
        None => std::future::pending().await,
    }
}
