//! Ending a run from outside, whether or not a worker is alive.

use std::time::Duration;

use highwater_broker::{
    BoxFuture, Broker, Error, PlainMessage,
    history::{self, Appended, HistoryError, NewRecord, StoredRecord, Summary},
};
use highwater_protocol::{
    Event, Key, Payload, QueueName, Record, RunId, Status, Timestamp, WorkflowId,
    ids::RecordId,
    record::{Body, Frame},
    rejection::Rejection,
    reply::{Closed, Reply},
    request,
    subject::Verb,
};
use tokio::time::{sleep, timeout};

use crate::{
    client::Client,
    handle::{Addressed, Located, Target, WorkflowHandle},
    pace::{PATIENCE, Pauses, Retryable, persist},
    request::{Ask, AskError, Delivered, Unsent},
    run,
};

/// How often the closing record is tried, when the owner writes at the same time. After that it is left to the owner.
const APPENDS_MAX: u32 = 16;

/// How long one append is tried while NATS does not answer. After that it is left to the owner.
const APPEND_WAIT: Duration = Duration::from_secs(30);

/// How often a run that continues as a new one is followed.
const FOLLOWED_MAX: u32 = 8;

/// A run was not terminated, or it is not known whether it was.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TerminateError {
    /// There is no such run.
    #[error("there is no workflow {id} to terminate; check the id and the namespace")]
    NotFound {
        /// The workflow id.
        id: WorkflowId,
    },
    /// It has ended already.
    #[error("workflow {id} cannot be terminated, it is {status} already")]
    Closed {
        /// The workflow id.
        id: WorkflowId,
        /// How it ended.
        status: Status,
    },
    /// The owner refuses.
    #[error("the termination of workflow {id} was rejected: {rejection}")]
    Rejected {
        /// The workflow id.
        id: WorkflowId,
        /// Why.
        rejection: Rejection,
    },
    /// It continued as a new run each time it was about to be terminated.
    #[error("workflow {id} continues as a new run faster than it can be terminated; try again")]
    Elusive {
        /// The workflow id.
        id: WorkflowId,
    },
    /// The request was sent, and nobody knows whether it arrived.
    #[error("it is not known whether workflow {id} was told to end: {source}; describe it, or terminate it again")]
    OutcomeUnknown {
        /// The workflow id.
        id: WorkflowId,
        /// What went wrong.
        source: Error,
    },
    /// The history cannot be read.
    #[error("cannot terminate workflow {id}: {source}")]
    History {
        /// The workflow id.
        id: WorkflowId,
        /// Why.
        source: HistoryError,
    },
    /// The broker failed, and nothing was sent.
    #[error("cannot terminate workflow {id}: {source}")]
    Broker {
        /// The workflow id.
        id: WorkflowId,
        /// Why.
        source: Error,
    },
}

impl TerminateError {
    /// Whether the same call may do better later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Elusive { .. } | Self::OutcomeUnknown { .. } => true,
            Self::History { source, .. } => source.is_retryable(),
            Self::Broker { source, .. } => source.is_retryable(),
            Self::NotFound { .. } | Self::Closed { .. } | Self::Rejected { .. } => false,
        }
    }

    fn of(id: &WorkflowId, error: AskError) -> Self {
        let id = id.clone();
        match error {
            AskError::Unsent(Unsent::Refused(source)) => Self::Broker { id, source },
            AskError::Unsent(Unsent::Unknown(source)) => Self::OutcomeUnknown { id, source },
            AskError::Rejected(rejection) => Self::Rejected { id, rejection },
        }
    }
}

impl<W> WorkflowHandle<W> {
    /// Ends the run at once: its code sees nothing of it, and activities that are under way are left to themselves. To
    /// let it clean up, [`cancel`](Self::cancel) it.
    ///
    /// No worker is needed. [`Delivered::Accepted`]: the run is closed. [`Delivered::Durable`]: it has not begun, or a
    /// busy worker was faster each time; the request is stored, and the worker closes the run when it comes to it.
    pub async fn terminate(&self, reason: impl AsRef<str>) -> Result<Delivered, TerminateError> {
        self.target().terminate(reason.as_ref()).await
    }
}

impl Target {
    fn terminate<'a>(&'a self, reason: &'a str) -> BoxFuture<'a, Result<Delivered, TerminateError>> {
        Box::pin(self.end(reason))
    }

