//! Activity workers on a real server. Tasks are published by hand as an owner would, and reports read from the inbox.

mod cancelling;
mod lost;
mod outcomes;
mod retries;
mod settled;
mod slots;
mod timeouts;
mod unread;

use std::{
    collections::HashMap,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use highwater_broker::{
    BoxStream, Broker, Bucket, Delivered, Error, Message, Publish, Stream, TaskAck,
    nats::{ConnectOptions, NatsConnection},
};
use highwater_core::activity::{ActivityContext, ActivityName, ActivitySet, Work};
use highwater_devserver::DevServer;
use highwater_protocol::{
    Failure, Namespace, OpId, Payload, QueueName, RetryPolicy, RunId, TypeName, WorkflowId,
    event::{ActivityOptions, ActivityScheduled, Outcome},
    namespace::Settings,
    task::{ActivityReport, ActivityState, ActivityTask},
    wire,
};
use tokio::{sync::Semaphore, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{ActivityCatalog, ActivityHost, ActivityWorker, attempt::Delivery, lease::Lease};
use crate::user::UserRuntime;

/// How long anything may take before the test fails.
const DEADLINE: Duration = Duration::from_secs(30);

/// Waits with a deadline.
#[track_caller]
fn within<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let caller = std::panic::Location::caller();
    async move {
        let output = tokio::time::timeout(DEADLINE, future).await;
        output.unwrap_or_else(|_| panic!("nothing within {DEADLINE:?}, awaited at {caller}"))
    }
}

/// Waits until a condition holds.
#[track_caller]
fn until<F: Future<Output = bool>>(mut condition: impl FnMut() -> F) -> impl Future<Output = ()> {
    within(async move {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
}

/// A server with a namespace.
struct World {
    server: DevServer,
    broker: Arc<dyn Broker>,
    queue: QueueName,
    ack_wait: Duration,
    next_op: AtomicU64,
    run: RunId,
}

impl World {
    async fn new() -> Self {
        Self::with_ack_wait(ConnectOptions::TASK_ACK_WAIT).await
    }

    async fn with_ack_wait(ack_wait: Duration) -> Self {
        let server = DevServer::builder().start().await.unwrap();
        let connection = connect(&server, ack_wait).await;
        let broker = connection.create_namespace(&shop(), Settings::default()).await.unwrap();
        let (broker, queue) = (Arc::new(broker), QueueName::new("main").unwrap());
        Self { server, broker, queue, ack_wait, next_op: AtomicU64::new(1), run: RunId::generate() }
    }

    /// Another process.
    async fn other(&self) -> Arc<dyn Broker> {
        Arc::new(connect(&self.server, self.ack_wait).await.open_namespace(&shop()).await.unwrap())
    }

    async fn task(&self, name: &str, options: ActivityOptions) -> ActivityTask {
        let call = ActivityScheduled {
            op: OpId(self.next_op.fetch_add(1, Ordering::Relaxed)),
            name: TypeName::new(name).unwrap(),
            queue: self.queue.clone(),
            input: Payload::json("5"),
            options,
            headers: highwater_protocol::Payloads::default(),
        };
        ActivityTask {
            workflow_id: WorkflowId::new("order-1").unwrap(),
            workflow_type: TypeName::new("order").unwrap(),
            run: self.run,
            run_queue: self.queue.clone(),
            call,
            attempt: 1,
            scheduled_at: self.broker.server_time().await.unwrap(),
            trace: None,
            headers: highwater_protocol::Payloads::default(),
        }
    }

    async fn publish(&self, task: &ActivityTask) {
        let subject = self.broker.subjects().task(&self.queue, task.run, task.call.op, task.attempt);
        let message = Publish { subject, payload: wire::encode(task), expect_last: Some(0), ..Publish::default() };
        self.broker.publish(message).await.unwrap();
    }

    /// Calls an activity as an owner does.
    async fn call(&self, name: &str, options: ActivityOptions) -> ActivityTask {
        let task = self.task(name, options).await;
        self.publish(&task).await;
        task
    }

    async fn reports(&self) -> Reports {
        let subjects = vec![self.broker.subjects().inbox_all()];
        Reports { messages: self.broker.read(Stream::Inbox, subjects, 1).await.unwrap() }
    }

    async fn state(&self, task: &ActivityTask) -> Option<ActivityState> {
        let key = ActivityState::key(task.run, task.call.op);
        let entry = self.broker.kv_get(Bucket::Activities, key).await.unwrap()?;
        Some(wire::decode(&entry.value).unwrap())
    }

    /// Whether the server has neither a task nor a schedule of this activity any more.
    async fn is_forgotten(&self, task: &ActivityTask) -> bool {
        let any = self.broker.subjects().task_any(&self.queue, task.run, task.call.op);
        self.broker.last_from_leader(Stream::Tasks, any).await.unwrap().is_none()
    }

    fn worker(&self, set: Script) -> Worker {
        Worker::start(self.broker.clone(), self.queue.clone(), set, 16, Duration::from_secs(10))
    }
}

/// Runs the next task of a queue here, and tells the server of it as `ack` has it.
async fn attend(world: &World, set: Script, ack: impl FnOnce(Box<dyn TaskAck>) -> Box<dyn TaskAck>) {
    let broker = world.broker.clone();
    let catalog = Arc::new(ActivityCatalog::new(vec![Arc::new(set)]).unwrap());
    let user = UserRuntime::current(None);
    let host = ActivityHost::new(broker.clone(), user, world.queue.clone(), catalog, CancellationToken::new());
    let task = within(broker.take_tasks(world.queue.clone(), 1, DEADLINE)).await.unwrap().remove(0);
    host.observe(task.message.time);
    let lease = Lease::new(ack(task.ack), broker.task_ack_wait());
    let slot = Arc::new(Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap());
    within(Delivery { message: task.message, delivered: task.delivered, lease }.attend(&host, slot)).await;
}

async fn connect(server: &DevServer, ack_wait: Duration) -> NatsConnection {
    NatsConnection::connect(ConnectOptions::new(server.url()).task_ack_wait(ack_wait)).await.unwrap()
}

fn shop() -> Namespace {
    Namespace::new("shop").unwrap()
}

/// The reports that runs get.
struct Reports {
    messages: BoxStream<Result<Delivered, Error>>,
}

impl Reports {
    #[track_caller]
    fn next(&mut self) -> impl Future<Output = ActivityReport> {
        let next = within(self.next_message());
        async move { wire::decode(&next.await.payload).unwrap() }
    }

    async fn next_message(&mut self) -> Message {
        loop {
            match self.messages.next().await {
                Some(Ok(Delivered::Message(message))) => return message,
                Some(Ok(Delivered::CaughtUp)) => {}
                other => panic!("not a message: {other:?}"),
            }
        }
    }

    #[track_caller]
    fn next_failure(&mut self) -> impl Future<Output = (u32, Failure)> {
        let next = self.next();
        async move {
            let report = next.await;
            match report.outcome {
                Outcome::Failed(failure) => (report.attempt, failure),
                other => panic!("not a failure: {other:?}"),
            }
        }
    }
}

/// A worker that runs.
struct Worker {
    stop: CancellationToken,
    handle: JoinHandle<()>,
}

impl Worker {
    fn start(broker: Arc<dyn Broker>, queue: QueueName, set: Script, slots: usize, grace: Duration) -> Self {
        Self::with_slots(broker, queue, set, Arc::new(Semaphore::new(slots)), grace)
    }

    fn with_slots(
        broker: Arc<dyn Broker>,
        queue: QueueName,
        set: Script,
        slots: Arc<Semaphore>,
        grace: Duration,
    ) -> Self {
        Self::on(UserRuntime::current(None), broker, queue, set, slots, grace)
    }

    /// One whose code runs elsewhere.
    fn on(
        user: Arc<UserRuntime>,
        broker: Arc<dyn Broker>,
        queue: QueueName,
        set: Script,
        slots: Arc<Semaphore>,
        grace: Duration,
    ) -> Self {
        let stop = CancellationToken::new();
        let catalog = Arc::new(ActivityCatalog::new(vec![Arc::new(set)]).unwrap());
        let host = ActivityHost::new(broker, user, queue, catalog, stop.clone());
        let worker = ActivityWorker::new(host, slots, grace);
        Self { handle: tokio::spawn(worker.run()), stop }
    }

    async fn stop(self) {
        self.stop.cancel();
        within(self.handle).await.unwrap();
    }

    /// As a crash would.
    async fn kill(self) {
        self.handle.abort();
        within(self.handle).await.unwrap_err();
    }
}

type Begin = Box<dyn Fn(ActivityContext, Payload) -> Work + Send + Sync>;

/// Activities for one test.
#[derive(Default)]
struct Script {
    activities: HashMap<&'static str, Begin>,
}

impl Script {
    fn new() -> Self {
        Self::default()
    }

    fn with<F>(
        mut self,
        name: &'static str,
        code: impl Fn(ActivityContext, Payload) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        self.activities.insert(name, Box::new(move |context, input| Work::Async(Box::pin(code(context, input)))));
        self
    }

    fn with_blocking(mut self, name: &'static str, code: impl Fn() -> Outcome + Clone + Send + Sync + 'static) -> Self {
        self.activities.insert(name, Box::new(move |_, _| Work::Blocking(Box::new(code.clone()))));
        self
    }
}

impl ActivitySet for Script {
    fn activities(&self) -> Vec<ActivityName> {
        self.activities.keys().map(|name| ActivityName { name, function: name }).collect()
    }

    fn dispatch(self: Arc<Self>, name: &str, context: &ActivityContext, input: &Payload) -> Option<Work> {
        Some(self.activities.get(name)?(context.clone(), input.clone()))
    }
}

fn completed(json: &'static str) -> Outcome {
    Outcome::Completed(Payload::json(json))
}

fn failed(text: &str) -> Outcome {
    Outcome::Failed(Failure::application(text))
}

/// Retries after this delay, always the same.
fn every(delay: Duration) -> RetryPolicy {
    RetryPolicy { initial_interval: delay, backoff_coefficient: 1.0, jitter: 0.0, ..RetryPolicy::default() }
}

fn options(retry: RetryPolicy) -> ActivityOptions {
    ActivityOptions { retry, ..ActivityOptions::default() }
}
