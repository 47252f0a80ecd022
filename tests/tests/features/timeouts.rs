//! The four timeouts of an activity, and that of a run.

use std::time::Duration;

use anyhow::Result;
use highwater::{FreeActivities, RetryPolicy, TimeoutKind, client::ResultError, prelude::*};
use highwater_tests::{
    deadline::within,
    space::{self, Running},
};
use serde::{Deserialize, Serialize};

use crate::SERVER;

const SHORT: Duration = Duration::from_millis(300);

/// Never ends by itself, and says nothing.
#[activity(retry(maximum_attempts = 1))]
async fn hang((): ()) -> Result<(), String> {
    std::future::pending().await
}

#[activity]
async fn fail((): ()) -> Result<(), String> {
    Err("no luck".into())
}

/// Says what the caller sees when there is no time for another attempt.
#[workflow]
async fn unlucky(ctx: Ctx, (): ()) -> Result<String, Exit> {
    // However busy the machine, the attempt ends long before the timeout, and the wait for the next one long after it.
    let seldom = RetryPolicy {
        initial_interval: Duration::from_mins(10),
        maximum_interval: Duration::from_mins(10),
        ..RetryPolicy::default()
    };
    let outcome = ctx.run(fail, ()).schedule_to_close(Duration::from_mins(5)).retry(seldom).await;
    Ok(format!("{outcome:?}"))
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Case {
    StartToClose,
    Heartbeat,
    ScheduleToStart,
    ScheduleToClose,
    ScheduleToCloseWithoutWorker,
}

#[workflow]
async fn timed(ctx: Ctx, case: Case) -> Result<(TimeoutKind, String), Exit> {
    let outcome = match case {
        Case::StartToClose => ctx.run(hang, ()).start_to_close(SHORT).await,
        Case::Heartbeat => ctx.run(hang, ()).heartbeat(SHORT).await,
        Case::ScheduleToStart => ctx.run(hang, ()).queue("nobody").schedule_to_start(SHORT).await,
        Case::ScheduleToClose => ctx.run(hang, ()).schedule_to_close(SHORT).await,
        Case::ScheduleToCloseWithoutWorker => ctx.run(hang, ()).queue("nobody").schedule_to_close(SHORT).await,
    };
    match outcome {
        Err(CallError::TimedOut(kind, failure)) => Ok((kind, failure.to_string())),
        other => Err(format!("{case:?}: {other:?}").into()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_timeout_of_an_activity_ends_the_call_and_says_which_it_was() -> Result<()> {
    let highwater = space::open(&SERVER, "timeouts").await;
    let worker = highwater.worker().workflow(timed).workflow(unlucky);
    let worker = Running::spawn(worker.activities(FreeActivities::new().with(hang).with(fail)).build()?);
    let cases = [
        (Case::StartToClose, TimeoutKind::StartToClose, "hang"),
        (Case::Heartbeat, TimeoutKind::Heartbeat, "hang"),
        (Case::ScheduleToStart, TimeoutKind::ScheduleToStart, "no worker of queue nobody took activity hang in time"),
        (Case::ScheduleToClose, TimeoutKind::ScheduleToClose, "hang"),
        (Case::ScheduleToCloseWithoutWorker, TimeoutKind::ScheduleToClose, "hang"),
    ];
    let mut runs = Vec::new();
    for (case, kind, told) in cases {
        runs.push((case, kind, told, highwater.client().start(timed, case).await?));
    }
    for (case, kind, told, run) in runs {
        let (found, text) = within("the result", run.result()).await?;
        assert_eq!(found, kind, "{case:?}: {text}");
        assert!(text.contains(told), "{case:?}: {text}");
    }
    // Attempts end before the timeout when there is no time for another one, and then their own error tells more.
    let run = highwater.client().start(unlucky, ()).await?;
    assert_eq!(within("the result", run.result()).await?, "Err(Failed(\"no luck\"))");
    worker.stop().await;
    Ok(())
}

/// Waits for what never comes.
#[workflow]
pub(crate) async fn endless(ctx: Ctx, (): ()) -> Result<(), Exit> {
    ctx.signals::<()>("never").recv().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_timeout_ends_the_run_with_a_worker_and_without() -> Result<()> {
    let highwater = space::open(&SERVER, "run-timeout").await;
    let worker = Running::spawn(highwater.worker().workflow(endless).build()?);
    let run = highwater.client().start(endless, ()).run_timeout(SHORT).await?;
    let error = within("the result", run.result()).await.expect_err("it times out");
    assert!(matches!(error, ResultError::TimedOut), "{error:?}");
    assert_eq!(run.describe().await?.progress.to_string(), "timed-out");
    let away = highwater.client().start(endless, ()).run_timeout(Duration::from_secs(1)).await?;
    worker.stop().await;
    // It is due while nobody is there, and the next worker hears of it.
    let worker = Running::spawn(highwater.worker().workflow(endless).build()?);
    let error = within("the result", away.result()).await.expect_err("it times out");
    assert!(matches!(error, ResultError::TimedOut), "{error:?}");
    worker.stop().await;
    Ok(())
}
