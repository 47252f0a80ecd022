//! Starts of a type that no worker knows.

use anyhow::Result;
use highwater::prelude::*;
use highwater_tests::{
    deadline::{until, within},
    raw_nats::RawNats,
    space::{self, Running},
};

use crate::{SERVER, normal, still_works};

#[workflow]
pub async fn newer(_ctx: Ctx, number: u32) -> Result<u32, Exit> {
    Ok(number + 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_of_an_unknown_type_is_kept_and_runs_when_a_worker_with_it_comes() -> Result<()> {
    let highwater = space::open(&SERVER, "unknown").await;
    let worker = Running::spawn(highwater.worker().workflow(normal).name("old").build()?);
    let mut raw = RawNats::connect(SERVER.port()).await?;
    raw.store("hw.unknown.do.start.default.newer.a", &[], b"1").await?;
    let run = highwater.client().handle_of(newer, "a")?;
    let described =
        until("the run is blocked", async || run.describe().await, |d| d.as_ref().is_ok_and(|d| d.blocked.is_some()));
    let described = described.await?;
    assert_eq!(described.progress.to_string(), "blocked");
    let told = described.blocked.expect("it is blocked").failure.to_string();
    assert_eq!(
        told,
        "unknown name: no live worker of queue default knows the workflow type newer; they know: normal. \
         The run goes on when a worker with this type comes"
    );
    assert_eq!(described.workers.len(), 1);
    assert!(!described.workers[0].knows_type && described.workers[0].name == "old");
    still_works(&highwater).await;

    let new = Running::spawn(highwater.worker().workflow(normal).workflow(newer).name("new").build()?);
    assert_eq!(within("the result", run.result()).await?, 2);
    // Both kinds run on, whoever reads their partitions.
    for number in 0..20 {
        let (new, old) = (highwater.client().start(newer, number), highwater.client().start(normal, number));
        assert_eq!(within("the new type", new.await?.result()).await?, number + 1);
        assert_eq!(within("the old type", old.await?.result()).await?, number * 2);
    }
    worker.stop().await;
    new.stop().await;
    Ok(())
}
