//! Starting a run.
//!
//! A start is a request in the inbox, with the sequence that the id's history must have. The owner of the run appends the
//! first record under that condition and answers. If no worker is alive to do so, the client appends the record itself
//! under the same condition, so whichever comes first, there is one run, and a start that was refused can never happen
//! later. See "Start" in `runtime/ARCHITECTURE.md`.

mod attempt;
mod error;
mod policy;
mod proceed;
mod trace;

use std::{
    fmt,
    future::{Future, IntoFuture},
    marker::PhantomData,
    pin::Pin,
    time::Duration,
};

use highwater_protocol::{
    Payload, QueueName, TypeName, WorkflowId,
    event::Trace,
    payload,
    request::{IdConflict, IdReuse},
};
use uuid::Uuid;

use self::trace::{Caller, Traced};
use crate::{client::Client, handle::WorkflowHandle};

pub use error::StartError;

/// The queue that a start goes to when none is named.
pub const DEFAULT_QUEUE: &str = "default";

/// A start to be: set what matters, then await it.
///
/// ```no_run
/// # async fn example(client: highwater_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use highwater_client::IdConflict;
/// use highwater_protocol::Payload;
///
/// let run = client
///     .start_by_name("order", Payload::encode(&5)?)
///     .id("order-17")
///     .queue("shop")
///     .id_conflict(IdConflict::UseExisting)
///     .run_timeout(Duration::from_secs(3600))
///     .await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a start does nothing until it is awaited"]
pub struct Start<W> {
    client: Client,
    workflow_type: String,
    input: Result<Payload, payload::Error>,
    id: Option<String>,
    queue: String,
    id_reuse: IdReuse,
    id_conflict: IdConflict,
    run_timeout: Option<Duration>,
    trace: Option<Trace>,
    workflow: PhantomData<fn() -> W>,
}

/// A start whose names have been checked.
struct Plan {
    id: WorkflowId,
    /// Nobody else can have used the id: it was made just now.
    id_is_new: bool,
    workflow_type: TypeName,
    queue: QueueName,
    input: Payload,
    id_reuse: IdReuse,
    id_conflict: IdConflict,
    run_timeout: Option<Duration>,
    trace: Option<Trace>,
}

impl<W> Start<W> {
    pub(crate) fn new(
        client: Client,
        workflow_type: impl Into<String>,
        input: Result<Payload, payload::Error>,
    ) -> Self {
        Self {
            client,
            workflow_type: workflow_type.into(),
            input,
            id: None,
            queue: DEFAULT_QUEUE.into(),
            id_reuse: IdReuse::default(),
            id_conflict: IdConflict::default(),
            run_timeout: None,
            trace: None,
            workflow: PhantomData,
        }
    }

    /// The workflow id: any text that people will recognise, unique in the namespace. Starting the same id twice starts
    /// one run, so an id made of what the work is about is what protects from doing it twice. Default: a generated one.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// The queue whose workers run it. Default: [`DEFAULT_QUEUE`].
    pub fn queue(mut self, queue: impl Into<String>) -> Self {
        self.queue = queue.into();
        self
    }

    /// Whether the id may be used again after a run of it has ended. Default: no.
    pub fn id_reuse(mut self, policy: IdReuse) -> Self {
        self.id_reuse = policy;
        self
    }

    /// What happens when a run of the id goes on. Default: the start fails.
    pub fn id_conflict(mut self, policy: IdConflict) -> Self {
        self.id_conflict = policy;
        self
    }

    /// How long the run may take, at millisecond precision; after that it is closed as timed out. Default: no limit.
    pub fn run_timeout(mut self, timeout: Duration) -> Self {
        self.run_timeout = Some(timeout);
        self
    }

    /// The trace that the run belongs to. Default: that of the caller's current OpenTelemetry span; without one, of a span
    /// that this start opens; and where the program exports no spans, one derived from the run id.
    pub fn trace(mut self, trace: Trace) -> Self {
        self.trace = Some(trace);
        self
    }

    fn plan(self) -> Result<(Client, Plan), StartError> {
        let id_is_new = self.id.is_none();
        let id = self.id.unwrap_or_else(|| Uuid::now_v7().to_string());
        let plan = Plan {
            id: WorkflowId::new(id)?,
            id_is_new,
            workflow_type: TypeName::new(self.workflow_type)?,
            queue: QueueName::new(self.queue)?,
            input: self.input?,
            id_reuse: self.id_reuse,
            id_conflict: self.id_conflict,
            // A timeout below the precision is a timeout all the same, not none.
            run_timeout: self.run_timeout.map(|timeout| timeout.max(Duration::from_millis(1))),
            trace: self.trace.and_then(|trace| Trace::of_headers(&trace.parent, trace.state.as_deref())),
        };
        Ok((self.client, plan))
    }
}

impl<W: 'static> IntoFuture for Start<W> {
    type Output = Result<WorkflowHandle<W>, StartError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        let caller = Caller::here();
        Box::pin(async move {
            let (client, mut plan) = self.plan()?;
            let traced = Traced::start(&caller, &mut plan);
            let result = proceed::start(&client, &plan).await;
            traced.finish(result.as_ref().err());
            let (addressed, answers) = result?;
            Ok(WorkflowHandle::new(client, plan.id, addressed, answers))
        })
    }
}

impl<W> fmt::Debug for Start<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Start")
            .field("workflow_type", &self.workflow_type)
            .field("id", &self.id)
            .field("queue", &self.queue)
            .finish_non_exhaustive()
    }
}
