//! Runs that are tried again, the time that all of them have, and what they carry along.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::Result;
use highwater::{Payload, RetryPolicy, client::ResultError, prelude::*};
use highwater_broker::Broker;
use highwater_protocol::event::AttributeValue;
use highwater_tests::{
    deadline::within,
    space::{self, Running},
};

use crate::{SERVER, timeouts::endless};

/// Short waits, whatever the attempt.
fn quickly(maximum_attempts: u32) -> RetryPolicy {
    let short = Duration::from_millis(20);
    RetryPolicy { initial_interval: short, maximum_interval: short, maximum_attempts, ..RetryPolicy::default() }
}

static TRIES: AtomicU32 = AtomicU32::new(0);

/// Fails until it is tried for the `wanted`-th time.
#[workflow]
async fn stubborn(ctx: Ctx, wanted: u32) -> Result<u32, Exit> {
    let count = async |_| Ok::<_, String>(TRIES.fetch_add(1, Ordering::SeqCst) + 1);
    let tries = ctx.step("count", count).await?;
    if tries < wanted { Err(format!("try {tries} is too few").into()) } else { Ok(tries) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_fails_is_tried_again_and_the_last_one_counts() -> Result<()> {
    let highwater = space::open(&SERVER, "workflow-retry").await;
    let worker = Running::spawn(highwater.worker().workflow(stubborn).build()?);
    let start = highwater.client().start(stubborn, 3).id("stubborn").retry(quickly(0)).memo("note", "by phone");
    let run = start.attribute("customer", "Zoë").send().await?;
    assert_eq!(within("the result", run.result()).await?, 3);
    let last = run.describe().await?;
    assert_eq!((last.attempt, last.first_run), (3, run.run_id()));
    assert_eq!(last.memo.get("note").map(Payload::decode::<String>).transpose()?, Some("by phone".into()));
    assert_eq!(last.attributes.get("customer"), Some(&AttributeValue::Text("Zoë".into())));
    let first = run.clone().pinned_to(run.run_id().expect("it came from a start"));
    let described = first.describe().await?;
    assert_eq!((described.progress.to_string().as_str(), described.attempt), ("failed", 1));
    assert!(described.continued_as.is_some(), "{described:?}");
    let error = within("the first run's result", first.result()).await.expect_err("it failed");
    assert!(matches!(error, ResultError::ContinuedAsNew { .. }), "{error:?}");
    worker.stop().await;
    Ok(())
}

/// Fails for good, or not.
#[workflow]
async fn hopeless(_ctx: Ctx, (): ()) -> Result<(), Exit> {
    Err("no luck".to_owned().into())
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_end_with_the_failure_of_the_last_one() -> Result<()> {
    let highwater = space::open(&SERVER, "workflow-retry-ends").await;
    let worker = Running::spawn(highwater.worker().workflow(hopeless).build()?);
    let run = highwater.client().start(hopeless, ()).retry(quickly(2)).await?;
    let error = within("the result", run.result()).await.expect_err("it fails");
    assert!(matches!(&error, ResultError::Failed(text) if text == "no luck"), "{error:?}");
    assert_eq!(run.describe().await?.attempt, 2);
    worker.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_that_time_out_are_tried_again_for_as_long_as_all_may_take() -> Result<()> {
    let highwater = space::open(&SERVER, "execution-timeout").await;
    let worker = Running::spawn(highwater.worker().workflow(endless).build()?);
    let start = highwater.client().start(endless, ()).retry(quickly(0)).run_timeout(Duration::from_millis(300));
    let run = start.execution_timeout(Duration::from_secs(2)).await?;
    let error = within("the result", run.result()).await.expect_err("it times out");
    assert!(matches!(error, ResultError::TimedOut), "{error:?}");
    let last = run.describe().await?;
    assert!(last.attempt > 1, "{last:?}");
    let failure = last.failure.expect("it failed").to_string();
    // The last run ends either with the chain or with itself, when there is no time left for another one.
    assert!(
        failure.contains("execution") || last.closed_at.map(|at| at.after(Duration::from_millis(20))) >= last.deadline,
        "{failure}"
    );
    worker.stop().await;
    Ok(())
}

/// Gives what it was told first.
#[workflow]
async fn patient(ctx: Ctx, (): ()) -> Result<u32, Exit> {
    Ok(ctx.signals::<u32>("told").recv().await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delayed_run_keeps_what_it_is_told_until_its_code_begins() -> Result<()> {
    const DELAY: Duration = Duration::from_millis(500);
    let highwater = space::open(&SERVER, "delayed").await;
    let first = Running::spawn(highwater.worker().workflow(patient).build()?);
    let asked = highwater.broker().server_time().await?;
    let run = highwater.client().start(patient, ()).delay(DELAY).await?;
    run.signal("told", &7).await?;
    // The delay passes under another owner.
    first.stop().await;
    let second = Running::spawn(highwater.worker().workflow(patient).build()?);
    assert_eq!(within("the result", run.result()).await?, 7);
    let history = run.history().await?;
    let names: Vec<_> = history.iter().map(|event| event.event.name()).collect();
    assert_eq!(names, ["Started", "Signaled", "DelayPassed", "Completed"]);
    // It counts from the request, which a worker may take a while to take up.
    assert!(history[2].time >= asked.after(DELAY.mul_f64(0.9)), "{history:?}");
    second.stop().await;
    Ok(())
}
