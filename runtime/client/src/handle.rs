//! One workflow, seen from outside.

use std::{
    fmt,
    marker::PhantomData,
    sync::{Arc, Mutex, PoisonError},
};

use highwater_broker::history::{HistoryError, StoredRecord};
use highwater_protocol::{
    Key, QueueName, RunId, Status, WorkflowId,
    rejection::{Code, Rejection},
};

use crate::{
    client::Client,
    pace::{PATIENCE, persist},
    replies::Expected,
    run::{self, PendingStart},
    typed::Untyped,
};

/// Which run of an id is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressed {
    /// The latest one, whichever that is.
    Latest,
    /// This one and those that it continues as.
    Chain(RunId),
    /// This one only.
    Run(RunId),
}

impl Addressed {
    /// The run that is named.
    pub fn run(self) -> Option<RunId> {
        match self {
            Self::Latest => None,
            Self::Chain(run) | Self::Run(run) => Some(run),
        }
    }
}

/// One workflow id, with what can be done to it. Cheap to clone.
///
/// A handle that came from a start means that run and those it continues as; one from [`Client::handle`] means the
/// latest run of the id at the time of each call.
pub struct WorkflowHandle<W> {
    client: Client,
    id: WorkflowId,
    key: Key,
    addressed: Addressed,
    answers: Option<Arc<Expected>>,
    /// The latest run that is known to be in the chain, so that a long chain is not gone through at every call.
    reached: Arc<Mutex<Option<RunId>>>,
    /// The queue that the latest run had when somebody looked.
    queue: Arc<Mutex<Option<QueueName>>>,
    workflow: PhantomData<fn() -> W>,
}

impl<W> Clone for WorkflowHandle<W> {
    fn clone(&self) -> Self {
        Self {
            client: self.client.clone(),
            id: self.id.clone(),
            key: self.key.clone(),
            addressed: self.addressed,
            answers: self.answers.clone(),
            reached: self.reached.clone(),
            queue: self.queue.clone(),
            workflow: PhantomData,
        }
    }
}

impl<W> fmt::Debug for WorkflowHandle<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkflowHandle")
            .field("id", &self.id)
            .field("addressed", &self.addressed)
            .finish_non_exhaustive()
    }
}

impl<W> WorkflowHandle<W> {
    pub(crate) fn new(client: Client, id: WorkflowId, addressed: Addressed, answers: Option<Arc<Expected>>) -> Self {
        let key = id.to_key();
        Self {
            client,
            id,
            key,
            addressed,
            answers,
            reached: Arc::default(),
            queue: Arc::default(),
            workflow: PhantomData,
        }
    }

    /// The workflow id.
    pub fn id(&self) -> &WorkflowId {
        &self.id
    }

    /// The run that the handle is for, when it is for a certain one.
    pub fn run_id(&self) -> Option<RunId> {
        self.addressed.run()
    }

    /// Which run of the id is meant.
    pub fn addressed(&self) -> Addressed {
        self.addressed
    }

    /// The same workflow, whatever its type.
    pub fn untyped(&self) -> WorkflowHandle<Untyped> {
        WorkflowHandle {
            client: self.client.clone(),
            id: self.id.clone(),
            key: self.key.clone(),
            addressed: self.addressed,
            answers: self.answers.clone(),
            reached: self.reached.clone(),
            queue: self.queue.clone(),
            workflow: PhantomData,
        }
    }

    /// The same workflow, but this run of it only.
    pub fn pinned_to(mut self, run: RunId) -> Self {
        self.addressed = Addressed::Run(run);
        // Clones of the handle go on in their own way.
        self.reached = Arc::default();
        self
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn key(&self) -> &Key {
        &self.key
    }

    /// Where the answers to the start of the run come.
    pub(crate) fn answers(&self) -> Option<&Arc<Expected>> {
        self.answers.as_ref()
    }

    /// The run that a request is for, when it is for no other. Runs that follow it belong to it otherwise.
    pub(crate) fn only_run(&self) -> Option<RunId> {
        match self.addressed {
            Addressed::Run(run) => Some(run),
            Addressed::Latest | Addressed::Chain(_) => None,
        }
    }

    /// How the run ended, when that is why a request was rejected.
    pub(crate) async fn closed_by(&self, rejection: &Rejection) -> Option<Status> {
        if rejection.code != Code::Closed {
            return None;
        }
        match self.locate().await {
            Ok(Located::Closed { status, .. }) => Some(status),
            _ => None,
        }
    }

    /// Where the addressed run stands, by the leader.
    pub(crate) async fn locate(&self) -> Result<Located, HistoryError> {
        persist(PATIENCE, || self.locate_once()).await
    }

    async fn locate_once(&self) -> Result<Located, HistoryError> {
        let broker = self.client.broker();
        let Some(last) = run::last_of(broker, &self.key).await? else {
            return Ok(match run::pending_start(broker, &self.key).await? {
                Some(pending) if self.run_id().is_none_or(|run| pending.run == Some(run)) => Located::Pending(pending),
                _ => Located::Unknown,
            });
        };
        let Some(wanted) = self.wanted().filter(|run| *run != last.frame.run) else {
            return Located::latest(last);
        };
        let found = run::find(broker, &last, wanted, 0).await?;
        Ok(match (found, self.addressed) {
            (None, _) => Located::Unknown,
            (Some(found), Addressed::Chain(_)) => {
                self.reached(found.chain.run);
                if found.is_latest {
                    Located::latest(last)?
                } else {
                    Located::Closed { run: found.chain.run, status: found.chain.status() }
                }
            }
            (Some(found), _) => Located::Closed { run: found.own.run, status: found.own.status() },
        })
    }

    /// The run to look for: the latest that is known of the addressed chain.
    pub(crate) fn wanted(&self) -> Option<RunId> {
        match self.addressed {
            Addressed::Latest => None,
            Addressed::Run(run) => Some(run),
            Addressed::Chain(first) => Some(self.reached_run().unwrap_or(first)),
        }
    }

    /// Notes a run of the addressed chain.
    pub(crate) fn reached(&self, run: RunId) {
        *self.reached.lock().unwrap_or_else(PoisonError::into_inner) = Some(run);
    }

    /// The queue that the latest run had when somebody looked. Another one may have begun elsewhere.
    pub(crate) fn queue(&self) -> Option<QueueName> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes the queue of the latest run.
    pub(crate) fn served_by(&self, queue: &QueueName) {
        let mut known = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref() != Some(queue) {
            *known = Some(queue.clone());
        }
    }

    fn reached_run(&self) -> Option<RunId> {
        // Nothing panics while it holds the lock.
        *self.reached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where an addressed run stands.
#[derive(Debug)]
pub(crate) enum Located {
    /// It goes on; its last record.
    Open(Box<StoredRecord>),
    /// It has ended.
    Closed { run: RunId, status: Status },
    /// It has been asked for, and no worker has taken it yet.
    Pending(PendingStart),
    /// There is no such run.
    Unknown,
}

impl Located {
    fn latest(last: StoredRecord) -> Result<Self, HistoryError> {
        if !last.frame.closed {
            return Ok(Self::Open(Box::new(last)));
        }
        Ok(Self::Closed { run: last.frame.run, status: run::closed_status(&last)? })
    }
}
