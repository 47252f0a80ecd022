//! Where a run stands.

mod pending;
mod unhandled;

use std::fmt;

use highwater_broker::{BoxFuture, Bucket, Error, history::HistoryError};
use highwater_core::open::OpenOperations;
use highwater_protocol::{
    Event, Failure, Payloads, QueueName, RunId, Started, Status, Timestamp, TypeName, WorkflowId,
    event::{Attributes, Origin},
    record::status_of,
    wire,
    worker::Announcement,
};

use crate::{
    handle::{Target, WorkflowHandle},
    history::{HistoryEvent, RunHistory},
    pace::{PATIENCE, Retryable, persist},
    run::{self, PendingStart},
};

pub use highwater_protocol::query::{UnhandledSignal, UnhandledSignals};
pub use pending::{PendingActivity, PendingChild, PendingExternal, PendingTimer, PendingUpdate};

/// A run could not be described.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DescribeError {
    /// There is no such run.
    #[error("there is no workflow {id}; check the id, the run and the namespace")]
    NotFound {
        /// The workflow id.
        id: WorkflowId,
    },
    /// The history cannot be read.
    #[error("cannot describe workflow {id}: {source}")]
    History {
        /// The workflow id.
        id: WorkflowId,
        /// Why.
        source: HistoryError,
    },
    /// The broker failed.
    #[error("cannot describe workflow {id}: {source}")]
    Broker {
        /// The workflow id.
        id: WorkflowId,
        /// Why.
        source: Error,
    },
}

impl DescribeError {
    /// Whether the same call may do better later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::History { source, .. } => source.is_retryable(),
            Self::Broker { source, .. } => source.is_retryable(),
            Self::NotFound { .. } => false,
        }
    }
}

/// Where a run stands, or a start that no worker has taken yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The start is in the inbox. A worker that serves the queue will take it.
    Pending,
    /// It has a history.
    Begun(Status),
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pending => f.write_str("pending"),
            Self::Begun(status) => status.fmt(f),
        }
    }
}

/// Everything there is to say about a run without its payloads.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Description {
    /// The workflow id.
    pub id: WorkflowId,
    /// The run; absent for a plain-published start that no worker has taken yet.
    pub run: Option<RunId>,
    /// The workflow type.
    pub workflow_type: TypeName,
    /// The queue whose workers run it.
    pub queue: QueueName,
    /// Where it stands.
    pub progress: Progress,
    /// When it started, or its start was sent.
    pub started_at: Timestamp,
    /// When it ended.
    pub closed_at: Option<Timestamp>,
    /// How many events its history has.
    pub events: u64,
    /// How many bytes its history takes, without the frames of its records.
    pub history_bytes: u64,
    /// The run that it continues or tries again.
    pub continued_from: Option<RunId>,
    /// The run that took its place: it continued as that, or failed and is tried again.
    pub continued_as: Option<RunId>,
    /// The first run of the chain, when that is another one.
    pub first_run: Option<RunId>,
    /// Which attempt it is by its retry policy, from 1.
    pub attempt: u32,
    /// The run that started it as its child.
    pub parent: Option<Origin>,
    /// When its code may begin, while it may not.
    pub delay_until: Option<Timestamp>,
    /// When the whole chain must have ended.
    pub deadline: Option<Timestamp>,
    /// The notes that it was started with.
    pub memo: Payloads,
    /// What it can be found by.
    pub attributes: Attributes,
    /// The activities it waits for.
    pub pending_activities: Vec<PendingActivity>,
    /// The timers it waits for.
    pub pending_timers: Vec<PendingTimer>,
    /// The children that have not ended, those that it does not wait for included.
    pub pending_children: Vec<PendingChild>,
    /// What it sent to other workflows and has no answer to.
    pub pending_externals: Vec<PendingExternal>,
    /// The updates that it accepted and has not answered.
    pub pending_updates: Vec<PendingUpdate>,
    /// The signals that came in and that nothing takes. Only the code can say, so this is absent while the run is
    /// blocked, when no worker answers for it, and when another run has taken its id.
    pub unhandled_signals: Option<UnhandledSignals>,
    /// Why its code cannot go on.
    pub blocked: Option<Blocked>,
    /// How it failed.
    pub failure: Option<Failure>,
    /// The live workers that serve its queue.
    pub workers: Vec<LiveWorker>,
}

/// Why the code of a run cannot go on.
#[derive(Clone, Debug, PartialEq)]
pub struct Blocked {
    /// What is wrong.
    pub failure: Failure,
    /// How often it was tried in a row.
    pub attempt: u32,
    /// When it is tried again, at the latest.
    pub retry_at: Timestamp,
}

/// A worker that serves the run's queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveWorker {
    /// What it calls itself.
    pub name: String,
    /// Whether it knows the run's workflow type.
    pub knows_type: bool,
}

impl<W> WorkflowHandle<W> {
    /// Where the run stands.
    pub async fn describe(&self) -> Result<Description, DescribeError> {
        self.target().describe().await
    }
}

