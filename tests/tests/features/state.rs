//! State, signals and queries, and runs that continue as new.

use anyhow::Result;
use highwater::{client::ResultError, prelude::*};
use highwater_tests::{
    deadline::within,
    space::{self, Running},
};

use crate::SERVER;

/// Approves when enough people have.
#[derive(Debug, Default)]
pub(crate) struct Approval {
    by: Vec<String>,
    needed: usize,
}

#[workflow]
impl Approval {
    #[init]
    fn new(needed: &usize) -> Self {
        Self { by: Vec::new(), needed: *needed }
    }

    #[run]
    async fn run(ctx: Ctx<Self>, needed: usize) -> Result<Vec<String>, Exit> {
        ctx.wait_until(|approval| approval.by.len() >= needed).await?;
        Ok(ctx.read(|approval| approval.by.clone()))
    }

    #[signal]
    pub(crate) fn approve(&mut self, name: String) {
        self.by.push(name);
    }

    #[query]
    pub(crate) fn missing(&self) -> usize {
        self.needed.saturating_sub(self.by.len())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_change_the_state_that_queries_show_and_conditions_wait_for() -> Result<()> {
    let highwater = space::open(&SERVER, "state").await;
    let worker = Running::spawn(highwater.worker().workflow(Approval::run).build()?);
    let run = highwater.client().start(Approval::run, 3).await?;
    for (name, missing) in [("ann", 2), ("bob", 1)] {
        run.signal("approve", name).await?;
        assert_eq!(run.query::<_, usize>("missing", &()).await?, missing);
    }
    // Another worker rebuilds the state from the history.
    worker.stop().await;
    let worker = Running::spawn(highwater.worker().workflow(Approval::run).build()?);
    assert_eq!(run.query::<_, usize>("missing", &()).await?, 1);
    run.signal("approve", "cem").await?;
    assert_eq!(within("the result", run.result()).await?, ["ann", "bob", "cem"]);
    assert_eq!(run.query::<_, usize>("missing", &()).await?, 0, "a closed run still answers");
    let error = run.query::<_, usize>("mising", &()).await.expect_err("a typing error").to_string();
    assert!(error.contains("unknown-query") && error.contains("missing"), "{error}");
    worker.stop().await;
    Ok(())
}

/// Takes two numbers, and continues as new until it has `count`.
#[workflow]
async fn relay(ctx: Ctx, (count, mut taken): (usize, Vec<u32>)) -> Result<Vec<u32>, Exit> {
    let mut numbers = ctx.signals::<u32>("number");
    for _ in 0..2 {
        taken.push(numbers.recv().await?);
    }
    if taken.len() < count {
        return Err(ctx.continue_as_new::<relay>((count, taken)));
    }
    Ok(taken)
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_in_flight_go_along_when_a_run_continues_as_new() -> Result<()> {
    const COUNT: u32 = 40;
    let highwater = space::open(&SERVER, "relay").await;
    let worker = Running::spawn(highwater.worker().workflow(relay).build()?);
    let run = highwater.client().start(relay, (COUNT as usize, Vec::new())).id("relay").await?;
    let first = run.run_id().expect("it came from a start");
    for number in 0..COUNT {
        run.signal("number", &number).await?;
    }
    assert_eq!(within("the result", run.result()).await?, (0..COUNT).collect::<Vec<_>>());
    let described = run.describe().await?;
    assert_ne!(described.run, Some(first));
    assert!(described.continued_from.is_some());
    let pinned = run.clone().pinned_to(first);
    let error = within("the first run's result", pinned.result()).await.expect_err("it continued");
    assert!(matches!(error, ResultError::ContinuedAsNew { .. }), "{error:?}");
    let pinned = pinned.describe().await?;
    assert_eq!(pinned.progress.to_string(), "continued-as-new");
    assert!(pinned.continued_as.is_some());
    worker.stop().await;
    Ok(())
}
