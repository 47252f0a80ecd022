//! Runs in the history of a workflow id: which is which, and how each ended.

use highwater_protocol::{
    Event, Failure, FailureKind, RunId, Status, Timestamp,
    record::{PreviousRun, status_of},
    reply::Closed,
};

use super::{HistoryError, StoredRecord, read_back, read_one};
use crate::Broker;

/// The last transition of a run: a whole record, or the part of one with which the run continued as another.
#[derive(Clone, Debug)]
pub struct Tail {
    /// The run.
    pub run: RunId,
    /// The sequence of the record.
    pub seq: u64,
    /// The workflow time of the record.
    pub time: Timestamp,
    /// The place of the transition among the records of the run, from 0 on.
    pub ordinal: u64,
    /// The number of its first event.
    pub first_event: u64,
    /// The sequences of earlier records, as [`Frame::back`](highwater_protocol::record::Frame::back) has them.
    pub back: Vec<u64>,
    /// Its events.
    pub events: Vec<Event>,
    /// The size of the record's body, in bytes.
    pub size: u64,
    /// The end of the run that this one follows, when it stands in the same record.
    previous: Option<Box<PreviousRun>>,
}

/// What is wrong with a record that is not where it should be.
pub(super) const NOT_EARLIER: &str = "is not the earlier record that a later one says it is";

/// How a run came to follow another one under the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    /// The earlier one continued as this one.
    Continued,
    /// The id was used again.
    Reused,
}

impl Tail {
    /// That of the run that a record belongs to, when it is the last one.
    pub fn of(record: &StoredRecord) -> Result<Self, HistoryError> {
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

    /// Where the run stands.
    pub fn status(&self) -> Status {
        status_of(&self.events)
    }

    /// The run that took the place of this one: it continued as that, or failed and is tried again.
    pub fn continued_as(&self) -> Option<RunId> {
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
    pub fn closed(&self) -> Option<Closed> {
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
    pub async fn records_before(&self, broker: &dyn Broker) -> Result<Vec<StoredRecord>, HistoryError> {
        read_back(broker, self.run, self.ordinal, self.back.clone()).await
    }

    /// The end of the run that this one continues or tries again.
    pub async fn continued_from(self, broker: &dyn Broker) -> Result<Option<Self>, HistoryError> {
        let earlier = self.earlier(broker).await?;
        Ok(earlier.and_then(|(earlier, link)| (link == Link::Continued).then_some(earlier)))
    }

    /// The end of the run before this one.
    async fn earlier(self, broker: &dyn Broker) -> Result<Option<(Self, Link)>, HistoryError> {
        let (run, mut ordinal, mut back) = (self.run, self.ordinal, self.back.clone());
        let mut first = self;
        while ordinal > 0 {
            let seq = first_of(&back, run, first.seq)?;
            let record = read_one(broker, run, seq).await?;
            if record.frame.run != run || record.frame.ordinal >= ordinal {
                return Err(damaged(run, seq, NOT_EARLIER));
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
        if prior >= first.seq {
            return Err(damaged(run, first.seq, "follows a run that is not before it"));
        }
        let record = read_one(broker, run, prior).await?;
        Ok(Some((Self::of(&record)?, Link::Reused)))
    }
}

/// A run found in the history of its id.
#[derive(Debug)]
pub struct Found {
    /// The end of the run itself.
    pub own: Tail,
    /// The end of the last run that it continued as; its own when it did not.
    pub chain: Tail,
    /// Whether that is the latest run of the id.
    pub is_latest: bool,
}

/// Finds a run, going back from the last record of its id, but not behind the record at `floor`.
pub async fn find(
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

/// The failure that a terminated run leaves.
pub fn terminated(reason: &str) -> Failure {
    Failure::new(FailureKind::Terminated, reason)
}

/// That a record of a run is not what it should be.
pub fn damaged(run: RunId, seq: u64, reason: &str) -> HistoryError {
    HistoryError::Unreadable { subject: format!("run {run}"), seq, reason: reason.to_owned() }
}

fn first_of(back: &[u64], run: RunId, seq: u64) -> Result<u64, HistoryError> {
    back.first().copied().ok_or_else(|| damaged(run, seq, "names no earlier records, though it is not the first"))
}