impl Target {
    fn describe(&self) -> BoxFuture<'_, Result<Description, DescribeError>> {
        Box::pin(self.look())
    }

    async fn look(&self) -> Result<Description, DescribeError> {
        let id = || self.id().clone();
        let failed = |source| DescribeError::Broker { id: self.id().clone(), source };
        let read = self.read_history().await.map_err(|source| DescribeError::History { id: id(), source })?;
        let signalled = read.as_ref().is_some_and(|history| unhandled::has_signals(&history.events));
        let mut description = if let Some(history) = read {
            Description::of(id(), history).map_err(|source| DescribeError::History { id: id(), source })?
        } else {
            let pending = persist(PATIENCE, || run::pending_start(self.client().broker(), self.key()));
            let pending = pending.await.map_err(failed)?;
            Description::of_pending(id(), pending.ok_or_else(|| DescribeError::NotFound { id: id() })?)
        };
        let broker = self.client().broker();
        let entries = persist(PATIENCE, || broker.kv_list(Bucket::Workers)).await.map_err(failed)?;
        description.workers = entries
            .iter()
            .filter_map(|(_, entry)| wire::decode::<Announcement>(&entry.value).ok())
            .filter_map(|announcement| serving(announcement, &description.queue, &description.workflow_type))
            .collect();
        description.workers.sort_by(|a, b| a.name.cmp(&b.name));
        description.unhandled_signals = match description.run {
            Some(run) if signalled => self.unhandled_signals(&description).await.filter(|told| told.run == run),
            Some(run) => Some(UnhandledSignals { run, signals: Vec::new(), more: 0 }),
            None => None,
        };
        Ok(description)
    }
}

fn serving(announcement: Announcement, queue: &QueueName, workflow_type: &TypeName) -> Option<LiveWorker> {
    let served = announcement.queues.iter().find(|served| served.queue == *queue)?;
    Some(LiveWorker { knows_type: served.types.contains(workflow_type), name: announcement.name })
}

impl Description {
    fn of(id: WorkflowId, history: RunHistory) -> Result<Self, HistoryError> {
        let RunHistory { run, events, bytes, status } = history;
        let Some(HistoryEvent { event: Event::Started(started), time: started_at, .. }) = events.first() else {
            let first = events.first().map_or(0, |first| first.record);
            return Err(run::damaged(run, first, "is the first of its run and has no Started event"));
        };
        let last = events.last().map_or(0, |last| last.record);
        let of_last: Vec<Event> =
            events.iter().filter(|event| event.record == last).map(|event| event.event.clone()).collect();
        let status = status.unwrap_or_else(|| status_of(&of_last));
        let (blocked, failure, continued_as) = ending(of_last.last());
        let blocked = blocked.filter(|_| status == Status::Blocked);
        let mut open = OpenOperations::default();
        for HistoryEvent { event, time, .. } in &events {
            open.apply(event, *time);
        }
        let new = Self::new(id, started.workflow_type.clone(), started.queue.clone(), *started_at);
        let mut description = Self {
            run: Some(run),
            progress: Progress::Begun(status),
            closed_at: events.last().filter(|_| status.is_closed()).map(|last| last.time),
            events: events.len() as u64,
            history_bytes: bytes,
            continued_as,
            attributes: std::mem::take(&mut open.attributes),
            blocked,
            failure,
            ..new.with_beginning(started)
        };
        if !status.is_closed() {
            description.add_pending(open);
        }
        Ok(description)
    }

    fn of_pending(id: WorkflowId, pending: PendingStart) -> Self {
        let PendingStart { queue, workflow_type, run, sent_at } = pending;
        Self { run, ..Self::new(id, workflow_type, queue, sent_at) }
    }

    fn with_beginning(self, started: &Started) -> Self {
        Self {
            continued_from: started.continued_from,
            first_run: started.first_run,
            attempt: started.attempt,
            parent: started.parent.clone(),
            deadline: started.deadline,
            memo: started.memo.clone(),
            ..self
        }
    }

    /// A start of which nothing more is known.
    fn new(id: WorkflowId, workflow_type: TypeName, queue: QueueName, started_at: Timestamp) -> Self {
        Self {
            id,
            run: None,
            workflow_type,
            queue,
            progress: Progress::Pending,
            started_at,
            closed_at: None,
            events: 0,
            history_bytes: 0,
            continued_from: None,
            continued_as: None,
            first_run: None,
            attempt: 1,
            parent: None,
            delay_until: None,
            deadline: None,
            memo: Payloads::default(),
            attributes: Attributes::default(),
            pending_activities: Vec::new(),
            pending_timers: Vec::new(),
            pending_children: Vec::new(),
            pending_externals: Vec::new(),
            pending_updates: Vec::new(),
            unhandled_signals: None,
            blocked: None,
            failure: None,
            workers: Vec::new(),
        }
    }
}

/// What the last event of a run says of its state.
fn ending(last: Option<&Event>) -> (Option<Blocked>, Option<Failure>, Option<RunId>) {
    match last {
        Some(Event::WorkflowTaskFailed { failure, attempt, retry_at }) => {
            (Some(Blocked { failure: failure.clone(), attempt: *attempt, retry_at: *retry_at }), None, None)
        }
        Some(Event::Cancelled { failure }) => (None, Some(failure.clone()), None),
        Some(Event::Failed { failure, next } | Event::TimedOut { failure, next }) => {
            (None, Some(failure.clone()), *next)
        }
        Some(Event::Terminated { reason }) => (None, Some(run::terminated(reason)), None),
        Some(Event::ContinuedAsNew { run }) => (None, None, Some(*run)),
        _ => (None, None, None),
    }
}
