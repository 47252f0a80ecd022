//! What a start can be told.

use std::{
    fmt,
    future::{Future, IntoFuture},
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use highwater_broker::BoxFuture;
use highwater_protocol::{
    Payload, QueueName, RetryPolicy, TypeName, WorkflowId,
    event::{AttributeValue, Trace},
    payload,
    request::{IdConflict, IdReuse, StartRequest},
};
use serde::Serialize;
use uuid::Uuid;

use super::{
    Plan, StartError,
    proceed::{self, Outcome},
    trace::{Caller, Traced},
};
use crate::{
    client::Client,
    handle::{Target, WorkflowHandle},
    intercept::{StartCall, Started},
    request::Stored,
};

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
///     .memo("note", "by phone")
///     .attribute("customer", "Zoë")
///     .await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a start does nothing until it is awaited"]
pub struct Start<W> {
    pub(super) intent: Intent,
    workflow: PhantomData<fn() -> W>,
}

/// A start to be, whatever the type of the workflow.
pub(super) struct Intent {
    client: Client,
    id: Option<String>,
    queue: String,
    /// What is asked for, or what is wrong with it.
    pub(super) request: Result<StartRequest, StartError>,
}

impl<W> Start<W> {
    pub(crate) fn new(client: Client, workflow_type: String, input: Result<Payload, payload::Error>) -> Self {
        Self { intent: Intent::new(client, workflow_type, input), workflow: PhantomData }
    }

    /// The workflow id: any text that people will recognise, unique in the namespace. Starting the same id twice starts
    /// one run, so an id made of what the work is about is what protects from doing it twice. Default: a generated one.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.intent.id = Some(id.into());
        self
    }

    /// The queue whose workers run it. Default: [`DEFAULT_QUEUE`].
    pub fn queue(mut self, queue: impl Into<String>) -> Self {
        self.intent.queue = queue.into();
        self
    }

    /// Whether the id may be used again after a run of it has ended. Default: no.
    pub fn id_reuse(self, policy: IdReuse) -> Self {
        self.set(|request| request.id_reuse = policy)
    }

    /// What happens when a run of the id goes on. Default: the start fails.
    pub fn id_conflict(self, policy: IdConflict) -> Self {
        self.set(|request| request.id_conflict = policy)
    }

    /// How long the run may take, at millisecond precision; after that it is closed as timed out. Default: no limit.
    /// The [delay](Self::delay) before its code begins does not count.
    pub fn run_timeout(self, timeout: Duration) -> Self {
        self.set(|request| request.run_timeout = Some(at_least_a_millisecond(timeout)))
    }

    /// How long the run and all that follow it may take together, those that it continues as and those that try again,
    /// at millisecond precision. Default: no limit. The [delay](Self::delay) counts.
    pub fn execution_timeout(self, timeout: Duration) -> Self {
        self.set(|request| request.execution_timeout = Some(at_least_a_millisecond(timeout)))
    }

    /// How long the run waits before its code begins, at millisecond precision. Signals that come meanwhile are kept,
    /// and the run can be cancelled and terminated. Default: not at all.
    pub fn delay(self, delay: Duration) -> Self {
        self.set(|request| request.delay = Some(at_least_a_millisecond(delay)))
    }

    /// Tries again as a new run of the same id when a run fails, or exceeds its run timeout. Errors that say that no
    /// further attempt helps end it at once. Default: a run that fails has failed.
    pub fn retry(self, policy: RetryPolicy) -> Self {
        self.set(|request| request.retry = Some(policy))
    }

    /// A note that can be read from outside and by the code; it changes nothing.
    pub fn memo<T: Serialize + ?Sized>(self, name: impl Into<String>, value: &T) -> Self {
        self.set_encoded(value, |request, payload| request.memo.insert(name, payload))
    }

    /// Something that the run can be found by. Names have letters, digits, `-` and `_`.
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<AttributeValue>) -> Self {
        self.intent.attribute(name.into(), value.into());
        self
    }

    /// Context that goes with the run into its activities, its children and the runs that follow it: for interceptors.
    pub fn header<T: Serialize + ?Sized>(self, name: impl Into<String>, value: &T) -> Self {
        self.set_encoded(value, |request, payload| request.headers.insert(name, payload))
    }

    /// The trace that the run belongs to. Default: that of the caller's current OpenTelemetry span; without one, of a
    /// span that this start opens; and where the program exports no spans, one derived from the run id.
    pub fn trace(self, trace: Trace) -> Self {
        self.set(|request| request.trace = Trace::of_headers(&trace.parent, trace.state.as_deref()))
    }

    /// Starts the run, as awaiting does.
    pub async fn send(self) -> Result<WorkflowHandle<W>, StartError> {
        let (target, _) = self.intent.send(Caller::here()).await?;
        Ok(WorkflowHandle::of(target))
    }

    pub(super) fn set(mut self, change: impl FnOnce(&mut StartRequest)) -> Self {
        if let Ok(request) = &mut self.intent.request {
            change(request);
        }
        self
    }

    pub(super) fn set_encoded<T: Serialize + ?Sized>(
        self,
        value: &T,
        change: impl FnOnce(&mut StartRequest, Payload),
    ) -> Self {
        match Payload::encode(value) {
            Ok(payload) => self.set(|request| change(request, payload)),
            Err(error) => self.fail(error.into()),
        }
    }

    /// Notes what is wrong with the start; the first such thing is told.
    pub(super) fn fail(mut self, error: StartError) -> Self {
        self.intent.fail(error);
        self
    }
}

