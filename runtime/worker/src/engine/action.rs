//! What the engine wants done.

use std::{collections::BTreeMap, sync::Arc};

use highwater_broker::{
    Message,
    history::{HistoryError, NewRecord, StoredRecord},
};
use highwater_core::{
    open::{OpenChild, OpenOperations},
    run::StepRun,
};
use highwater_protocol::{
    Event, Failure, Key, OpId, Payload, QueueName, RunId, Started, Timestamp, event::ExternalScheduled,
    query::QueryRejected, rejection::Rejection, reply::Reply, task::ActivityTask, timer::TimerId,
};

use super::{
    early::Early,
    outgoing::Outgoing,
    unit::{Source, UnitId},
};
use crate::executor::Job;

/// Something to be done. Those with a key and a generation are answered with an input that carries the same.
#[derive(Debug)]
pub(crate) enum Action {
    /// Read a history: its end from the leader, and all of its last run when that goes on or `all` is wanted; with
    /// `left` also what the run that it continues left behind.
    Load { key: Key, generation: u64, all: bool, left: bool },
    /// Give a job to a workflow thread.
    Job(Job),
    /// Drop the run from its thread.
    Evict { key: Key },
    /// Call [`Engine::rebuild`](super::Engine::rebuild) for the runs of this thread.
    RunsOfThread { thread: usize },
    /// Append a record. The early answer may go out with it.
    Append { key: Key, generation: u64, record: NewRecord, expect: u64, early: Option<Box<Early>> },
    /// Send what a record asks for.
    Send { key: Key, generation: u64, send: Send },
    /// Store a request that cannot be accepted, tell its sender, and report it as handled.
    Reject { unit: UnitId, message: Message, verb: String, rejection: Rejection },
    /// Put a request where its run's queue is read, and report it as handled.
    Forward { unit: UnitId, message: Message, queue: QueueName },
    /// Answer a sender.
    Reply { subject: String, reply: Reply },
    /// Tell whoever listens that a run closed, or that an update has an outcome.
    Announce { key: Key, reply: Reply },
    /// Run a local step. `started` is the first event of its run, where it is known.
    Step { key: Key, run: RunId, step: StepRun, started: Option<Arc<Started>> },
    /// Tell when a timer is due by this process's clock.
    LocalTimer { key: Key, run: RunId, timer: TimerId, at: Timestamp, now: Timestamp },
    /// Answer a query.
    Answer { reply: String, answer: Result<Payload, QueryRejected> },
}

/// What a record asks for.
#[derive(Debug)]
pub(crate) enum Send {
    /// An activity's task. With `verify` it may have been sent before, and is sent only if it is not there and no
    /// outcome waits in the inbox behind `seen`, which is how far the run has consumed that.
    Task { task: Box<ActivityTask>, seen: u64, verify: bool },
    /// A durable timer.
    Timer { unit: UnitId, run: RunId, timer: TimerId, at: Timestamp },
    /// A durable timer is not needed any more.
    DeleteTimer { run: RunId, timer: TimerId },
    /// An activity is not wanted any more. When the code waits for its end, a task that nobody works on is refused.
    CancelActivity { run: RunId, op: OpId, queue: QueueName, wait: bool },
    /// A message to another workflow.
    Message { run: RunId, to: Key, message: Outgoing },
    /// The schedule-to-start timeout of an activity passed: find out whether a worker has it.
    DecideStart { run: RunId, op: OpId, queue: QueueName, failure: Failure },
}

/// How sending went.
#[derive(Debug)]
pub(crate) enum Sent {
    /// It is there.
    Done,
    /// Whoever has an activity knows that it is not wanted, and nobody takes it later.
    Cancelled,
    /// A message is in the other one's inbox; otherwise what the run is to be told.
    Posted { run: RunId, to: Key, undelivered: Option<Event> },
    /// An outcome that may be this activity's waits in the inbox at this sequence.
    Waits { run: RunId, op: OpId, seq: u64 },
    /// The activity will have no outcome of its own.
    Refused { run: RunId, op: OpId, failure: Failure },
}

/// What a run that another one took the place of left behind.
#[derive(Clone, Debug)]
pub(crate) struct Left {
    pub(crate) run: RunId,
    pub(crate) started: Arc<Started>,
    pub(crate) children: BTreeMap<OpId, OpenChild>,
    /// Its messages that nobody had answered when it ended, in the order in which they were made.
    pub(crate) externals: Vec<ExternalScheduled>,
    /// Its last event.
    pub(crate) closing: Option<Event>,
}

impl Left {
    /// Tells it from the run's events and when each of its records was made.
    pub(crate) fn of<'a>(run: RunId, records: impl IntoIterator<Item = (&'a [Event], Timestamp)>) -> Option<Self> {
        let mut open = OpenOperations::default();
        let (mut started, mut closing) = (None, None);
        for (events, time) in records {
            closing = events.last().or(closing);
            for event in events {
                if let Event::Started(first) = event {
                    started = Some(Arc::new((**first).clone()));
                }
                open.apply(event, time);
            }
        }
        let externals = open.externals.into_values().map(|call| *call).collect();
        Some(Self { run, started: started?, children: open.children, externals, closing: closing.cloned() })
    }
}

/// A history as it was read.
#[derive(Debug)]
pub(crate) enum Loaded {
    /// The leader says that there is none.
    Absent,
    /// It is there: its records in order with their events, or only the last one. `before` is how far the inbox was
    /// consumed when the run began, where that is known.
    Records { records: Vec<(StoredRecord, Vec<Event>)>, whole: bool, before: Option<u64>, left: Option<Left> },
    /// Its end is readable, but not all of its run.
    Partly { last: StoredRecord, error: HistoryError },
    /// Nothing of it can be read.
    Unreadable { error: HistoryError },
}

impl Action {
    /// The source of a request that is reported as handled.
    pub(crate) const HANDLED_SOURCE: Source = Source::Inbox;
}
