//! How many activities run at once, and tasks that this worker has no use for.

use std::sync::{Mutex, atomic::AtomicUsize};

use tokio::sync::mpsc;

use super::*;

/// Activities in a row, counted while they run.
#[derive(Clone, Default)]
struct Crowd {
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Crowd {
    fn script(&self) -> Script {
        let crowd = self.clone();
        Script::new().with("work", move |_, _| {
            let crowd = crowd.clone();
            async move {
                let now = crowd.now.fetch_add(1, Ordering::SeqCst) + 1;
                crowd.most.fetch_max(now, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(20)).await;
                crowd.now.fetch_sub(1, Ordering::SeqCst);
                completed("1")
            }
        })
    }
}

#[tokio::test]
async fn no_more_activities_run_at_once_than_there_are_slots() {
    const SLOTS: usize = 3;
    let mut world = World::new().await;
    let mut reports = world.reports().await;
    let (slots, crowd) = (Arc::new(Semaphore::new(SLOTS)), Crowd::default());
    let mut workers = Vec::new();
    // Two queues share the slots.
    for queue in ["one", "two"] {
        world.queue = QueueName::new(queue).unwrap();
        for _ in 0..20 {
            world.call("work", ActivityOptions::default()).await;
        }
        let (broker, queue, slots) = (world.broker.clone(), world.queue.clone(), slots.clone());
        workers.push(Worker::with_slots(broker, queue, crowd.script(), slots, DEADLINE));
    }
    for _ in 0..40 {
        assert_eq!(reports.next().await.attempt, 1);
    }
    assert_eq!(crowd.most.load(Ordering::SeqCst), SLOTS);
    for worker in workers {
        worker.stop().await;
    }
}

#[tokio::test]
async fn a_blocking_activity_that_timed_out_keeps_its_slot_until_it_ends() {
    let world = World::new().await;
    let mut reports = world.reports().await;
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let script = Script::new()
        .with_blocking("block", move || {
            wait.lock().unwrap().recv_timeout(DEADLINE).unwrap();
            completed("1")
        })
        .with("quick", async |_, _| completed("2"));
    let slots = Arc::new(Semaphore::new(1));
    let (broker, queue) = (world.broker.clone(), world.queue.clone());
    let worker = Worker::with_slots(broker, queue, script, slots.clone(), DEADLINE);
    let start_to_close = Some(Duration::from_millis(100));
    world.call("block", ActivityOptions { start_to_close, ..options(RetryPolicy::none()) }).await;
    reports.next_failure().await;
    let quick = world.call("quick", ActivityOptions::default()).await;
    assert_eq!(slots.available_permits(), 0);
    go.send(()).unwrap();
    // What the blocking one returned in the end is not told.
    let report = reports.next().await;
    assert_eq!((report.op, report.outcome), (quick.call.op, completed("2")));
    worker.stop().await;
}

#[tokio::test]
async fn a_task_goes_to_the_worker_that_knows_its_activity_and_no_attempt_is_used_up() {
    let world = World::new().await;
    let mut reports = world.reports().await;
    let ignorant = world.worker(Script::new().with("other", async |_, _| completed("0")));
    let task = world.call("work", options(RetryPolicy::none())).await;
    until(async || world.state(&task).await.is_some_and(|state| state.passed_on == 1)).await;
    let set = Crowd::default().script();
    let worker = Worker::start(world.other().await, world.queue.clone(), set, 1, DEADLINE);
    assert_eq!(reports.next().await, ActivityReport { op: task.call.op, attempt: 1, outcome: completed("1") });
    until(async || world.state(&task).await.is_none()).await;
    ignorant.stop().await;
    worker.stop().await;
}

#[tokio::test]
async fn a_task_that_finds_no_free_slot_goes_to_another_worker_and_no_attempt_is_used_up() {
    let mut world = World::new().await;
    let mut reports = world.reports().await;
    let (began, mut begins) = mpsc::unbounded_channel();
    let go = CancellationToken::new();
    let hold = || {
        let (began, go) = (began.clone(), go.clone());
        Script::new().with("hold", move |_, _| {
            began.send(()).unwrap();
            let go = go.clone();
            async move {
                go.cancelled().await;
                completed("1")
            }
        })
    };
    let slots = Arc::new(Semaphore::new(1));
    let (one, two) = (QueueName::new("one").unwrap(), QueueName::new("two").unwrap());
    let workers = [&one, &two]
        .map(|queue| Worker::with_slots(world.broker.clone(), queue.clone(), hold(), slots.clone(), DEADLINE));
    // Both wait for tasks with the same free slot.
    let mut tasks = Vec::new();
    for queue in [&one, &two] {
        world.queue = queue.clone();
        tasks.push(world.task("hold", options(RetryPolicy::none())).await);
    }
    for task in &tasks {
        world.queue = task.call.queue.clone();
        world.publish(task).await;
    }
    within(begins.recv()).await.unwrap();
    let other = world.other().await;
    let helpers = [&one, &two].map(|queue| Worker::start(other.clone(), queue.clone(), hold(), 1, DEADLINE));
    within(begins.recv()).await.unwrap();
    go.cancel();
    for _ in 0..2 {
        assert_eq!(reports.next().await.attempt, 1);
    }
    for worker in workers.into_iter().chain(helpers) {
        worker.stop().await;
    }
}