impl Intent {
    fn new(client: Client, workflow_type: String, input: Result<Payload, payload::Error>) -> Self {
        let request = || Ok(StartRequest::new(TypeName::new(workflow_type)?, input?));
        Self { client, id: None, queue: DEFAULT_QUEUE.into(), request: request() }
    }

    fn attribute(&mut self, name: String, value: AttributeValue) {
        if let Ok(request) = &mut self.request {
            request.attributes.insert(name, value);
            if let Err(error) = request.attributes.check() {
                self.request = Err(error.into());
            }
        }
    }

    pub(super) fn fail(&mut self, error: StartError) {
        if self.request.is_ok() {
            self.request = Err(error);
        }
    }

    /// Starts the run. Also tells where the answers to the request come, and its sequence in the inbox.
    pub(super) fn send(self, caller: Caller) -> BoxFuture<'static, Result<(Target, Option<Stored>), StartError>> {
        Box::pin(async move {
            let (client, call) = self.call()?;
            let begin = |call| -> BoxFuture<'_, _> { Box::pin(begin(&client, &caller, call)) };
            let Started { workflow_id, begun } = client.ask(call, &begin).await?;
            let Outcome { addressed, own, request } = begun;
            let answers = request.as_ref().filter(|_| own).map(|request| Arc::clone(&request.answers));
            Ok((Target::new(client, workflow_id, addressed, answers), request))
        })
    }

    fn call(self) -> Result<(Client, StartCall), StartError> {
        let request = self.request?;
        let named = self.id.map(WorkflowId::new).transpose()?;
        let is_named = named.is_some();
        let workflow_id = named.map_or_else(|| WorkflowId::new(Uuid::now_v7().to_string()), Ok)?;
        let generated = (!is_named).then(|| workflow_id.clone());
        Ok((self.client, StartCall { workflow_id, queue: QueueName::new(self.queue)?, request, generated }))
    }
}

/// Starts the run, behind the last interceptor.
async fn begin(client: &Client, caller: &Caller, call: StartCall) -> Result<Started, StartError> {
    let StartCall { workflow_id: id, queue, request, generated } = call;
    let id_is_new = generated.is_some_and(|generated| generated == id);
    let mut plan = Plan { id, id_is_new, queue, request };
    let traced = Traced::start(caller, &mut plan);
    let result = proceed::start(client, &plan).await;
    traced.finish(result.as_ref().err());
    Ok(Started { workflow_id: plan.id, begun: result? })
}

/// A time below the precision is a time all the same, not none.
fn at_least_a_millisecond(time: Duration) -> Duration {
    time.max(Duration::from_millis(1))
}

impl<W: 'static> IntoFuture for Start<W> {
    type Output = Result<WorkflowHandle<W>, StartError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        let sent = self.intent.send(Caller::here());
        Box::pin(async move { sent.await.map(|(target, _)| WorkflowHandle::of(target)) })
    }
}

impl<W> fmt::Debug for Start<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Start")
            .field("request", &self.intent.request)
            .field("id", &self.intent.id)
            .field("queue", &self.intent.queue)
            .finish_non_exhaustive()
    }
}
