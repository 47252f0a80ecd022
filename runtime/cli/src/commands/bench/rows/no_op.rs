//! A workflow that returns at once.

use highwater::{WorkerBuilder, prelude::*};
use highwater_broker::BoxFuture;

use super::{QUEUE, Row, ordinary};
use crate::{
    commands::bench::{load::Unit, measured::Measured, stage::Stage},
    exit::Error,
};

#[derive(Debug)]
pub(super) struct NoOp;

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
        Box::pin(ordinary::measure(self.name(), stage, || Run(stage.client())))
    }
}

#[workflow]
pub(super) async fn bench_no_op(_ctx: Ctx, number: u64) -> Result<u64, Exit> {
    Ok(number)
}

/// One run, from its start to its result.
pub(super) struct Run(pub(super) Client);

impl Unit for Run {
    type Lane = ();

    async fn open(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn once(&self, _lane: &mut ()) -> Result<(), Error> {
        no_op(&self.0).await
    }
}

/// One run, whose result is checked.
pub(super) async fn no_op(client: &Client) -> Result<(), Error> {
    let run = client.start(bench_no_op, 7).queue(QUEUE).await?;
    match run.result().await {
        Ok(7) => Ok(()),
        other => Err(Error::failed(format_args!("a run gave {other:?} instead of 7"))),
    }
}
