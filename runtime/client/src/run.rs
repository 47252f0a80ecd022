//! Runs in the history of a workflow id: which is which, how each ended, and what they did.

use highwater_broker::{
    Broker, Stream,
    history::{self, Freshness, HistoryError, StoredRecord},
};
use highwater_core::open::OpenOperations;
use highwater_protocol::{
    Event, Failure, FailureKind, Key, QueueName, RunId, Status, Timestamp, TypeName, header,
    record::{PreviousRun, status_of},
    reply::Closed,
    subject::{InboxKind, Subjects},
};

/// The last transition of a run: a whole record, or the part of one with which the run continued as another.
#[derive(Clone, Debug)]
pub(crate) struct Tail {
    pub(crate) run: RunId,
    /// The sequence of the record.
    pub(crate) seq: u64,
    pub(crate) time: Timestamp,
    pub(crate) ordinal: u64,
    pub(crate) first_event: u64,
    pub(crate) back: Vec<u64>,
    pub(crate) events: Vec<Event>,
    /// The size of the record's body, in bytes.
    pub(crate) size: u64,
    /// The end of the run that this one follows, when it stands in the same record.
    previous: Option<Box<PreviousRun>>,
}

/// How a run came to follow another one under the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    /// The earlier one continued as this one.
    Continued,
    /// The id was used again.
    Reused,
}

impl Tail {
    pub(crate) fn of(record: &StoredRecord) -> Result<Self, HistoryError> {
        let body = record.body()?;
        let frame = &record.frame;
        Ok(Self {
            run: frame.run,
            seq: record.seq,
            time: frame.time,
            ordinal: frame.ordinal,
            first_event: frame.first_event,
            back: frame.back.clone(),
            events: body.events,
            size: record.body_size() as u64,
            previous: body.previous,
        })
    }

    /// The end of the run before, as it stands in the first record of the one that follows.
    fn of_previous(first: &Self, previous: PreviousRun) -> Self {
        let PreviousRun { run, ordinal, first_event, back, events } = previous;
        let (seq, time, size) = (first.seq, first.time, first.size);
        Self { run, seq, time, ordinal, first_event, back, events, size, previous: None }
    }

    pub(crate) fn status(&self) -> Status {
        status_of(&self.events)
    }

    /// The run that took the place of this one: it continued as that, or failed and is tried again.
    pub(crate) fn continued_as(&self) -> Option<RunId> {
        match self.events.last() {
            Some(
                Event::ContinuedAsNew { run }
                | Event::Failed { next: Some(run), .. }
                | Event::TimedOut { next: Some(run), .. },
            ) => Some(*run),
            _ => None,
        }
    }

    /// How the run ended, if it did with an outcome.
    pub(crate) fn closed(&self) -> Option<Closed> {
        let outcome = match self.events.last()? {
            Event::Completed { result } => Ok(result.clone()),
            Event::Failed { failure, next: None }
            | Event::Cancelled { failure }
            | Event::TimedOut { failure, next: None } => Err(failure.clone()),
            Event::Terminated { reason } => Err(terminated(reason)),
            _ => return None,
        };
        Some(Closed { run: self.run, status: self.status(), outcome })
    }

    /// All records of the run before this one, in order.
    pub(crate) async fn records_before(&self, broker: &dyn Broker) -> Result<Vec<StoredRecord>, HistoryError> {
        let mut reversed = Vec::new();
        history::read_back(broker, self.run, self.back.clone(), &mut reversed).await?;
        reversed.reverse();
        Ok(reversed)
    }

    /// The end of the run that this one continues or tries again.
    pub(crate) async fn continued_from(self, broker: &dyn Broker) -> Result<Option<Self>, HistoryError> {
        let earlier = self.earlier(broker).await?;
        Ok(earlier.and_then(|(earlier, link)| (link == Link::Continued).then_some(earlier)))
    }

    /// The end of the run before this one.
    async fn earlier(self, broker: &dyn Broker) -> Result<Option<(Self, Link)>, HistoryError> {
        let (run, mut ordinal, mut back) = (self.run, self.ordinal, self.back.clone());
        let mut first = self;
        while ordinal > 0 {
            let seq = first_of(&back, run, first.seq)?;
            let record = history::read_one(broker, run, seq).await?;
            if record.frame.run != run || record.frame.ordinal >= ordinal {
                return Err(damaged(run, seq, "is not the earlier record that a later one says it is"));
            }
            ordinal = record.frame.ordinal;
            back.clone_from(&record.frame.back);
            if ordinal == 0 {
                first = Self::of(&record)?;
            }
        }
        if let Some(previous) = first.previous.take() {
            return Ok(Some((Self::of_previous(&first, *previous), Link::Continued)));
        }
        let Some(Event::Started(started)) = first.events.first() else {
            return Err(damaged(run, first.seq, "is the first of its run and has no Started event"));
        };
        let Some(prior) = started.prior else { return Ok(None) };
        let record = history::read_one(broker, run, prior).await?;
        Ok(Some((Self::of(&record)?, Link::Reused)))
    }
}

