//! One workflow, seen from outside.

use std::{
    fmt,
    marker::PhantomData,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use highwater_broker::history::{HistoryError, StoredRecord};
use highwater_protocol::{
    Key, QueueName, RunId, Status, WorkflowId,
    rejection::{Code, Rejection},
    request::Meant,
};
use tokio::time::Instant;

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

/// How long a run that has taken a request is taken to be open.
const OPEN_FOR: Duration = Duration::from_secs(10);

/// The queue that the latest run had when somebody looked.
#[derive(Debug)]
struct Served {
    queue: QueueName,
    /// When it last took a request that went there.
    accepted: Option<Instant>,
}

/// One workflow id, with what can be done to it. Cheap to clone.
///
/// A handle that came from a start means that run and those it continues as; one from [`Client::handle`] means the
/// latest run of the id at the time of each call.
pub struct WorkflowHandle<W> {
    target: Target,
    workflow: PhantomData<fn() -> W>,
}

/// What a handle is for, whatever the type of the workflow: all the work of a handle is done here.
#[derive(Clone)]
pub(crate) struct Target {
    client: Client,
    id: WorkflowId,
    key: Key,
    addressed: Addressed,
    answers: Option<Arc<Expected>>,
    /// The latest run that is known to be in the chain, so that a long chain is not gone through at every call.
    reached: Arc<Mutex<Option<RunId>>>,
    served: Arc<Mutex<Option<Served>>>,
}

impl<W> Clone for WorkflowHandle<W> {
    fn clone(&self) -> Self {
        Self::of(self.target.clone())
    }
}

impl<W> fmt::Debug for WorkflowHandle<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.target.fmt(f)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkflowHandle")
            .field("id", &self.id)
            .field("addressed", &self.addressed)
            .finish_non_exhaustive()
    }
}

impl<W> WorkflowHandle<W> {
    pub(crate) fn of(target: Target) -> Self {
        Self { target, workflow: PhantomData }
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// The workflow id.
    pub fn id(&self) -> &WorkflowId {
        self.target.id()
    }

    /// The run that the handle is for, when it is for a certain one.
    pub fn run_id(&self) -> Option<RunId> {
        self.target.run_id()
    }

    /// Which run of the id is meant.
    pub fn addressed(&self) -> Addressed {
        self.target.addressed()
    }

    /// The same workflow, whatever its type.
    pub fn untyped(&self) -> WorkflowHandle<Untyped> {
        WorkflowHandle::of(self.target.clone())
    }

    /// The same workflow, but this run of it only.
    pub fn pinned_to(self, run: RunId) -> Self {
        Self::of(self.target.pinned_to(run))
    }
}

impl Target {
    pub(crate) fn new(client: Client, id: WorkflowId, addressed: Addressed, answers: Option<Arc<Expected>>) -> Self {
        let key = id.to_key();
        Self { client, id, key, addressed, answers, reached: Arc::default(), served: Arc::default() }
    }

    pub(crate) fn id(&self) -> &WorkflowId {
        &self.id
    }

    pub(crate) fn run_id(&self) -> Option<RunId> {
        self.addressed.run()
    }

    pub(crate) fn addressed(&self) -> Addressed {
        self.addressed
    }

    fn pinned_to(mut self, run: RunId) -> Self {
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

    /// Which run a request is for, as far as its owner can tell.
    pub(crate) fn meant(&self) -> Option<Meant> {
        match self.addressed {
            Addressed::Run(run) => Some(Meant::Run(run)),
            // Only the first run of a chain names it, and one that was joined need not be that.
            Addressed::Chain(run) => self.answers.is_some().then_some(Meant::Chain(run)),
            Addressed::Latest => None,
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
        self.served().as_ref().map(|served| served.queue.clone())
    }

    /// Notes the queue of the latest run.
    pub(crate) fn served_by(&self, queue: &QueueName) {
        let mut served = self.served();
        if served.as_ref().is_none_or(|served| served.queue != *queue) {
            *served = Some(Served { queue: queue.clone(), accepted: None });
        }
    }

    /// The queue to send a request to: that on which an owner has taken one of this handle's a moment ago. Whether it
    /// is still the right one, and the run open, is for the owner to say.
    pub(crate) fn open_queue(&self) -> Option<QueueName> {
        let owner_tells = self.addressed == Addressed::Latest || self.meant().is_some();
        let served = self.served();
        let Served { queue, accepted } = served.as_ref().filter(|_| owner_tells)?;
        accepted.is_some_and(|at| at.elapsed() < OPEN_FOR).then(|| queue.clone())
    }

    /// Notes what came of a request that went to a queue.
    pub(crate) fn noted(&self, queue: &QueueName, accepted: bool) {
        if accepted {
            *self.served() = Some(Served { queue: queue.clone(), accepted: Some(Instant::now()) });
        } else {
            self.may_have_ended();
        }
    }

    /// The next request looks the run up again.
    pub(crate) fn may_have_ended(&self) {
        if let Some(served) = &mut *self.served() {
            served.accepted = None;
        }
    }

    fn served(&self) -> MutexGuard<'_, Option<Served>> {
        // Nothing panics while it holds the lock.
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
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
