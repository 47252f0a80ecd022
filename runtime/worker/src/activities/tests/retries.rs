//! Failed attempts and what follows.

use std::sync::Mutex;

use highwater_core::activity::ActivityInfo;

use super::*;

/// When each attempt started and what it knew.
type Log = Arc<Mutex<Vec<(Instant, ActivityInfo)>>>;

/// An activity that succeeds at this attempt.
fn succeeds_at(attempt: u32, log: &Log) -> Script {
    let log = log.clone();
    Script::new().with("flaky", move |context, _| {
        log.lock().unwrap().push((Instant::now(), context.info().clone()));
        async move {
            if context.attempt() < attempt { failed(&format!("not at {}", context.attempt())) } else { completed("1") }
        }
    })
}

#[tokio::test]
async fn an_activity_that_fails_four_times_succeeds_at_its_fifth_attempt_with_the_delays_of_its_policy() {
    let world = World::new().await;
    let mut reports = world.reports().await;
    let log = Log::default();
    let worker = world.worker(succeeds_at(5, &log));
    let retry = RetryPolicy { initial_interval: Duration::from_millis(200), jitter: 0.0, ..RetryPolicy::default() };
    let task = world.call("flaky", options(retry)).await;
    assert_eq!(reports.next().await, ActivityReport { op: task.call.op, attempt: 5, outcome: completed("1") });
    until(async || world.state(&task).await.is_none()).await;
    worker.stop().await;

    let log = log.lock().unwrap();
    assert_eq!(log.iter().map(|(_, info)| info.attempt).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    for (n, pair) in log.windows(2).enumerate() {
        let wanted = Duration::from_millis(200) * 2u32.pow(n as u32);
        let found = pair[1].0 - pair[0].0;
        assert!(found > wanted / 2 && found < wanted * 3 / 2, "delay {n} was {found:?}, wanted {wanted:?}");
        let last = pair[1].1.last_failure.as_ref().unwrap();
        assert_eq!(last.message, format!("not at {}", n + 1));
    }
}

#[tokio::test]
async fn the_last_failure_is_reported_when_there_are_no_more_attempts() {
    let world = World::new().await;
    let mut reports = world.reports().await;
    let worker = world.worker(succeeds_at(9, &Log::default()));
    let retry = RetryPolicy { maximum_attempts: 3, ..every(Duration::from_millis(10)) };
    let task = world.call("flaky", options(retry)).await;
    assert_eq!(reports.next_failure().await, (3, Failure::application("not at 3")));
    until(|| world.is_forgotten(&task)).await;
    until(async || world.state(&task).await.is_none()).await;
    worker.stop().await;
}

#[tokio::test]
async fn a_long_delay_is_a_schedule_that_outlives_the_worker() {
    let world = World::new().await;
    let mut reports = world.reports().await;
    let log = Log::default();
    let worker = world.worker(succeeds_at(2, &log));
    let delay = Duration::from_millis(5_500);
    let task = world.call("flaky", options(every(delay))).await;
    // Nothing but the schedule is left, and nobody runs.
    let subjects = world.broker.subjects();
    let (run, op) = (task.run, task.call.op);
    let (first, later) = (subjects.task(&world.queue, run, op, 1), subjects.task_later(&world.queue, run, op, 2));
    until(async || {
        let first = world.broker.last_from_leader(Stream::Tasks, first.clone()).await.unwrap();
        let later = world.broker.last_from_leader(Stream::Tasks, later.clone()).await.unwrap();
        first.is_none() && later.is_some()
    })
    .await;
    worker.stop().await;

    let worker = world.worker(succeeds_at(2, &log));
    assert_eq!(reports.next().await, ActivityReport { op, attempt: 2, outcome: completed("1") });
    worker.stop().await;
    let log = log.lock().unwrap();
    assert!(log[1].0 - log[0].0 + Duration::from_millis(50) >= delay, "{:?}", log[1].0 - log[0].0);
    assert_eq!(log[1].1.last_failure, Some(Failure::application("not at 1")));
}

#[tokio::test]
async fn a_retry_that_would_come_after_schedule_to_close_is_not_waited_for() {
    let world = World::new().await;
    let mut reports = world.reports().await;
    let worker = world.worker(succeeds_at(2, &Log::default()));
    let limits =
        ActivityOptions { schedule_to_close: Some(Duration::from_secs(3)), ..options(every(Duration::from_secs(4))) };
    world.call("flaky", limits).await;
    assert_eq!(reports.next_failure().await, (1, Failure::application("not at 1")));
    worker.stop().await;
}