/// A run found in the history of its id.
#[derive(Debug)]
pub(crate) struct Found {
    /// The end of the run itself.
    pub(crate) own: Tail,
    /// The end of the last run that it continued as; its own when it did not.
    pub(crate) chain: Tail,
    /// Whether that is the latest run of the id.
    pub(crate) is_latest: bool,
}

/// Finds a run, going back from the last record of its id, but not behind the record at `floor`.
pub(crate) async fn find(
    broker: &dyn Broker,
    last: &StoredRecord,
    run: RunId,
    floor: u64,
) -> Result<Option<Found>, HistoryError> {
    let mut tail = Tail::of(last)?;
    let mut chain = tail.clone();
    let mut is_latest = true;
    while tail.run != run {
        match tail.earlier(broker).await? {
            Some((earlier, _)) if earlier.seq <= floor => return Ok(None),
            Some((earlier, link)) => {
                if link == Link::Reused {
                    chain = earlier.clone();
                    is_latest = false;
                }
                tail = earlier;
            }
            None => return Ok(None),
        }
    }
    Ok(Some(Found { own: tail, chain, is_latest }))
}

/// A start that no worker has taken yet.
#[derive(Clone, Debug)]
pub(crate) struct PendingStart {
    pub(crate) queue: QueueName,
    pub(crate) workflow_type: TypeName,
    pub(crate) run: Option<RunId>,
    pub(crate) sent_at: Timestamp,
}

/// The latest start of an id that waits in the inbox. Only meaningful for an id without history.
pub(crate) async fn pending_start(
    broker: &dyn Broker,
    key: &Key,
) -> Result<Option<PendingStart>, highwater_broker::Error> {
    let filter = broker.subjects().inbox_starts_of(key);
    let message = broker.last_from_leader(Stream::Inbox, filter).await?;
    Ok(message.and_then(|message| {
        let (queue, workflow_type) = start_subject(broker.subjects(), &message.subject)?;
        let run = message.headers.get(header::RUN).and_then(|run| run.parse().ok());
        Some(PendingStart { queue, workflow_type, run, sent_at: message.time })
    }))
}

fn start_subject(subjects: &Subjects, subject: &str) -> Option<(QueueName, TypeName)> {
    let parts = subjects.parse_inbox(subject)?;
    let InboxKind::Public { name, .. } = parts.kind else { return None };
    Some((QueueName::from_token(parts.queue).ok()?, TypeName::from_token(name).ok()?))
}

/// The last record of an id, by the leader.
pub(crate) async fn last_of(broker: &dyn Broker, key: &Key) -> Result<Option<StoredRecord>, HistoryError> {
    history::last(broker, key, Freshness::Leader).await
}

/// What the run with this last record leaves behind for one that uses its id again: among others, which messages of
/// other runs it has taken.
pub(crate) async fn remembered(
    broker: &dyn Broker,
    last: Option<&StoredRecord>,
) -> Result<OpenOperations, HistoryError> {
    let mut open = OpenOperations::default();
    let Some(last) = last else { return Ok(open) };
    let tail = Tail::of(last)?;
    for record in tail.records_before(broker).await? {
        let body = record.body()?;
        body.events.iter().for_each(|event| open.apply(event, record.frame.time));
    }
    tail.events.iter().for_each(|event| open.apply(event, tail.time));
    Ok(open)
}

/// The status of a run that a record closes.
pub(crate) fn closed_status(last: &StoredRecord) -> Result<Status, HistoryError> {
    match last.status().filter(|status| status.is_closed()) {
        Some(status) => Ok(status),
        None => Ok(Tail::of(last)?.status()),
    }
}

/// The failure that a terminated run leaves.
pub(crate) fn terminated(reason: &str) -> Failure {
    Failure::new(FailureKind::Terminated, reason)
}

pub(crate) fn damaged(run: RunId, seq: u64, reason: &str) -> HistoryError {
    HistoryError::Unreadable { subject: format!("run {run}"), seq, reason: reason.to_owned() }
}

fn first_of(back: &[u64], run: RunId, seq: u64) -> Result<u64, HistoryError> {
    back.first().copied().ok_or_else(|| damaged(run, seq, "names no earlier records, though it is not the first"))
}

/// The queue of a run, by a record of it.
pub(crate) fn queue_of(record: &StoredRecord) -> Result<QueueName, HistoryError> {
    record.queue().ok_or_else(|| damaged(record.frame.run, record.seq, "names no queue in its headers"))
}
