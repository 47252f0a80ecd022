//! What is known of a workflow id: the runs in its history, or the start that waits for one.

pub(crate) use highwater_broker::history::runs::{Tail, damaged, find, terminated};
use highwater_broker::{
    Broker, Stream,
    history::{self, Freshness, HistoryError, StoredRecord},
};
use highwater_core::open::OpenOperations;
use highwater_protocol::{
    Key, QueueName, RunId, Status, Timestamp, TypeName, header,
    subject::{InboxKind, Subjects},
};

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

/// The queue of a run, by a record of it.
pub(crate) fn queue_of(record: &StoredRecord) -> Result<QueueName, HistoryError> {
    record.queue().ok_or_else(|| damaged(record.frame.run, record.seq, "names no queue in its headers"))
}
