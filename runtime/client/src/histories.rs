//! Many histories at a time.

use std::collections::BTreeMap;

use futures_util::StreamExt;
use highwater_broker::{BoxFuture, Delivered, Error, Stream, history::StoredRecord};
use highwater_protocol::{Key, WorkflowId};

use crate::{
    client::Client,
    history::{HistoryEvent, ReadHistoryError},
};

/// Which runs of a namespace: all, unless it is said.
#[derive(Clone, Debug, Default)]
pub struct HistoryFilter {
    workflow_type: Option<String>,
    id_prefix: String,
    only_open: bool,
}

impl HistoryFilter {
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

/// Histories could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadHistoriesError {
    /// The broker failed.
    #[error("cannot go through the histories: {0}")]
    Broker(#[from] Error),
    /// One of them cannot be read.
    #[error(transparent)]
    History(#[from] ReadHistoryError),
}

impl ReadHistoriesError {
    /// Whether the same call may do better later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Broker(error) => error.is_retryable(),
            Self::History(error) => error.is_retryable(),
        }
    }
}

type Histories = Vec<(WorkflowId, Vec<HistoryEvent>)>;

impl Client {
    /// The workflow ids whose latest run the filter lets through, sorted.
    ///
    /// It goes through the whole history stream, since nothing tells the runs otherwise; that takes a while where the
    /// stream is large. Read each with [`WorkflowHandle::history`](crate::WorkflowHandle::history).
    pub async fn workflow_ids(&self, filter: &HistoryFilter) -> Result<Vec<WorkflowId>, ReadHistoriesError> {
        self.list(filter).await
    }

    /// The histories of the latest runs that the filter lets through, by their workflow ids.
    pub async fn histories(
        &self,
        filter: &HistoryFilter,
    ) -> Result<Vec<(WorkflowId, Vec<HistoryEvent>)>, ReadHistoriesError> {
        self.read_all(filter).await
    }

    fn list<'a>(&'a self, filter: &'a HistoryFilter) -> BoxFuture<'a, Result<Vec<WorkflowId>, ReadHistoriesError>> {
        Box::pin(async move {
            let broker = self.broker();
            let mut messages = broker.read(Stream::History, vec![broker.subjects().history_all()], 1).await?;
            let mut wanted: BTreeMap<String, bool> = BTreeMap::new();
            while let Some(delivered) = messages.next().await {
                let Delivered::Message(message) = delivered? else { break };
                let id = broker.subjects().history_key(&message.subject).and_then(id_of);
                if let (Some(id), Ok(record)) = (id, StoredRecord::from_message(message)) {
                    wanted.insert(id.to_string(), filter.wants(&id, &record));
                }
            }
            let ids = wanted.into_iter().filter(|(_, wanted)| *wanted);
            Ok(ids.filter_map(|(id, _)| WorkflowId::new(id).ok()).collect())
        })
    }

    fn read_all<'a>(&'a self, filter: &'a HistoryFilter) -> BoxFuture<'a, Result<Histories, ReadHistoriesError>> {
        Box::pin(async move {
            let mut histories = Vec::new();
            for id in self.workflow_ids(filter).await? {
                let handle = self.handle_by_name(id.as_str()).expect("it is the id of a workflow");
                histories.push((id, handle.history().await?));
            }
            Ok(histories)
        })
    }
}

fn id_of(key: &str) -> Option<WorkflowId> {
    WorkflowId::new(Key::unescape("workflow id", key).ok()?).ok()
}
