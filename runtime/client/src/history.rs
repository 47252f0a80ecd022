//! What happened to a run, event by event.

use highwater_broker::{
    BoxFuture,
    history::{HistoryError, StoredRecord},
};
use highwater_protocol::{Event, RunId, Status, Timestamp, WorkflowId};

use crate::{
    handle::{Addressed, Target, WorkflowHandle},
    pace::{PATIENCE, Retryable, persist},
    run::{self, Tail},
};

/// An event of a run's history.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryEvent {
    /// The run.
    pub run: RunId,
    /// Its number in the run, from 1.
    pub number: u64,
    /// The sequence of the record that holds it, in the history stream.
    pub record: u64,
    /// The workflow's time when it was recorded.
    pub time: Timestamp,
    /// What happened.
    pub event: Event,
}

/// A history could not be read.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadHistoryError {
    /// There is no such run.
    #[error("there is no history of workflow {id}; check the id, the run and the namespace")]
    NotFound {
        /// The workflow id.
        id: WorkflowId,
    },
    /// The start is in the inbox, and no worker has taken it yet.
    #[error(
        "workflow {id} has no history yet: no worker has taken its start; describe it to see which queue it waits on"
    )]
    Pending {
        /// The workflow id.
        id: WorkflowId,
    },
    /// It cannot be read.
    #[error("cannot read the history of workflow {id}: {source}")]
    History {
        /// The workflow id.
        id: WorkflowId,
        /// Why.
        source: HistoryError,
    },
}

impl ReadHistoryError {
    /// Whether the same call may do better later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Pending { .. } => true,
            Self::History { source, .. } => source.is_retryable(),
            Self::NotFound { .. } => false,
        }
    }
}

/// The history of one run.
#[derive(Clone, Debug)]
pub(crate) struct RunHistory {
    pub(crate) run: RunId,
    pub(crate) events: Vec<HistoryEvent>,
    /// The size of its records' bodies, in bytes.
    pub(crate) bytes: u64,
    /// Where the run stands by its last record's header, which counts when that record has no events.
    pub(crate) status: Option<Status>,
}

impl<W> WorkflowHandle<W> {
    /// The events of a run, in order: of the run that the handle is pinned to; of the latest in the chain of a handle
    /// that came from a start; otherwise of the latest run of the id.
    pub async fn history(&self) -> Result<Vec<HistoryEvent>, ReadHistoryError> {
        self.target().history().await
    }
}

impl Target {
    pub(crate) fn history(&self) -> BoxFuture<'_, Result<Vec<HistoryEvent>, ReadHistoryError>> {
        Box::pin(self.events())
    }

    async fn events(&self) -> Result<Vec<HistoryEvent>, ReadHistoryError> {
        match self.read_history().await {
            Ok(Some(history)) => Ok(history.events),
            Ok(None) => match persist(PATIENCE, || run::pending_start(self.client().broker(), self.key())).await {
                Ok(Some(_)) => Err(ReadHistoryError::Pending { id: self.id().clone() }),
                Ok(None) => Err(ReadHistoryError::NotFound { id: self.id().clone() }),
                Err(error) => Err(ReadHistoryError::History { id: self.id().clone(), source: error.into() }),
            },
            Err(source) => Err(ReadHistoryError::History { id: self.id().clone(), source }),
        }
    }

    pub(crate) async fn read_history(&self) -> Result<Option<RunHistory>, HistoryError> {
        persist(PATIENCE, || self.read_history_once()).await
    }

    async fn read_history_once(&self) -> Result<Option<RunHistory>, HistoryError> {
        let broker = self.client().broker();
        let Some(last) = run::last_of(broker, self.key()).await? else { return Ok(None) };
        let tail = match self.wanted().filter(|run| *run != last.frame.run) {
            None => Tail::of(&last)?,
            Some(run) => match run::find(broker, &last, run, 0).await? {
                Some(found) if matches!(self.addressed(), Addressed::Chain(_)) => {
                    self.reached(found.chain.run);
                    found.chain
                }
                Some(found) => found.own,
                None => return Ok(None),
            },
        };
        let before = tail.records_before(broker).await?;
        let status = last.status().filter(|_| tail.run == last.frame.run);
        let mut history = RunHistory { run: tail.run, events: Vec::new(), bytes: 0, status };
        for record in &before {
            history.bytes += record.body_size() as u64;
            history.take(record.seq, record.frame.time, record.frame.first_event, events_of(record)?);
        }
        history.bytes += tail.size;
        history.take(tail.seq, tail.time, tail.first_event, tail.events);
        Ok(Some(history))
    }
}

fn events_of(record: &StoredRecord) -> Result<Vec<Event>, HistoryError> {
    record.body().map(|body| body.events)
}

impl RunHistory {
    fn take(&mut self, record: u64, time: Timestamp, first: u64, events: Vec<Event>) {
        let numbered = (first..).zip(events);
        let run = self.run;
        self.events.extend(numbered.map(|(number, event)| HistoryEvent { run, number, record, time, event }));
    }
}