    async fn end(&self, reason: &str) -> Result<Delivered, TerminateError> {
        self.may_have_ended();
        let id = self.id();
        for _ in 0..FOLLOWED_MAX {
            let located = self.locate().await.map_err(|source| TerminateError::History { id: id.clone(), source })?;
            let run = match located {
                Located::Open(last) => last.frame.run,
                Located::Closed { status, .. } => return Err(TerminateError::Closed { id: id.clone(), status }),
                Located::Unknown => return Err(TerminateError::NotFound { id: id.clone() }),
                Located::Pending(pending) => {
                    let ask = ask(self.key(), &pending.queue, self.run_id(), reason);
                    return ask.deliver(self.client()).await.map_err(|error| TerminateError::of(id, error));
                }
            };
            match close(self.client(), id, self.key(), run, reason).await {
                Ok(Ended::Closed) => return Ok(Delivered::Accepted),
                Ok(Ended::Requested) => return Ok(Delivered::Durable),
                Err(TerminateError::Closed { status: Status::ContinuedAsNew, .. })
                    if !matches!(self.addressed(), Addressed::Run(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Err(TerminateError::Elusive { id: id.clone() })
    }
}

/// How far a termination got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The run is closed.
    Closed,
    /// The owner has been told to close it.
    Requested,
}

/// Ends a certain run: tells its owner, who does what a close asks for, and writes the closing record.
pub(crate) async fn close(
    client: &Client,
    id: &WorkflowId,
    key: &Key,
    run: RunId,
    reason: &str,
) -> Result<Ended, TerminateError> {
    let unreadable = |source| TerminateError::History { id: id.clone(), source };
    let broker = client.broker();
    let mut last = open(broker, id, key, run).await?;
    let queue = run::queue_of(&last).map_err(unreadable)?;
    ask(key, &queue, Some(run), reason).store(client).await.map_err(|error| TerminateError::of(id, error))?;
    let mut pauses = Pauses::new(Duration::from_millis(5), Duration::from_millis(200));
    for _ in 0..APPENDS_MAX {
        let now = persist(PATIENCE, || broker.server_time()).await;
        let (record, summary) = closing(&last, &queue, now.unwrap_or(last.time), reason).map_err(unreadable)?;
        let record = NewRecord::new(&record, summary);
        match timeout(APPEND_WAIT, history::append(broker, key, &record, last.seq)).await {
            Ok(Ok(Appended::Stored(_))) => {
                tell(broker, key, run, reason).await;
                return Ok(Ended::Closed);
            }
            Ok(Ok(Appended::Lost)) => {}
            Ok(Err(error)) if !error.is_retryable() => {
                return Err(TerminateError::Broker { id: id.clone(), source: error });
            }
            Ok(Err(_)) | Err(_) => return Ok(Ended::Requested),
        }
        sleep(pauses.next()).await;
        last = match open(broker, id, key, run).await {
            Ok(last) => last,
            // The owner has read the request and closed the run by itself.
            Err(TerminateError::Closed { status: Status::Terminated, .. }) => return Ok(Ended::Closed),
            Err(error) => return Err(error),
        };
    }
    Ok(Ended::Requested)
}

/// The last record of a run that goes on.
async fn open(broker: &dyn Broker, id: &WorkflowId, key: &Key, run: RunId) -> Result<StoredRecord, TerminateError> {
    let unreadable = |source| TerminateError::History { id: id.clone(), source };
    let last = persist(PATIENCE, || run::last_of(broker, key)).await.map_err(unreadable)?;
    let Some(last) = last else { return Err(TerminateError::NotFound { id: id.clone() }) };
    if last.frame.run == run && !last.frame.closed {
        return Ok(last);
    }
    let status = if last.frame.run == run {
        run::closed_status(&last).map_err(unreadable)?
    } else {
        match run::find(broker, &last, run, 0).await.map_err(unreadable)? {
            Some(found) => found.own.status(),
            None => return Err(TerminateError::NotFound { id: id.clone() }),
        }
    };
    Err(TerminateError::Closed { id: id.clone(), status })
}

fn ask<'a>(key: &'a Key, queue: &'a QueueName, run: Option<RunId>, reason: &'a str) -> Ask<'a> {
    let (reason, input) = (Some(reason), Payload::json(""));
    let meant = run.map(request::Meant::Run);
    Ask { verb: Verb::Terminate, name: None, key, queue, meant, reason, update: None, context: None, input }
}

/// The record that closes a run behind its last one. The marks stay: what lies between them and the request to
/// terminate has not been consumed by the run.
fn closing(
    last: &StoredRecord,
    queue: &QueueName,
    now: Timestamp,
    reason: &str,
) -> Result<(Record, Summary), HistoryError> {
    let frame = &last.frame;
    let workflow_type =
        last.workflow_type().ok_or_else(|| run::damaged(frame.run, last.seq, "names no workflow type"))?;
    // A body that this build cannot read has at least one event. The numbers behind it are off, the run is closed.
    let events = last.body().map_or(1, |body| body.events.len() as u64);
    let time = frame.time.max(now);
    let record = Record {
        frame: Frame {
            run: frame.run,
            record: RecordId::generate(),
            ordinal: frame.ordinal + 1,
            first_event: frame.first_event + events,
            time,
            marks: frame.marks,
            closed: true,
            back: frame.next_back(last.seq),
        },
        body: Body { events: vec![Event::Terminated { reason: reason.to_owned() }], previous: None },
    };
    let summary = Summary {
        workflow_type,
        queue: queue.clone(),
        status: Status::Terminated,
        started_at: last.started_at().unwrap_or_default(),
        attributes: last.attributes(),
        trace: request::trace(&last.headers),
    };
    Ok((record, summary))
}

/// Tells whoever waits for the result, as the owner would. It is a hint: they read the history as well.
async fn tell(broker: &dyn Broker, key: &Key, run: RunId, reason: &str) {
    let closed = Closed { run, status: Status::Terminated, outcome: Err(run::terminated(reason)) };
    let (headers, body) = Reply::Closed(closed).encode();
    let subject = broker.subjects().closed(key);
    let message = PlainMessage { subject, reply: None, headers, payload: body.data };
    if let Err(error) = broker.send(message).await {
        tracing::debug!(%error, "nobody was told of a terminated run");
    }
}
