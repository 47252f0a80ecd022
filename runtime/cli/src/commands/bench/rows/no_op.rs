//! A workflow that returns at once: from its start to its result, and its start alone.

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
pub(super) struct NoOp;

#[derive(Debug)]
pub(super) struct StartOnly;

impl Row for NoOp {
    fn name(&self) -> &'static str {
        "no-op"
    }

    fn about(&self) -> &'static str {
        "A workflow that returns at once, from its start to its result"
    }

    fn register(&self, worker: WorkerBuilder) -> WorkerBuilder {
        worker.workflow(bench_no_op)
    }

    fn measure<'a>(&'a self, stage: &'a Stage) -> BoxFuture<'a, Result<Vec<Measured>, Error>> {
        Box::pin(ordinary::measure(self, stage, Story::NoOp, || unit(stage.client())))
    }
}

impl Row for StartOnly {
    fn name(&self) -> &'static str {
        "start-only"
    }

    fn about(&self) -> &'static str {
        "A start until it is on record, without waiting for the result"
    }

    fn unit(&self) -> &'static str {
        "start"
    }

    fn measure<'a>(&'a self, stage: &'a Stage) -> BoxFuture<'a, Result<Vec<Measured>, Error>> {
        // What a run that returns at once leaves to be done after its start is nothing, so the pattern is the same.
        Box::pin(ordinary::measure(self, stage, Story::NoOp, || {
            let client = stage.client();
            Runs(move || {
                let start = client.start(bench_no_op, 7).queue(QUEUE);
                async move { Ok(start.await.map(drop)?) }
            })
        }))
    }
}

#[workflow]
pub(super) async fn bench_no_op(_ctx: Ctx, number: u64) -> Result<u64, Exit> {
    Ok(number)
}

/// One run, from its start to its result.
pub(super) fn unit(client: Client) -> Runs<impl Fn() -> BoxFuture<'static, Result<(), Error>>> {
    Runs(move || Box::pin(run(client.start(bench_no_op, 7).queue(QUEUE), 7)) as BoxFuture<'static, _>)
}
