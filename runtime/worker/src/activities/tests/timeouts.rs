//! Timeouts.

use std::future::pending;

use highwater_protocol::{FailureKind, TimeoutKind, task::StartDecision};

use super::*;

fn hangs() -> Script {
    Script::new().with("hang", async |_, _| pending().await)
}

fn once() -> ActivityOptions {
    options(RetryPolicy::none())
}

const SHORT: Option<Duration> = Some(Duration::from_millis(300));

#[tokio::test]
async fn an_attempt_that_hangs_times_out() {
    let world = World::new().await;
    let mut reports = world.reports().await;
    let worker = world.worker(hangs());
    let cases = [
        (ActivityOptions { start_to_close: SHORT, ..once() }, TimeoutKind::StartToClose),
        (ActivityOptions { heartbeat: SHORT, ..once() }, TimeoutKind::Heartbeat),
        (ActivityOptions { schedule_to_close: SHORT, ..ActivityOptions::default() }, TimeoutKind::ScheduleToClose),
    ];
    for (options, kind) in cases {
        let begin = Instant::now();
        world.call("hang", options).await;
        let (attempt, failure) = reports.next_failure().await;
        assert_eq!((attempt, failure.kind), (1, FailureKind::Timeout(kind)));
        // Schedule-to-close began when the task was made, a moment before.
        assert!(begin.elapsed() >= Duration::from_millis(250), "{kind} after {:?}", begin.elapsed());
    }
    worker.stop().await;
}

#[tokio::test]
async fn an_attempt_that_timed_out_is_followed_by_another() {
    let world = World::new().await;
    let mut reports = world.reports().await;
    let worker = world.worker(Script::new().with("hang", async |context: ActivityContext, _| {
        if context.attempt() == 1 {
            pending::<()>().await;
        }
        completed("1")
    }));
    world.call("hang", ActivityOptions { start_to_close: SHORT, ..options(every(Duration::ZERO)) }).await;
    assert_eq!(reports.next().await.attempt, 2);
    worker.stop().await;
}

#[tokio::test]
async fn heartbeats_keep_an_attempt_alive() {
    let world = World::new().await;
    let mut reports = world.reports().await;
    let worker = world.worker(Script::new().with("beat", async |context: ActivityContext, _| {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(1_500) {
            context.heartbeat(&begin.elapsed().as_millis());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        completed("1")
    }));
    let task = world.call("beat", ActivityOptions { heartbeat: Some(Duration::from_millis(500)), ..once() }).await;
    assert_eq!(reports.next().await.outcome, completed("1"));
    until(async || world.state(&task).await.is_none()).await;
    worker.stop().await;
}

#[tokio::test]
async fn the_last_heartbeat_before_a_failure_reaches_the_next_attempt() {
    let world = World::new().await;
    let mut reports = world.reports().await;
    let worker = world.worker(Script::new().with("beat", async |context: ActivityContext, _| {
        if context.attempt() == 2 {
            return Outcome::Completed(Payload::encode(&context.last_heartbeat::<u32>()).unwrap());
        }
        for n in 1..=5u32 {
            context.heartbeat(&n);
            tokio::task::yield_now().await;
        }
        failed("at 5")
    }));
    world.call("beat", options(every(Duration::ZERO))).await;
    assert_eq!(reports.next().await.outcome, completed("5"));
    worker.stop().await;
}

#[tokio::test]
async fn a_task_past_its_schedule_to_close_is_not_started() {
    let world = World::new().await;
    let mut reports = world.reports().await;
    let limits = ActivityOptions { schedule_to_close: SHORT, ..ActivityOptions::default() };
    let task = world.call("run", limits).await;
    let due = task.scheduled_at.after(Duration::from_millis(400));
    until(async || world.broker.server_time().await.unwrap() > due).await;
    let worker = world.worker(Script::new().with("run", async |_, _| completed("1")));
    let (_, failure) = reports.next_failure().await;
    assert_eq!(failure.kind, FailureKind::Timeout(TimeoutKind::ScheduleToClose));
    worker.stop().await;
}

#[tokio::test]
async fn a_start_in_time_is_written_down_for_the_owner() {
    let world = World::new().await;
    let mut reports = world.reports().await;
    let worker =
        world.worker(Script::new().with(
            "run",
            async |context: ActivityContext, _| {
                if context.attempt() == 1 { failed("at 1") } else { completed("1") }
            },
        ));
    let schedule_to_start = Some(Duration::from_secs(5));
    let limits = ActivityOptions { schedule_to_start, ..options(every(Duration::ZERO)) };
    let task = world.call("run", limits).await;
    assert_eq!(reports.next().await.outcome, completed("1"));
    // The owner's timer may yet fire before it reads the outcome. Nothing else is kept.
    let start = Some(StartDecision::Started);
    let kept = ActivityState { attempt: 2, start, ..ActivityState::default() };
    until(async || world.state(&task).await.as_ref() == Some(&kept)).await;
    worker.stop().await;
}

#[tokio::test]
async fn a_task_whose_schedule_to_start_timed_out_is_dropped() {
    let world = World::new().await;
    let mut reports = world.reports().await;
    let limits = ActivityOptions { schedule_to_start: Some(Duration::from_secs(1)), ..ActivityOptions::default() };
    let task = world.task("run", limits).await;
    let state = ActivityState { start: Some(StartDecision::TimedOut), ..ActivityState::default() };
    let key = ActivityState::key(task.run, task.call.op);
    world.broker.kv_put(Bucket::Activities, key, wire::encode(&state), Some(0)).await.unwrap();
    world.publish(&task).await;
    let worker = world.worker(Script::new().with("run", async |_, _| completed("1")));
    until(|| world.is_forgotten(&task)).await;
    // Had it been started, its report would come before this one.
    let other = world.call("run", ActivityOptions::default()).await;
    assert_eq!(reports.next().await.op, other.call.op);
    worker.stop().await;
}
