//! Histories out of a namespace.

use std::collections::BTreeMap;

use futures_util::StreamExt;
use highwater_broker::{Delivered, Error, Stream, history::StoredRecord};
use highwater_client::{Client, ReadHistoryError};
use highwater_protocol::{Key, WorkflowId};

use super::History;

/// Which runs of a namespace are replayed: all, unless it is said.
#[derive(Clone, Debug, Default)]
pub struct LiveFilter {
    workflow_type: Option<String>,
    id_prefix: String,
    only_open: bool,
}

impl LiveFilter {
    /// All runs.
    pub fn new() -> Self {
        Self::default()
    }

    /// Those of this workflow type.
    pub fn workflow_type(mut self, name: impl Into<String>) -> Self {
        self.workflow_type = Some(name.into());
        self
    }

    /// Those whose workflow id begins with this.
    pub fn id_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.id_prefix = prefix.into();
        self
    }

    /// Those that have not ended: the ones that a deploy can break.
    pub fn only_open(mut self) -> Self {
        self.only_open = true;
        self
    }

    fn wants(&self, id: &WorkflowId, last: &StoredRecord) -> bool {
        let named = |wanted: &String| last.workflow_type().is_some_and(|name| name.as_str() == wanted);
        self.workflow_type.as_ref().is_none_or(named)
            && id.as_str().starts_with(&self.id_prefix)
            && !(self.only_open && last.frame.closed)
    }
}

/// Histories cannot be fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LiveError {
    /// The broker failed.
    #[error("cannot go through the histories: {0}")]
    Broker(#[from] Error),
    /// A history cannot be read.
    #[error(transparent)]
    History(#[from] ReadHistoryError),
}

/// The histories that the filter lets through, in the order of their ids.
pub(super) async fn fetch(client: &Client, filter: &LiveFilter) -> Result<Vec<History>, LiveError> {
    let mut histories = Vec::new();
    for id in wanted(client, filter).await? {
        let events = client.handle_by_name(id.as_str()).expect("it is the id of a workflow").history().await?;
        histories.extend(History::of_events(events));
    }
    Ok(histories)
}

async fn wanted(client: &Client, filter: &LiveFilter) -> Result<Vec<WorkflowId>, LiveError> {
    let broker = client.broker();
    let mut messages = broker.read(Stream::History, vec![broker.subjects().history_all()], 1).await?;
    let mut ids: BTreeMap<WorkflowId, bool> = BTreeMap::new();
    while let Some(delivered) = messages.next().await {
        let Delivered::Message(message) = delivered? else { break };
        let id = broker.subjects().history_key(&message.subject).and_then(|key| id_of(key));
        if let (Some(id), Ok(record)) = (id, StoredRecord::from_message(message)) {
            let wants = filter.wants(&id, &record);
            ids.insert(id, wants);
        }
    }
    Ok(ids.into_iter().filter(|(_, wants)| *wants).map(|(id, _)| id).collect())
}

fn id_of(key: &str) -> Option<WorkflowId> {
    WorkflowId::new(Key::unescape("workflow id", key).ok()?).ok()
}
