//! Looking at a run from outside.

use std::time::Duration;

use anyhow::Result;
use highwater::{FreeActivities, client::DescribeError, prelude::*};
use highwater_tests::{
    deadline::{until, within},
    space::{self, Running},
};

use crate::SERVER;

#[activity(start_to_close = "1m")]
async fn linger(cx: &ActivityContext, (): ()) -> Result<(), String> {
    cx.cancelled().await;
    Ok(())
}

#[workflow]
async fn busy(ctx: Ctx, seconds: u64) -> Result<u32, Exit> {
    let lingering = ctx.run(linger, ()).into_future();
    let sleeping = ctx.sleep(Duration::from_secs(seconds));
    let number = ctx.step("number", |_| async { Ok::<u32, String>(1) }).await?;
    ctx.signals::<()>("go").recv().await?;
    drop((lingering, sleeping));
    Ok(number)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_description_and_the_history_tell_all_about_a_run() -> Result<()> {
    let highwater = space::open(&SERVER, "looking").await;
    let worker = highwater.worker().workflow(busy).name("the only one");
    let worker = Running::spawn(worker.activities(FreeActivities::new().with(linger)).build()?);
    let run = highwater.client().start(busy, 3600).id("busy").await?;
    let describe = async || run.describe().await;
    let stepped = |d: &Result<_, _>| d.as_ref().is_ok_and(|d: &highwater::client::Description| d.events >= 4);
    let described = until("the step is on record", describe, stepped).await?;
    assert_eq!(
        (described.id.as_str(), described.workflow_type.as_str(), described.queue.as_str()),
        ("busy", "busy", "default")
    );
    assert_eq!((described.run, described.progress.to_string().as_str()), (run.run_id(), "running"));
    assert_eq!(described.pending_activities.len(), 1);
    assert_eq!(described.pending_activities[0].name.as_str(), "linger");
    assert_eq!(described.pending_timers.len(), 1);
    assert!(described.pending_timers[0].fire_at > described.started_at);
    assert!(described.blocked.is_none() && described.failure.is_none() && described.closed_at.is_none());
    assert!(described.history_bytes > 0);
    let workers: Vec<_> = described.workers.iter().map(|w| (w.name.as_str(), w.knows_type)).collect();
    assert_eq!(workers, [("the only one", true)]);

    run.signal("go", &()).await?;
    assert_eq!(within("the result", run.result()).await?, 1);
    let described = run.describe().await?;
    assert_eq!(described.progress.to_string(), "completed");
    assert!(described.pending_activities.is_empty() && described.pending_timers.is_empty());
    assert!(described.closed_at >= Some(described.started_at));
    let history = run.history().await?;
    let names: Vec<_> = history.iter().map(|event| event.event.name()).collect();
    let expected = [
        "Started",
        "ActivityScheduled",
        "TimerStarted",
        "StepCompleted",
        "Signaled",
        "ActivityCancelRequested",
        "TimerCancelled",
        "Completed",
    ];
    assert_eq!(names, expected);
    let numbers: Vec<_> = history.iter().map(|event| event.number).collect();
    assert_eq!(numbers, (1..=8).collect::<Vec<_>>());
    assert!(history.is_sorted_by_key(|event| event.time));

    let nobody = highwater.client().handle_of(busy, "nobody")?;
    let error = nobody.describe().await.expect_err("there is none");
    assert!(matches!(error, DescribeError::NotFound { .. }), "{error:?}");
    worker.stop().await;
    Ok(())
}
