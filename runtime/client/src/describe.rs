//! Where a run stands.

use std::fmt;

use highwater_broker::{Bucket, Error, history::HistoryError};
use highwater_core::open::{OpenActivity, OpenOperations};
use highwater_protocol::{
    Event, Failure, OpId, QueueName, RunId, Status, Timestamp, TypeName, WorkflowId, record::status_of, wire,
    worker::Announcement,
};

use crate::{
    handle::WorkflowHandle,
    history::{HistoryEvent, RunHistory},
    pace::{PATIENCE, Retryable, persist},
    run::{self, PendingStart},
};

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
    /// The run that it continues.
    pub continued_from: Option<RunId>,
    /// The run that it continued as.
    pub continued_as: Option<RunId>,
    /// The activities it waits for.
    pub pending_activities: Vec<PendingActivity>,
    /// The timers it waits for.
    pub pending_timers: Vec<PendingTimer>,
    /// Why its code cannot go on.
    pub blocked: Option<Blocked>,
    /// How it failed.
    pub failure: Option<Failure>,
    /// The live workers that serve its queue.
    pub workers: Vec<LiveWorker>,
}

/// An activity that was called and has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PendingActivity {
    /// Which operation of the run.
    pub op: OpId,
    /// The activity's type.
    pub name: TypeName,
    /// The queue whose workers run it.
    pub queue: QueueName,
    /// When it was called.
    pub scheduled_at: Timestamp,
}

impl PendingActivity {
    fn of(open: OpenActivity) -> Self {
        let OpenActivity { call, scheduled_at, cancelling: _ } = open;
        Self { op: call.op, name: call.name, queue: call.queue, scheduled_at }
    }
}

/// A timer that was started and has not fired.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PendingTimer {
    /// Which operation of the run.
    pub op: OpId,
    /// When it is due.
    pub fire_at: Timestamp,
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
        let id = || self.id().clone();
        let failed = |source| DescribeError::Broker { id: self.id().clone(), source };
        let read = self.read_history().await.map_err(|source| DescribeError::History { id: id(), source })?;
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
        for HistoryEvent { event, time, .. } in events.iter().filter(|_| !status.is_closed()) {
            open.apply(event, *time);
        }
        Ok(Self {
            id,
            run: Some(run),
            workflow_type: started.workflow_type.clone(),
            queue: started.queue.clone(),
            progress: Progress::Begun(status),
            started_at: *started_at,
            closed_at: events.last().filter(|_| status.is_closed()).map(|last| last.time),
            events: events.len() as u64,
            history_bytes: bytes,
            continued_from: started.continued_from,
            continued_as,
            pending_activities: open.activities.into_values().map(PendingActivity::of).collect(),
            pending_timers: open.timers.into_iter().map(|(op, fire_at)| PendingTimer { op, fire_at }).collect(),
            blocked,
            failure,
            workers: Vec::new(),
        })
    }

    fn of_pending(id: WorkflowId, pending: PendingStart) -> Self {
        Self {
            id,
            run: pending.run,
            workflow_type: pending.workflow_type,
            queue: pending.queue,
            progress: Progress::Pending,
            started_at: pending.sent_at,
            closed_at: None,
            events: 0,
            history_bytes: 0,
            continued_from: None,
            continued_as: None,
            pending_activities: Vec::new(),
            pending_timers: Vec::new(),
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
