//! Attempts, and the delays between them.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use anyhow::Result;
use highwater::{FreeActivities, RetryPolicy, prelude::*};
use highwater_tests::{
    deadline::within,
    space::{self, Running},
};

use crate::SERVER;

static ATTEMPTS: Mutex<Vec<Instant>> = Mutex::new(Vec::new());

#[activity(
    start_to_close = "10s",
    retry(initial_interval = "1s", backoff_coefficient = 1.5, maximum_interval = "2s", jitter = 0.1)
)]
async fn flaky(cx: &ActivityContext, (): ()) -> Result<u32, String> {
    ATTEMPTS.lock().expect("nobody panics with it").push(Instant::now());
    let before = cx.info().last_failure.as_ref().map(|failure| failure.message.clone());
    let expected = (cx.attempt() > 1).then(|| format!("attempt {} failed", cx.attempt() - 1));
    assert_eq!(before, expected, "an attempt knows how the one before failed");
    if cx.attempt() < 5 { Err(format!("attempt {} failed", cx.attempt())) } else { Ok(cx.attempt()) }
}

#[workflow]
async fn patient(ctx: Ctx, (): ()) -> Result<u32, Exit> {
    Ok(ctx.run(flaky, ()).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_activity_that_fails_four_times_succeeds_at_the_fifth_with_the_delays_of_its_policy() -> Result<()> {
    let highwater = space::open(&SERVER, "retries").await;
    let worker = highwater.worker().workflow(patient).activities(FreeActivities::new().with(flaky));
    let worker = Running::spawn(worker.build()?);
    let run = highwater.client().start(patient, ()).await?;
    assert_eq!(within("the result", run.result()).await?, 5);
    let attempts = ATTEMPTS.lock().expect("nobody panics with it").clone();
    let delays: Vec<Duration> = attempts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let policy = [1000, 1500, 2000, 2000].map(Duration::from_millis);
    assert_eq!(delays.len(), policy.len());
    assert!(delays.iter().zip(policy).all(|(delay, policy)| *delay > policy / 2), "{delays:?} are too short");
    // A machine that is short of time may put a single one off.
    let (all, planned) = (delays.iter().sum::<Duration>(), policy.iter().sum::<Duration>());
    assert!(all < planned * 3 / 2, "{delays:?} are too long");
    let events: Vec<_> = run.history().await?.iter().map(|event| event.event.to_string()).collect();
    assert!(events.contains(&"ActivityCompleted #1 at attempt 5".to_owned()), "{events:?}");
    worker.stop().await;
    Ok(())
}

static TRIES: Mutex<Vec<(u32, String)>> = Mutex::new(Vec::new());

#[workflow]
async fn persistent(ctx: Ctx, message: String) -> Result<String, Exit> {
    let policy = RetryPolicy { initial_interval: Duration::from_millis(20), ..RetryPolicy::default() };
    let sent = ctx.step("send", async move |step| {
        TRIES.lock().expect("nobody panics with it").push((step.attempt(), step.idempotency_key().to_string()));
        match step.attempt() {
            1 => Err("busy".to_owned()),
            2 => panic!("nobody expected this"),
            _ => Ok(message),
        }
    });
    Ok(sent.retry(policy).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_fails_and_panics_is_tried_again_under_the_same_key() -> Result<()> {
    let highwater = space::open(&SERVER, "step-retries").await;
    let worker = Running::spawn(highwater.worker().workflow(persistent).build()?);
    let run = highwater.client().start(persistent, "hello".to_owned()).await?;
    assert_eq!(within("the result", run.result()).await?, "hello");
    let tries = TRIES.lock().expect("nobody panics with it").clone();
    assert_eq!(tries.iter().map(|(attempt, _)| *attempt).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(tries.iter().all(|(_, key)| *key == tries[0].1));
    let events: Vec<_> = run.history().await?.iter().map(|event| event.event.to_string()).collect();
    assert!(events.contains(&"StepCompleted #1 send at attempt 3".to_owned()), "{events:?}");
    worker.stop().await;
    Ok(())
}
