//! Local steps, one after the other.

use highwater::{WorkerBuilder, prelude::*};
use highwater_broker::BoxFuture;

use super::{
    QUEUE, Row, ordinary,
    run::{Runs, run},
};
use crate::{
    commands::bench::{measured::Measured, pattern::Story, stage::Stage},
    exit::Error,
};

/// Steps of a run.
const STEPS: u32 = 10;

#[derive(Debug)]
pub(super) struct Steps;

impl Row for Steps {
    fn name(&self) -> &'static str {
        "steps"
    }

    fn about(&self) -> &'static str {
        "Ten local steps, one after the other"
    }

    fn operations(&self) -> Option<(&'static str, u32)> {
        Some(("a step", STEPS))
    }

    fn register(&self, worker: WorkerBuilder) -> WorkerBuilder {
        worker.workflow(bench_steps)
    }

    fn measure<'a>(&'a self, stage: &'a Stage) -> BoxFuture<'a, Result<Vec<Measured>, Error>> {
        Box::pin(ordinary::measure(self, stage, Story::Steps(STEPS.into()), || {
            let client = stage.client();
            Runs(move || run(client.start(bench_steps, STEPS.into()).queue(QUEUE), (0..STEPS.into()).sum()))
        }))
    }
}

#[workflow]
async fn bench_steps(ctx: Ctx, steps: u64) -> Result<u64, Exit> {
    let mut sum = 0;
    for step in 0..steps {
        sum += ctx.step("add", move |_| async move { Ok::<u64, String>(step) }).await?;
    }
    Ok(sum)
}
