//! Cancelling, and ending from outside.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::Result;
use highwater::{
    ActivityCancellation, FreeActivities,
    client::{CancelError, ResultError, SignalError, TerminateError},
    prelude::*,
};
use highwater_tests::{
    deadline::{until, within},
    space::{self, Running},
};

use crate::SERVER;

static STARTED: AtomicU32 = AtomicU32::new(0);
static CANCELLED: AtomicU32 = AtomicU32::new(0);
static CLEANED_UP: AtomicU32 = AtomicU32::new(0);

/// Works until it is told to stop.
#[activity(heartbeat = "10s")]
async fn work(cx: &ActivityContext, (): ()) -> Result<(), String> {
    STARTED.fetch_add(1, Ordering::SeqCst);
    cx.cancelled().await;
    CANCELLED.fetch_add(1, Ordering::SeqCst);
    Err("stopped half-way".into())
}

#[activity(start_to_close = "10s")]
async fn clean_up(reason: String) -> Result<(), String> {
    assert_eq!(reason, "changed our mind");
    CLEANED_UP.fetch_add(1, Ordering::SeqCst);
    Ok(())
}

#[workflow]
async fn cancellable(ctx: Ctx, (): ()) -> Result<(), Exit> {
    let Err(CallError::Cancelled) = ctx.run(work, ()).await else { return Err("not cancelled".to_owned().into()) };
    let reason = ctx.cancel_reason().unwrap_or_default();
    ctx.shielded().run(clean_up, reason).await?;
    Err(Cancelled.into())
}

#[workflow]
async fn gives_up(ctx: Ctx, (): ()) -> Result<String, Exit> {
    let mut working = ctx.run(work, ()).into_future();
    select! {
        done = &mut working => { done?; Ok("done".to_owned()) }
        waited = ctx.sleep(Duration::from_millis(500)) => { waited?; Ok("took too long".to_owned()) }
    }
}

/// The counters belong to one test at a time.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

fn worker(highwater: &Highwater) -> Result<Running> {
    let worker = highwater.worker().workflow(cancellable).workflow(gives_up).workflow(waits);
    Ok(Running::spawn(worker.activities(FreeActivities::new().with(work).with(clean_up)).build()?))
}

async fn reaches(what: &str, counter: &AtomicU32, count: u32) {
    until(what, async || counter.load(Ordering::SeqCst), |now| *now >= count).await;
}

fn reset() {
    for counter in [&STARTED, &CANCELLED, &CLEANED_UP] {
        counter.store(0, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_reaches_a_running_activity_and_leaves_time_to_clean_up() -> Result<()> {
    let _turn = TURN.lock().await;
    reset();
    let highwater = space::open(&SERVER, "cancel").await;
    let worker = worker(&highwater)?;
    let run = highwater.client().start(cancellable, ()).await?;
    reaches("the activity runs", &STARTED, 1).await;
    run.cancel("changed our mind").await?;
    let error = within("the result", run.result()).await.expect_err("it is cancelled");
    assert!(matches!(error, ResultError::Cancelled), "{error:?}");
    reaches("the activity is told", &CANCELLED, 1).await;
    assert_eq!(CLEANED_UP.load(Ordering::SeqCst), 1);
    let error = run.cancel("again").await.expect_err("it has ended");
    assert!(matches!(error, CancelError::Closed { .. }), "{error:?}");
    worker.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_activity_that_loses_a_select_is_cancelled() -> Result<()> {
    let _turn = TURN.lock().await;
    reset();
    let highwater = space::open(&SERVER, "lost-select").await;
    let worker = worker(&highwater)?;
    let run = highwater.client().start(gives_up, ()).await?;
    assert_eq!(within("the result", run.result()).await?, "took too long");
    if STARTED.load(Ordering::SeqCst) > 0 {
        reaches("the activity is told", &CANCELLED, 1).await;
    }
    worker.stop().await;
    Ok(())
}

#[workflow]
async fn waits(ctx: Ctx, (): ()) -> Result<(), Exit> {
    ctx.run(work, ()).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_terminated_with_its_activity_while_a_worker_runs() -> Result<()> {
    let _turn = TURN.lock().await;
    reset();
    let highwater = space::open(&SERVER, "terminate").await;
    let worker = worker(&highwater)?;
    let run = highwater.client().start(waits, ()).await?;
    reaches("the activity runs", &STARTED, 1).await;
    run.terminate("it is stuck").await?;
    let error = within("the result", run.result()).await.expect_err("it is terminated");
    assert!(matches!(&error, ResultError::Terminated(reason) if reason == "it is stuck"), "{error:?}");
    reaches("the activity is told", &CANCELLED, 1).await;
    let error = run.signal("any", &1).await.expect_err("it has ended");
    assert!(matches!(error, SignalError::Closed { .. }), "{error:?}");
    let error = run.terminate("again").await.expect_err("it has ended");
    assert!(matches!(error, TerminateError::Closed { .. }), "{error:?}");
    worker.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_terminated_while_no_worker_runs() -> Result<()> {
    let highwater = space::open(&SERVER, "terminate-alone").await;
    let run = highwater.client().start(waits, ()).id("alone").await?;
    run.terminate("nobody runs it").await?;
    let error = within("the result", run.result()).await.expect_err("it is terminated");
    assert!(matches!(&error, ResultError::Terminated(reason) if reason == "nobody runs it"), "{error:?}");
    let described = run.describe().await?;
    assert_eq!(described.progress.to_string(), "terminated");
    assert!(described.workers.is_empty() && described.closed_at.is_some());
    Ok(())
}

static STOPPED: AtomicU32 = AtomicU32::new(0);

/// Takes its time to stop.
#[activity(heartbeat = "10s")]
async fn stop_slowly(cx: &ActivityContext, (): ()) -> Result<u32, String> {
    STOPPED.store(1, Ordering::SeqCst);
    cx.cancelled().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    STOPPED.store(2, Ordering::SeqCst);
    Ok(2)
}

/// Waits until the activity has ended, even when it is cancelled, and says how that was.
#[workflow]
async fn patient(ctx: Ctx, queue: String) -> Result<String, Exit> {
    let outcome = ctx.run(stop_slowly, ()).queue(&queue).cancellation(ActivityCancellation::Wait).await;
    Ok(format!("{outcome:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_call_waits_for_its_activity_where_that_is_asked_for() -> Result<()> {
    let highwater = space::open(&SERVER, "cancel-wait").await;
    let worker = highwater.worker().workflow(patient).activities(FreeActivities::new().with(stop_slowly));
    let worker = Running::spawn(worker.build()?);
    let run = highwater.client().start(patient, "default".to_owned()).await?;
    let stopped = async || STOPPED.load(Ordering::SeqCst);
    until("the activity is under way", stopped, |stage| *stage == 1).await;
    run.cancel("enough").await?;
    let text = within("the result", run.result()).await?;
    assert_eq!((STOPPED.load(Ordering::SeqCst), text.as_str()), (2, "Ok(2)"));
    // Nobody has it, so nobody ever stops it.
    let run = highwater.client().start(patient, "nobody".to_owned()).await?;
    let describe = async || run.describe().await;
    let called = |seen: &Result<_, _>| {
        seen.as_ref().is_ok_and(|d: &highwater::client::Description| d.pending_activities.len() == 1)
    };
    until("the activity is called", describe, called).await?;
    run.cancel("enough").await?;
    assert_eq!(within("the result", run.result()).await?, "Err(Cancelled)");
    worker.stop().await;
    Ok(())
}
