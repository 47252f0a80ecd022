//! Activities: with what they need, and where they run.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU32, Ordering},
};

use anyhow::Result;
use highwater::{FreeActivities, prelude::*};
use highwater_tests::{
    deadline::within,
    space::{self, Running},
};
use serde::{Deserialize, Serialize};

use crate::SERVER;

#[derive(Clone, Debug, Default)]
struct Shop {
    /// Stands for a database that outlives each call.
    charged: Arc<Mutex<Vec<u32>>>,
    fee: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Order {
    amount: u32,
}

#[activities]
impl Shop {
    #[activity(start_to_close = "10s")]
    async fn charge(&self, order: Order) -> Result<u32, String> {
        let total = order.amount + self.fee;
        self.charged.lock().expect("nobody panics with it").push(total);
        Ok(total)
    }

    #[activity(blocking, start_to_close = "10s")]
    fn print(&self, total: u32) -> Result<String, String> {
        // Blocking code has a thread of its own.
        std::thread::sleep(std::time::Duration::from_millis(1));
        Ok(format!("total: {total}"))
    }
}

#[workflow]
async fn order(ctx: Ctx, order: Order) -> Result<String, Exit> {
    let total = ctx.run(Shop::charge, order).await?;
    Ok(ctx.run(Shop::print, total).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn activities_share_the_struct_that_they_are_methods_of() -> Result<()> {
    let highwater = space::open(&SERVER, "deps").await;
    let shop = Shop { fee: 1, ..Shop::default() };
    let worker = Running::spawn(highwater.worker().workflow(order).activities(shop.clone()).build()?);
    let mut runs = Vec::new();
    for amount in 0..20 {
        runs.push((amount, highwater.client().start(order, Order { amount }).await?));
    }
    for (amount, run) in runs {
        assert_eq!(within("the result", run.result()).await?, format!("total: {}", amount + 1));
    }
    let mut charged = shop.charged.lock().expect("nobody panics with it").clone();
    charged.sort_unstable();
    assert_eq!(charged, (1..=20).collect::<Vec<_>>());
    worker.stop().await;
    Ok(())
}

#[activity(start_to_close = "10s")]
async fn where_am_i(cx: &ActivityContext, (): ()) -> Result<String, String> {
    Ok(format!("{} of {} on attempt {}", cx.info().name, cx.info().workflow_id, cx.attempt()))
}

#[workflow]
async fn elsewhere(ctx: Ctx, queue: String) -> Result<String, Exit> {
    Ok(ctx.run(where_am_i, ()).queue(&queue).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_can_go_to_the_workers_of_another_queue() -> Result<()> {
    let highwater = space::open(&SERVER, "gpu").await;
    let workflows = Running::spawn(highwater.worker().workflow(elsewhere).build()?);
    let run = highwater.client().start(elsewhere, "gpu".into()).id("far").await?;
    // Nobody serves that queue yet, so the task waits.
    let other = space::open(&SERVER, "gpu").await;
    let activities = other.worker().queue("gpu").activities(FreeActivities::new().with(where_am_i));
    let activities = Running::spawn(activities.build()?);
    assert_eq!(within("the result", run.result()).await?, "where_am_i of far on attempt 1");
    activities.stop().await;
    workflows.stop().await;
    Ok(())
}

static ATTEMPTS: AtomicU32 = AtomicU32::new(0);

#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
enum Refused {
    #[error("declined with code {0}")]
    Declined(u32),
    #[error("busy")]
    Busy,
}

#[activity(start_to_close = "10s", non_retryable = Refused::Declined(_), retry(initial_interval = "10ms"))]
async fn pay(amount: u32) -> Result<u32, Refused> {
    match ATTEMPTS.fetch_add(1, Ordering::SeqCst) {
        0 => Err(Refused::Busy),
        _ => Err(Refused::Declined(amount)),
    }
}

#[workflow]
async fn paying(ctx: Ctx, amount: u32) -> Result<String, Exit> {
    match ctx.run(pay, amount).await {
        Err(CallError::Failed(Refused::Declined(code))) => Ok(format!("declined: {code}")),
        other => Err(format!("{other:?}").into()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_is_not_retryable_ends_the_call_at_once_with_its_own_type() -> Result<()> {
    let highwater = space::open(&SERVER, "declined").await;
    let worker = highwater.worker().workflow(paying).activities(FreeActivities::new().with(pay));
    let worker = Running::spawn(worker.build()?);
    let run = highwater.client().start(paying, 5).await?;
    assert_eq!(within("the result", run.result()).await?, "declined: 5");
    assert_eq!(ATTEMPTS.load(Ordering::SeqCst), 2, "one for the error that is retryable, and one for the other");
    worker.stop().await;
    Ok(())
}

#[activity(start_to_close = "10s", retry(maximum_attempts = 2, initial_interval = "10ms"))]
async fn explode(text: String) -> Result<(), String> {
    panic!("{text}")
}

#[workflow]
async fn handles_explosives(ctx: Ctx, text: String) -> Result<(), Exit> {
    ctx.run(explode, text).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_an_activity_is_a_failed_attempt_that_says_where() -> Result<()> {
    let highwater = space::open(&SERVER, "explode").await;
    let worker = highwater.worker().workflow(handles_explosives).workflow(order);
    let worker = worker.activities(FreeActivities::new().with(explode)).activities(Shop::default());
    let worker = Running::spawn(worker.build()?);
    let run = highwater.client().start(handles_explosives, "boom".into()).await?;
    let error = within("the result", run.result()).await.expect_err("it fails").to_string();
    for told in ["panicked", "boom", "activities.rs"] {
        assert!(error.contains(told), "{error}");
    }
    let run = highwater.client().start(order, Order { amount: 1 }).await?;
    assert_eq!(within("a normal run", run.result()).await?, "total: 1");
    worker.stop().await;
    Ok(())
}
