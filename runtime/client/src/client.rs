//! The client.

use std::sync::Arc;

use highwater_broker::Broker;
use highwater_core::definition::{Workflow, WorkflowItem};
use highwater_protocol::{InvalidId, Payload, WorkflowId};

use crate::{
    handle::{Addressed, Target, WorkflowHandle},
    intercept::{ClientInterceptor, Interceptors},
    replies::Replies,
    start::Start,
    typed::{Returns, Untyped},
};

/// Starts workflows and talks to them. Clones are cheap and share everything; keep one per process.
///
/// ```no_run
/// # async fn example(broker: std::sync::Arc<dyn highwater_broker::Broker>) -> Result<(), Box<dyn std::error::Error>> {
/// use highwater_client::{Client, Delivered};
/// use highwater_protocol::Payload;
///
/// let client = Client::new(broker);
/// let run = client.start_by_name("order", Payload::json("{\"amount\": 5}")).id("order-17").queue("shop").await?;
/// if run.signal("paid", &true).await? == Delivered::Durable {
///     println!("no worker is alive; the signal waits for one");
/// }
/// println!("{:?}", run.result().await?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    inner: Arc<Inner>,
    interceptors: Interceptors,
}

#[derive(Debug)]
struct Inner {
    broker: Arc<dyn Broker>,
    replies: Replies,
}

impl Client {
    /// A client of the namespace that the broker is for. Answers to its requests are read by a task on the async
    /// runtime that sends the first one, so the client is of use as long as that runtime lives.
    pub fn new(broker: Arc<dyn Broker>) -> Self {
        let replies = Replies::new(&*broker);
        Self { inner: Arc::new(Inner { broker, replies }), interceptors: Interceptors::default() }
    }

    /// This client with an interceptor around everything that it asks, within those that it has. Clones made before,
    /// and handles that came from them, are as they were.
    pub fn intercepted(&self, interceptor: impl ClientInterceptor) -> Self {
        Self { inner: Arc::clone(&self.inner), interceptors: self.interceptors.with(Arc::new(interceptor)) }
    }

    /// Starts a workflow: name the item itself, `client.start(order, input)` or `client.start(Order::run, input)`. The
    /// run is on when the builder has been awaited.
    pub fn start<P, I>(&self, workflow: I, input: <I::Workflow as Workflow>::Input) -> Start<I::Workflow>
    where
        I: WorkflowItem<P>,
    {
        drop(workflow);
        Start::new(self.clone(), I::Workflow::NAME.to_owned(), Payload::encode(&input))
    }

    /// Starts a workflow that this program knows by name only.
    pub fn start_by_name(&self, workflow_type: impl Into<String>, input: Payload) -> Start<Untyped> {
        Start::new(self.clone(), workflow_type.into(), Ok(input))
    }

    /// The workflow with this id, whether or not it exists: `client.handle::<order>("order-17")`.
    pub fn handle<W: Returns>(&self, id: impl Into<String>) -> Result<WorkflowHandle<W>, InvalidId> {
        Ok(WorkflowHandle::of(Target::new(self.clone(), WorkflowId::new(id)?, Addressed::Latest, None)))
    }

    /// The workflow with this id, its type told by the item: `client.handle_of(Order::run, "order-17")`.
    pub fn handle_of<P, I>(&self, workflow: I, id: impl Into<String>) -> Result<WorkflowHandle<I::Workflow>, InvalidId>
    where
        I: WorkflowItem<P>,
    {
        drop(workflow);
        self.handle(id)
    }

    /// The workflow with this id, of whatever type.
    pub fn handle_by_name(&self, id: impl Into<String>) -> Result<WorkflowHandle<Untyped>, InvalidId> {
        self.handle(id)
    }

    /// The broker.
    pub fn broker(&self) -> &dyn Broker {
        &*self.inner.broker
    }

    pub(crate) fn interceptors(&self) -> &Interceptors {
        &self.interceptors
    }

    pub(crate) fn replies(&self) -> &Replies {
        &self.inner.replies
    }
}
