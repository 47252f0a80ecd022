//! Workers that end or fall behind, and the tasks they had.

use std::sync::atomic::{AtomicBool, AtomicU32};

use highwater_broker::{BoxFuture, ErrorKind, Schedule};
use tokio::sync::mpsc;

use super::*;

const ACK_WAIT: Duration = Duration::from_secs(1);

/// Beats with 7 and then hangs at its first attempt; completes with the details it finds at later ones.
fn beats_then_hangs() -> Script {
    Script::new().with("beat", async |context: ActivityContext, _| {
        if context.attempt() == 1 {
            context.heartbeat(&7);
            std::future::pending::<()>().await;
        }
        Outcome::Completed(Payload::encode(&context.last_heartbeat::<u32>()).unwrap())
    })
}

#[tokio::test]
async fn heartbeat_details_survive_a_worker_that_dies() {
    let world = World::with_ack_wait(ACK_WAIT).await;
    let mut reports = world.reports().await;
    let set = beats_then_hangs();
    let worker = Worker::start(world.other().await, world.queue.clone(), set, 1, Duration::ZERO);
    let task = world.call("beat", ActivityOptions::default()).await;
    until(async || world.state(&task).await.is_some_and(|state| state.heartbeat.is_some())).await;
    worker.kill().await;

    let set = beats_then_hangs();
    let worker = Worker::start(world.other().await, world.queue.clone(), set, 1, Duration::ZERO);
    assert_eq!(reports.next().await, ActivityReport { op: task.call.op, attempt: 2, outcome: completed("7") });
    worker.stop().await;
}

/// Tells when it begins, and completes when it may.
fn waits_for(go: &CancellationToken) -> (Script, mpsc::UnboundedReceiver<()>) {
    let (began, begins) = mpsc::unbounded_channel();
    let go = go.clone();
    let script = Script::new().with("wait", move |_, _| {
        began.send(()).unwrap();
        let go = go.clone();
        async move {
            go.cancelled().await;
            completed("1")
        }
    });
    (script, begins)
}

#[tokio::test]
async fn an_attempt_whose_runtime_ends_is_one_that_ended_without_a_word() {
    let world = World::with_ack_wait(ACK_WAIT).await;
    let mut reports = world.reports().await;
    let users = tokio::runtime::Runtime::new().unwrap();
    let user = {
        let _users = users.enter();
        UserRuntime::current(None)
    };
    let (set, mut begins) = waits_for(&CancellationToken::new());
    let slots = Arc::new(Semaphore::new(1));
    let worker = Worker::on(user, world.other().await, world.queue.clone(), set, slots, Duration::ZERO);
    world.call("wait", options(RetryPolicy::none())).await;
    within(begins.recv()).await.unwrap();
    users.shutdown_background();
    let (_, failure) = reports.next_failure().await;
    assert!(failure.message.contains("ended without a word"), "{failure}");
    worker.stop().await;
}

#[tokio::test]
async fn a_worker_that_stops_lets_running_attempts_end_and_uses_up_none_of_other_tasks() {
    let world = World::new().await;
    let mut reports = world.reports().await;
    let go = CancellationToken::new();
    let (set, mut begins) = waits_for(&go);
    let worker = Worker::start(world.other().await, world.queue.clone(), set, 2, DEADLINE);
    let task = world.call("wait", ActivityOptions::default()).await;
    within(begins.recv()).await.unwrap();
    worker.stop.cancel();
    // It has one slot left, and the server still holds its call for tasks.
    let later = world.call("wait", options(RetryPolicy::none())).await;
    until(async || world.state(&later).await.is_some_and(|state| state.passed_on == 1)).await;
    go.cancel();
    within(worker.handle).await.unwrap();
    assert_eq!(reports.next().await.op, task.call.op);
    assert!(world.is_forgotten(&task).await && !world.is_forgotten(&later).await);

    let (set, _begins) = waits_for(&go);
    let worker = world.worker(set);
    let report = reports.next().await;
    assert_eq!((report.op, report.attempt, report.outcome), (later.call.op, 1, completed("1")));
    worker.stop().await;
}

#[tokio::test]
async fn an_attempt_that_outlasts_the_grace_period_is_left_to_another_worker_with_its_details() {
    let world = World::with_ack_wait(ACK_WAIT).await;
    let mut reports = world.reports().await;
    let (set, grace) = (beats_then_hangs(), Duration::from_millis(50));
    let worker = Worker::start(world.other().await, world.queue.clone(), set, 1, grace);
    let task = world.call("beat", ActivityOptions::default()).await;
    until(async || world.state(&task).await.is_some()).await;
    let begin = Instant::now();
    worker.stop().await;
    assert!(begin.elapsed() >= grace && begin.elapsed() < Duration::from_secs(5));

    let set = beats_then_hangs();
    let worker = Worker::start(world.other().await, world.queue.clone(), set, 1, Duration::ZERO);
    assert_eq!(reports.next().await, ActivityReport { op: task.call.op, attempt: 2, outcome: completed("7") });
    worker.stop().await;
}

