//! How one attempt ends.

use highwater_core::activity::ActivityInfo;
use highwater_protocol::{FailureKind, subject::EngineVerb};
use tokio::sync::mpsc;

use super::*;

#[tokio::test]
async fn a_completed_activity_is_reported_and_forgotten() {
    let world = World::new().await;
    let mut reports = world.reports().await;
    let worker = world.worker(Script::new().with("double", async |_, input: Payload| {
        Outcome::Completed(Payload::encode(&(2 * input.decode::<u32>().unwrap())).unwrap())
    }));
    let task = world.call("double", ActivityOptions::default()).await;
    let message = within(reports.next_message()).await;
    let subjects = world.broker.subjects();
    assert_eq!(
        message.subject,
        subjects.inbox_engine(EngineVerb::Activity, &task.run_queue, task.run, &task.workflow_id.to_key())
    );
    let report: ActivityReport = wire::decode(&message.payload).unwrap();
    assert_eq!(report, ActivityReport { op: task.call.op, attempt: 1, outcome: completed("10") });
    until(|| world.is_forgotten(&task)).await;
    assert_eq!(world.state(&task).await, None, "the bucket is not written on the happy path");
    worker.stop().await;
}

#[tokio::test]
async fn the_context_tells_all_facts_of_the_attempt() {
    let world = World::new().await;
    let mut reports = world.reports().await;
    let (sender, mut receiver) = mpsc::unbounded_channel::<ActivityInfo>();
    let worker = world.worker(Script::new().with("look", move |context, _| {
        sender.send(context.info().clone()).unwrap();
        async { completed("null") }
    }));
    let heartbeat = Some(Duration::from_secs(7));
    let task = world.call("look", ActivityOptions { heartbeat, ..ActivityOptions::default() }).await;
    reports.next().await;
    let info = within(receiver.recv()).await.unwrap();
    assert_eq!((info.run, info.op, info.attempt), (task.run, task.call.op, 1));
    assert_eq!((info.workflow_id, info.workflow_type), (task.workflow_id.clone(), task.workflow_type.clone()));
    assert_eq!((info.scheduled_at, info.idempotency_key), (task.scheduled_at, task.idempotency_key()));
    assert_eq!((info.heartbeat_timeout, info.last_heartbeat, info.last_failure), (heartbeat, None, None));
    worker.stop().await;
}

#[tokio::test]
async fn an_error_that_is_not_retryable_fails_at_once() {
    let world = World::new().await;
    let mut reports = world.reports().await;
    let failure = Failure::new(FailureKind::Application { non_retryable: true }, "declined");
    let returned = failure.clone();
    let worker = world.worker(Script::new().with("charge", move |_, _| {
        let failure = returned.clone();
        async { Outcome::Failed(failure) }
    }));
    let task = world.call("charge", ActivityOptions::default()).await;
    assert_eq!(reports.next_failure().await, (1, failure));
    until(|| world.is_forgotten(&task)).await;
    worker.stop().await;
}

#[tokio::test]
async fn a_panic_is_a_failure_with_its_message_and_place() {
    let world = World::new().await;
    let mut reports = world.reports().await;
    let script = Script::new()
        .with("late", async |_, _| {
            tokio::task::yield_now().await;
            panic!("bang {}", 5)
        })
        .with_blocking("blocking", || panic!("boom"));
    let worker = world.worker(script);
    for (name, text) in [("late", "bang 5 (at "), ("blocking", "boom (at ")] {
        world.call(name, options(RetryPolicy::none())).await;
        let (_, failure) = reports.next_failure().await;
        assert_eq!(failure.kind, FailureKind::Panic);
        assert!(failure.message.starts_with(text) && failure.message.contains("outcomes.rs:"), "{failure}");
    }
    worker.stop().await;
}

#[tokio::test]
async fn a_result_that_is_too_large_is_a_failure_that_says_so() {
    let world = World::new().await;
    let mut reports = world.reports().await;
    let large = world.broker.payload_max();
    let worker = world.worker(
        Script::new().with("dump", move |_, _| async move { Outcome::Completed(Payload::json(vec![b' '; large])) }),
    );
    world.call("dump", ActivityOptions::default()).await;
    let (attempt, failure) = reports.next_failure().await;
    assert_eq!((attempt, failure.kind), (1, FailureKind::TooLarge));
    assert!(failure.message.contains("dump") && failure.message.contains("limit"), "{}", failure.message);
    worker.stop().await;
}

#[tokio::test]
async fn a_blocking_activity_does_not_block_the_runtime() {
    let world = World::new().await;
    let mut reports = world.reports().await;
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = Arc::new(std::sync::Mutex::new(wait));
    let script = Script::new()
        .with_blocking("block", move || {
            wait.lock().unwrap().recv_timeout(DEADLINE).unwrap();
            completed("1")
        })
        .with("quick", async |_, _| completed("2"));
    let worker = world.worker(script);
    world.call("block", ActivityOptions::default()).await;
    world.call("quick", ActivityOptions::default()).await;
    // This test's runtime has one thread, which the blocking activity would hold.
    assert_eq!(reports.next().await.outcome, completed("2"));
    go.send(()).unwrap();
    assert_eq!(reports.next().await.outcome, completed("1"));
    worker.stop().await;
}
