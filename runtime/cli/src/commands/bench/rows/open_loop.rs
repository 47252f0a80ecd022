//! Runs that begin at a rate, whatever becomes of those under way.

use std::sync::Arc;

use highwater_broker::BoxFuture;

use super::{
    Row,
    growing::{Growing, look},
    no_op,
    ordinary::SLICES,
};
use crate::{
    commands::bench::{
        load::Lanes,
        measured::Measured,
        offered::offer,
        pattern::{Pattern, Story},
        stage::Stage,
        worker_process::{WorkerProcess, WorkerSettings},
    },
    exit::Error,
};

/// The part of the peak that is offered.
const PART: f64 = 0.5;

#[derive(Debug)]
pub(super) struct OpenLoop;

impl Row for OpenLoop {
    fn name(&self) -> &'static str {
        "open-loop"
    }

    fn about(&self) -> &'static str {
        "No-op runs that begin at half of the peak, timed from when they should begin"
    }

    fn measure<'a>(&'a self, stage: &'a Stage) -> BoxFuture<'a, Result<Vec<Measured>, Error>> {
        Box::pin(measure(self.name(), stage))
    }
}

async fn measure(row: &'static str, stage: &Stage) -> Result<Vec<Measured>, Error> {
    let worker = stage.start_worker(WorkerSettings::default()).await?;
    let pattern = Pattern::open(stage, Story::NoOp).await?;
    let outcome = at_half_of_the_peak(row, stage, &worker, &pattern).await;
    // The pattern's streams are in nobody's way afterwards, whatever has happened.
    let closed = pattern.close(stage).await;
    let measured = outcome?;
    closed?;
    worker.stop().await?;
    Ok(vec![measured])
}

async fn at_half_of_the_peak(
    row: &'static str,
    stage: &Stage,
    worker: &WorkerProcess,
    pattern: &Pattern,
) -> Result<Measured, Error> {
    let length = stage.load.duration / SLICES;
    let peak = peak(stage).await?;
    let offered = peak * PART;
    eprintln!("measuring {row} at {offered:.0} a second, half of the {peak:.0} that were just measured");
    let (engine, asker) = (Arc::new(no_op::unit(stage.client())), Arc::new(pattern.unit()));
    let (mut of_engine, mut of_pattern) = (Growing::new()?, Growing::new()?);
    let before = (stage.history_bytes().await?, pattern.history_bytes().await?);
    for _ in 0..SLICES {
        of_engine.add(offer(&engine, offered, length, || look(Some(worker), stage)).await?);
        of_pattern.add(offer(&asker, offered, length, || look(None, stage)).await?);
    }
    let after = (stage.history_bytes().await?, pattern.history_bytes().await?);
    let measured = Measured {
        engine: Some(of_engine.grown(before.0, after.0)),
        pattern: Some(of_pattern.grown(before.1, after.1)),
        ..Measured::new(row)
    };
    Ok(measured.figure("peak measured just before", peak, "runs/s").figure("offered", offered, "runs/s"))
}

/// How many runs a second there are when whoever asks waits for the answer, with as many as shall ask at most.
async fn peak(stage: &Stage) -> Result<f64, Error> {
    let concurrency = stage.load.concurrency.iter().copied().max().unwrap_or(1);
    let mut lanes = Lanes::open(no_op::unit(stage.client()), concurrency).await?;
    let slice = lanes.slice(stage.load.duration, || ()).await?;
    Ok(slice.work / slice.elapsed.as_secs_f64())
}
