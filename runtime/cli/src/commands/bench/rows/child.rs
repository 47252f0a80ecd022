//! A workflow that starts another one and waits for its result.

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

#[derive(Debug)]
pub(super) struct Child;

impl Row for Child {
    fn name(&self) -> &'static str {
        "child"
    }

    fn about(&self) -> &'static str {
        "A workflow that starts a child, which returns at once, and returns its result"
    }

    fn register(&self, worker: WorkerBuilder) -> WorkerBuilder {
        worker.workflow(bench_parent).workflow(bench_child)
    }

    fn measure<'a>(&'a self, stage: &'a Stage) -> BoxFuture<'a, Result<Vec<Measured>, Error>> {
        Box::pin(ordinary::measure(self, stage, Story::Child, || {
            let client = stage.client();
            Runs(move || run(client.start(bench_parent, 7).queue(QUEUE), 7))
        }))
    }
}

#[workflow]
async fn bench_parent(ctx: Ctx, number: u64) -> Result<u64, Exit> {
    Ok(ctx.child(bench_child, number).await?)
}

#[workflow]
async fn bench_child(_ctx: Ctx, number: u64) -> Result<u64, Exit> {
    Ok(number)
}
