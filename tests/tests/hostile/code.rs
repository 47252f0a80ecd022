//! Workflow code that misbehaves.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::Result;
use highwater::{Highwater, WorkerBuilder, client::Description, prelude::*};
use highwater_tests::{
    deadline::{until, within},
    space::{self, Running},
};

use crate::{SERVER, normal, still_works};

async fn blocked<W>(run: &highwater::WorkflowHandle<W>) -> Description {
    let describe = async || run.describe().await;
    let described = until("the run is blocked", describe, |d| d.as_ref().is_ok_and(|d| d.blocked.is_some()));
    described.await.expect("it can be described")
}

/// Stands in for a deploy of fixed code.
static FIXED: AtomicBool = AtomicBool::new(false);

#[workflow]
pub async fn panics(ctx: Ctx, number: u32) -> Result<u32, Exit> {
    ctx.sleep(Duration::from_millis(1)).await?;
    assert!(FIXED.load(Ordering::SeqCst), "number {number} was not expected");
    Ok(number)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_blocks_its_run_alone_until_the_code_is_fixed() -> Result<()> {
    let highwater = space::open(&SERVER, "panics").await;
    let worker = Running::spawn(highwater.worker().workflow(panics).workflow(normal).build()?);
    let run = highwater.client().start(panics, 7).id("seven").await?;
    let described = blocked(&run).await;
    assert_eq!(described.progress.to_string(), "blocked");
    let failure = described.blocked.expect("it is blocked").failure.to_string();
    for told in ["panicked", "number 7 was not expected", "code.rs"] {
        assert!(failure.contains(told), "{failure}");
    }
    still_works(&highwater).await;
    // Whatever else is asked of it meanwhile is answered.
    let error = run.query::<_, u32>("any", &()).await.expect_err("it has no state to ask").to_string();
    assert!(error.contains("blocked"), "{error}");
    FIXED.store(true, Ordering::SeqCst);
    assert_eq!(within("the result", run.result()).await?, 7);
    worker.stop().await;
    Ok(())
}

/// Ends the loop of each test when that is over, as nothing else can.
static OVER: [AtomicBool; 2] = [AtomicBool::new(false), AtomicBool::new(false)];

#[workflow]
pub async fn spins(ctx: Ctx, test: usize) -> Result<(), Exit> {
    ctx.step("begin", async |_| Ok::<_, String>(())).await?;
    while !OVER[test].load(Ordering::SeqCst) {
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_that_never_awaits_loses_its_thread_and_blocks_nobody_else() -> Result<()> {
    let highwater = space::open(&SERVER, "spins").await;
    let worker = highwater.worker();
    a_loop_that_never_awaits(0, &highwater, worker).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_that_never_awaits_loses_a_thread_that_is_for_workflow_code_alone() -> Result<()> {
    let highwater = space::open(&SERVER, "spins-apart").await;
    let worker = highwater.worker().workflow_threads(1);
    a_loop_that_never_awaits(1, &highwater, worker).await
}

async fn a_loop_that_never_awaits(test: usize, highwater: &Highwater, worker: WorkerBuilder) -> Result<()> {
    let worker = worker.workflow(spins).workflow(normal).workflow(crate::ids::listen);
    let worker = Running::spawn(worker.workflow_task_timeout(Duration::from_millis(300)).build()?);
    // Runs that share the only thread with it, in the middle of something.
    let client = highwater.client();
    let mut others = Vec::new();
    for number in 0..20 {
        others.push(client.start(crate::ids::listen, "go".to_owned()).id(format!("other-{number}")).await?);
    }
    let run = client.start(spins, test).id("spins").await?;
    let failure = blocked(&run).await.blocked.expect("it is blocked").failure.to_string();
    for told in [
        "stuck",
        "the code of spins kept its thread",
        "the last operation that it made is step begin (#1, at ",
        "code.rs",
        "move blocking calls and long computations into an activity",
    ] {
        assert!(failure.contains(told), "{failure}");
    }
    // To ask a blocked run again and again changes nothing in it.
    let before = run.history().await?.len();
    for _ in 0..3 {
        let error = run.query::<_, u32>("any", &()).await.expect_err("it cannot answer").to_string();
        assert!(error.contains("the run is blocked: stuck"), "{error}");
    }
    assert_eq!(run.history().await?.len(), before);
    for other in others {
        other.signal("go", &1).await?;
        assert_eq!(within("the result of another run", other.result()).await?, 1);
    }
    still_works(highwater).await;
    run.terminate("it never ends").await?;
    assert_eq!(run.describe().await?.progress.to_string(), "terminated");
    OVER[test].store(true, Ordering::SeqCst);
    worker.stop().await;
    Ok(())
}

#[workflow]
pub async fn blocks_the_tokio_way(ctx: Ctx, (): ()) -> Result<(), Exit> {
    let _ = ctx;
    tokio::time::sleep(Duration::from_secs(1)).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tokios_sleep_in_a_workflow_is_told_what_to_call_instead() -> Result<()> {
    let highwater = space::open(&SERVER, "tokio").await;
    let worker = Running::spawn(highwater.worker().workflow(blocks_the_tokio_way).workflow(normal).build()?);
    let run = highwater.client().start(blocks_the_tokio_way, ()).await?;
    let failure = blocked(&run).await.blocked.expect("it is blocked").failure.to_string();
    for told in ["ctx.sleep", "code.rs"] {
        assert!(failure.contains(told), "{failure}");
    }
    still_works(&highwater).await;
    worker.stop().await;
    Ok(())
}
