//! Cancellation of activities.

use std::future::pending;

use highwater_broker::PlainMessage;
use highwater_protocol::{FailureKind, Headers, task::CancelActivity};
use tokio::sync::mpsc;

use super::*;

/// Writes the request down, as an owner does before it tells the workers.
async fn note(world: &World, task: &ActivityTask) {
    let key = ActivityState::key(task.run, task.call.op);
    let entry = world.broker.kv_get(Bucket::Activities, key.clone()).await.unwrap();
    let revision = entry.as_ref().map_or(0, |entry| entry.revision);
    let mut state: ActivityState = entry.map(|entry| wire::decode(&entry.value).unwrap()).unwrap_or_default();
    state.cancel_requested = true;
    world.broker.kv_put(Bucket::Activities, key, wire::encode(&state), Some(revision)).await.unwrap();
}

async fn tell(world: &World, task: &ActivityTask) {
    let message = PlainMessage {
        subject: world.broker.subjects().cancel_activity(&world.queue),
        reply: None,
        headers: Headers::new(),
        payload: wire::encode(&CancelActivity { run: task.run, op: task.call.op }),
    };
    world.broker.send(message).await.unwrap();
}

/// An activity that waits until it is cancelled, and tells when it began.
fn waits(outcome: Outcome) -> (Script, mpsc::UnboundedReceiver<()>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let script = Script::new().with("wait", move |context: ActivityContext, _| {
        let (sender, outcome) = (sender.clone(), outcome.clone());
        async move {
            sender.send(()).unwrap();
            context.cancelled().await;
            assert!(context.is_cancelled());
            outcome
        }
    });
    (script, receiver)
}

#[tokio::test]
async fn a_cancellation_reaches_a_running_activity() {
    let world = World::new().await;
    let mut reports = world.reports().await;
    let (script, mut began) = waits(failed("undone"));
    let worker = world.worker(script);
    let task = world.call("wait", ActivityOptions::default()).await;
    within(began.recv()).await.unwrap();
    note(&world, &task).await;
    tell(&world, &task).await;
    // The owner takes the task away, whether or not somebody has it.
    let any = world.broker.subjects().task_any(&world.queue, task.run, task.call.op);
    if let Some(message) = world.broker.last_from_leader(Stream::Tasks, any).await.unwrap() {
        world.broker.delete(Stream::Tasks, message.seq).await.unwrap();
    }
    let report = reports.next().await;
    let Outcome::Cancelled(failure) = report.outcome else { panic!("not cancelled: {report:?}") };
    assert_eq!(failure.kind, FailureKind::Cancelled);
    assert_eq!(*failure.cause.unwrap(), Failure::application("undone"));
    until(async || world.state(&task).await.is_none()).await;
    worker.stop().await;
}

#[tokio::test]
async fn a_cancellation_whose_message_was_lost_is_found_in_the_bucket() {
    let world = World::new().await;
    let mut reports = world.reports().await;
    let (script, mut began) = waits(failed("undone"));
    let worker = world.worker(script);
    let task = world.call("wait", ActivityOptions::default()).await;
    within(began.recv()).await.unwrap();
    note(&world, &task).await;
    assert!(matches!(reports.next().await.outcome, Outcome::Cancelled(_)));
    worker.stop().await;
}

#[tokio::test]
async fn an_activity_that_completes_in_spite_of_a_cancellation_is_completed() {
    let world = World::new().await;
    let mut reports = world.reports().await;
    let (script, mut began) = waits(completed("1"));
    let worker = world.worker(script);
    let task = world.call("wait", ActivityOptions::default()).await;
    within(began.recv()).await.unwrap();
    tell(&world, &task).await;
    assert_eq!(reports.next().await.outcome, completed("1"));
    worker.stop().await;
}

#[tokio::test]
async fn an_activity_that_is_cancelled_between_attempts_is_not_tried_again() {
    let world = World::new().await;
    let mut reports = world.reports().await;
    let worker = world.worker(Script::new().with("flaky", async |context: ActivityContext, _| {
        assert_eq!(context.attempt(), 1);
        failed("at 1")
    }));
    let task = world.call("flaky", options(every(Duration::from_secs(2)))).await;
    until(async || world.state(&task).await.is_some()).await;
    note(&world, &task).await;
    let report = reports.next().await;
    let Outcome::Cancelled(failure) = report.outcome else { panic!("not cancelled: {report:?}") };
    assert_eq!(*failure.cause.unwrap(), Failure::application("at 1"));
    until(async || world.state(&task).await.is_none()).await;
    worker.stop().await;
}

#[tokio::test]
async fn a_cancellation_of_another_activity_is_none_of_this_ones() {
    let world = World::new().await;
    let mut reports = world.reports().await;
    let script = Script::new().with("wait", async |context: ActivityContext, _| {
        tokio::select! {
            () = context.cancelled() => failed("cancelled"),
            () = pending() => unreachable!(),
        }
    });
    let worker = world.worker(script);
    let (one, two) =
        (world.call("wait", ActivityOptions::default()).await, world.call("wait", ActivityOptions::default()).await);
    // Until the worker listens and both run, the message may be for nobody.
    let mut first = within(async {
        loop {
            tell(&world, &two).await;
            if let Ok(report) = tokio::time::timeout(Duration::from_millis(50), reports.next()).await {
                break report;
            }
        }
    })
    .await;
    assert_eq!(first.op, two.call.op);
    tell(&world, &one).await;
    first = reports.next().await;
    assert_eq!(first.op, one.call.op);
    worker.stop().await;
}
