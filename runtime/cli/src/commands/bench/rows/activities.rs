//! Remote activities: one after the other, and many at the same time.

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

/// Calls of a run that makes them one after the other.
const IN_SEQUENCE: u32 = 10;
/// Calls of a run that makes them at the same time.
const AT_ONCE: u64 = 100;

#[derive(Debug)]
pub(super) struct Activities;

#[derive(Debug)]
pub(super) struct Parallel;

impl Row for Activities {
    fn name(&self) -> &'static str {
        "activities"
    }

    fn about(&self) -> &'static str {
        "Ten remote activities, one after the other"
    }

    fn operations(&self) -> Option<(&'static str, u32)> {
        Some(("an activity", IN_SEQUENCE))
    }

    fn register(&self, worker: WorkerBuilder) -> WorkerBuilder {
        worker.workflow(bench_activities).activities(Nothing)
    }

    fn measure<'a>(&'a self, stage: &'a Stage) -> BoxFuture<'a, Result<Vec<Measured>, Error>> {
        Box::pin(ordinary::measure(self, stage, Story::Activities(IN_SEQUENCE.into()), || {
            let client = stage.client();
            let sum = (0..IN_SEQUENCE.into()).sum();
            Runs(move || run(client.start(bench_activities, IN_SEQUENCE.into()).queue(QUEUE), sum))
        }))
    }
}

impl Row for Parallel {
    fn name(&self) -> &'static str {
        "parallel"
    }

    fn about(&self) -> &'static str {
        "A hundred remote activities at the same time"
    }

    fn register(&self, worker: WorkerBuilder) -> WorkerBuilder {
        worker.workflow(bench_parallel)
    }

    fn measure<'a>(&'a self, stage: &'a Stage) -> BoxFuture<'a, Result<Vec<Measured>, Error>> {
        Box::pin(ordinary::measure(self, stage, Story::Parallel(AT_ONCE), || {
            let client = stage.client();
            Runs(move || run(client.start(bench_parallel, AT_ONCE).queue(QUEUE), (0..AT_ONCE).sum()))
        }))
    }
}

/// Activities without work.
pub(super) struct Nothing;

#[activities]
impl Nothing {
    #[activity(start_to_close = "1m")]
    pub(super) async fn nothing(&self, number: u64) -> Result<u64, String> {
        Ok(number)
    }
}

#[workflow]
async fn bench_activities(ctx: Ctx, calls: u64) -> Result<u64, Exit> {
    let mut sum = 0;
    for call in 0..calls {
        sum += ctx.run(Nothing::nothing, call).await?;
    }
    Ok(sum)
}

#[workflow]
async fn bench_parallel(ctx: Ctx, calls: u64) -> Result<u64, Exit> {
    let results = try_join_all((0..calls).map(|call| ctx.run(Nothing::nothing, call))).await?;
    Ok(results.into_iter().sum())
}
