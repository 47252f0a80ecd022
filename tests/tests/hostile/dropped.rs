//! A worker whose `run` is dropped, as by a task that is aborted: nothing of it goes on.

use std::{
    future::pending,
    sync::atomic::{AtomicUsize, Ordering},
};

use anyhow::Result;
use highwater::{FreeActivities, prelude::*};
use highwater_tests::{deadline::until, space};

use crate::SERVER;

static ALIVE: AtomicUsize = AtomicUsize::new(0);

/// Code of the user's that goes on.
struct Alive;

impl Alive {
    async fn for_ever() -> Result<(), String> {
        ALIVE.fetch_add(1, Ordering::SeqCst);
        let _alive = Self;
        pending().await
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, Ordering::SeqCst);
    }
}

#[activity]
pub async fn hang() -> Result<(), String> {
    Alive::for_ever().await
}

#[workflow]
pub async fn hangs(ctx: Ctx, (): ()) -> Result<(), Exit> {
    let step = ctx.step("hangs", async |_| Alive::for_ever().await);
    let (step, activity) = highwater::join!(step, ctx.run(hang, ()));
    step?;
    Ok(activity?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_dropped_takes_its_steps_and_activities_along() -> Result<()> {
    let highwater = space::open(&SERVER, "dropped").await;
    let worker = highwater.worker().workflow(hangs).activities(FreeActivities::new().with(hang)).build()?;
    let running = tokio::spawn(worker.run());
    highwater.client().start(hangs, ()).await?;
    let alive = async || ALIVE.load(Ordering::SeqCst);
    until("a step and an activity are under way", alive, |alive| *alive == 2).await;
    running.abort();
    until("both have ended", alive, |alive| *alive == 0).await;
    Ok(())
}