#[tokio::test]
async fn a_worker_that_died_with_the_last_attempt_is_told_as_the_failure() {
    let world = World::with_ack_wait(ACK_WAIT).await;
    let mut reports = world.reports().await;
    let task = world.call("run", options(RetryPolicy::none())).await;
    let other = world.other().await;
    let taken = within(other.take_tasks(world.queue.clone(), 1, DEADLINE)).await.unwrap();
    assert_eq!(taken.len(), 1);
    drop(taken);
    let worker = world.worker(Script::new().with("run", async |_, _| completed("1")));
    let (attempt, failure) = reports.next_failure().await;
    assert_eq!(attempt, 2);
    assert_eq!(failure.message, "the worker that ran attempt 1 of run ended without a word");
    until(|| world.is_forgotten(&task)).await;
    worker.stop().await;
}

#[tokio::test]
async fn an_activity_longer_than_the_ack_wait_runs_once() {
    let world = World::with_ack_wait(ACK_WAIT).await;
    let mut reports = world.reports().await;
    let started = Arc::new(AtomicU32::new(0));
    let count = started.clone();
    let worker = world.worker(Script::new().with("long", move |_, _| {
        count.fetch_add(1, Ordering::Relaxed);
        async {
            tokio::time::sleep(3 * ACK_WAIT).await;
            completed("1")
        }
    }));
    let task = world.call("long", ActivityOptions::default()).await;
    assert_eq!(reports.next().await.attempt, 1);
    until(|| world.is_forgotten(&task)).await;
    assert_eq!(started.load(Ordering::Relaxed), 1);
    worker.stop().await;
}

#[tokio::test]
async fn a_worker_that_died_after_scheduling_the_next_attempt_forks_no_second_chain() {
    let world = World::with_ack_wait(ACK_WAIT).await;
    let mut reports = world.reports().await;
    let task = world.call("run", ActivityOptions::default()).await;
    let other = world.other().await;
    let taken = within(other.take_tasks(world.queue.clone(), 1, DEADLINE)).await.unwrap();
    let subjects = other.subjects();
    let (run, op) = (task.run, task.call.op);
    let later = Publish {
        subject: subjects.task_later(&world.queue, run, op, 2),
        payload: wire::encode(&ActivityTask { attempt: 2, ..task.clone() }),
        schedule: Some(Schedule {
            at: other.server_time().await.unwrap().after(4 * ACK_WAIT),
            target: subjects.task(&world.queue, run, op, 2),
        }),
        ..Publish::default()
    };
    other.publish(later).await.unwrap();
    drop(taken);

    let (sender, mut attempts) = mpsc::unbounded_channel();
    let worker = world.worker(Script::new().with("run", move |context: ActivityContext, _| {
        sender.send(context.attempt()).unwrap();
        async { completed("1") }
    }));
    let first = subjects.task(&world.queue, run, op, 1);
    until(async || world.broker.last_from_leader(Stream::Tasks, first.clone()).await.unwrap().is_none()).await;
    assert!(attempts.try_recv().is_err(), "the first delivery is followed already");
    assert_eq!(reports.next().await.attempt, 2);
    assert_eq!(attempts.try_recv(), Ok(2));
    until(|| world.is_forgotten(&task)).await;
    assert!(attempts.try_recv().is_err());
    worker.stop().await;
}

/// Whose progress does not get through, and what it was asked to tell.
struct Deaf {
    inner: Box<dyn TaskAck>,
    spoke: Arc<AtomicBool>,
}

impl TaskAck for Deaf {
    fn done(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.spoke.store(true, Ordering::Relaxed);
        self.inner.done()
    }

    fn progress(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(std::future::ready(Err(Error::new(ErrorKind::Unavailable, "no connection"))))
    }

    fn retry_after(&self, delay: Duration) -> BoxFuture<'_, Result<(), Error>> {
        self.spoke.store(true, Ordering::Relaxed);
        self.inner.retry_after(delay)
    }
}

/// Runs the next task here, without progress getting through; returns what became of it.
async fn attend_deaf(world: &World, set: Script) -> Arc<AtomicBool> {
    let spoke = Arc::new(AtomicBool::new(false));
    let heard = spoke.clone();
    attend(world, set, |inner| Box::new(Deaf { inner, spoke: heard })).await;
    spoke
}

#[tokio::test]
async fn a_worker_whose_ack_wait_passed_does_not_nak() {
    let world = World::with_ack_wait(ACK_WAIT).await;
    let task = world.call("slow", options(every(Duration::ZERO))).await;
    let slow = Script::new().with("slow", async |_, _| {
        tokio::time::sleep(2 * ACK_WAIT).await;
        failed("late")
    });
    let spoke = attend_deaf(&world, slow).await;
    assert!(!spoke.load(Ordering::Relaxed));
    // The one delivery that follows is the ack wait's.
    let again = within(world.broker.take_tasks(world.queue.clone(), 1, DEADLINE)).await.unwrap();
    assert_eq!(again[0].delivered, 2);
    assert_eq!(world.state(&task).await, None);
}

#[tokio::test]
async fn a_worker_whose_ack_wait_passed_still_reports_its_result() {
    let world = World::with_ack_wait(ACK_WAIT).await;
    let mut reports = world.reports().await;
    let task = world.call("slow", ActivityOptions::default()).await;
    let slow = Script::new().with("slow", async |_, _| {
        tokio::time::sleep(2 * ACK_WAIT).await;
        completed("1")
    });
    let spoke = attend_deaf(&world, slow).await;
    assert_eq!(reports.next().await.outcome, completed("1"));
    assert!(!spoke.load(Ordering::Relaxed));
    assert!(!world.is_forgotten(&task).await);
}
