//! A deploy of code that does not match the histories of runs under way.

use std::time::Duration;

use anyhow::Result;
use highwater::{FreeActivities, prelude::*};
use highwater_tests::{
    deadline::{until, within},
    space::{self, Running},
};

use crate::SERVER;

#[workflow(name = "shipment")]
async fn before(ctx: Ctx, (): ()) -> Result<String, Exit> {
    ctx.sleep(Duration::from_millis(1)).await?;
    ctx.signals::<()>("go").recv().await?;
    Ok("as before".to_owned())
}

#[activity]
async fn weigh((): ()) -> Result<u32, String> {
    Ok(5)
}

#[workflow(name = "shipment")]
async fn after(ctx: Ctx, (): ()) -> Result<String, Exit> {
    ctx.run(weigh, ()).await?;
    ctx.signals::<()>("go").recv().await?;
    Ok("as after".to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_the_new_code_does_not_match_is_blocked_alone_and_says_where() -> Result<()> {
    let highwater = space::open(&SERVER, "changed").await;
    let client = highwater.client();
    let worker = Running::spawn(highwater.worker().workflow(before).build()?);
    let old = client.start(before, ()).id("old").await?;
    until("it has slept", async || old.history().await.map_or(0, |history| history.len()), |events| *events >= 3).await;
    worker.stop().await;

    let worker =
        Running::spawn(highwater.worker().workflow(after).activities(FreeActivities::new().with(weigh)).build()?);
    old.signal("go", &()).await?;
    let describe = async || old.describe().await;
    let described = until("it is blocked", describe, |d| d.as_ref().is_ok_and(|d| d.blocked.is_some())).await?;
    let failure = described.blocked.expect("it is blocked").failure.to_string();
    for told in [
        "not deterministic",
        "workflow shipment \"old\" does not match its history at event 2",
        "on record: TimerStarted #1 due",
        "the code:  issued ActivityScheduled #1 weigh on queue default",
        "Usually the code was changed while the run was under way",
        "Deploy the code that the run began with",
    ] {
        assert!(failure.contains(told), "{told:?} is not in: {failure}");
    }
    let new = client.start(after, ()).id("new").await?;
    new.signal("go", &()).await?;
    assert_eq!(within("the result of a run that began with the new code", new.result()).await?, "as after");
    worker.stop().await;

    // Nothing is lost: the code that it began with finishes it.
    let worker = Running::spawn(highwater.worker().workflow(before).build()?);
    assert_eq!(within("the result", old.result()).await?, "as before");
    worker.stop().await;
    Ok(())
}
