//! How rows are measured that are a unit of work, done by many at once: in slices, at each concurrency, and in turn with the
//! pattern that has no engine.

use crate::{
    commands::bench::{
        load::{Lanes, Unit},
        measured::Measured,
        pattern::{Pattern, Story},
        series::Series,
        stage::Stage,
        worker_process::{WorkerProcess, WorkerSettings},
    },
    exit::Error,
};

use super::{
    Row,
    growing::{Growing, look},
};

/// Into how many slices the time is cut.
pub(super) const SLICES: u32 = 5;
/// How many there are at least, when one takes longer than its part.
const SLICES_MIN: usize = 2;

/// Measures a unit of work at each concurrency, with one worker, beside the pattern that does the same.
pub(super) async fn measure<U: Unit>(
    row: &dyn Row,
    stage: &Stage,
    story: Story,
    unit: impl Fn() -> U + Send,
) -> Result<Vec<Measured>, Error> {
    let worker = stage.start_worker(WorkerSettings::default()).await?;
    let pattern = Pattern::open(stage, story).await?;
    let outcome = at_each_concurrency(row, stage, &worker, &pattern, unit).await;
    // The pattern's streams are in nobody's way afterwards, whatever has happened.
    let closed = pattern.close().await;
    let measured = outcome?;
    closed?;
    worker.stop().await?;
    Ok(measured)
}

async fn at_each_concurrency<U: Unit>(
    row: &dyn Row,
    stage: &Stage,
    worker: &WorkerProcess,
    pattern: &Pattern,
    unit: impl Fn() -> U + Send,
) -> Result<Vec<Measured>, Error> {
    let mut measured = Vec::new();
    for concurrency in stage.load.concurrency.iter().copied() {
        let (name, time) = (row.name(), humantime::format_duration(stage.load.duration));
        eprintln!("measuring {name} at concurrency {concurrency} for {time}, and the pattern for as long");
        let lanes = Lanes::open(unit(), concurrency).await?;
        let (engine, pattern) = in_turn(stage, worker, pattern, lanes, concurrency).await?;
        measured.push(Measured {
            unit: row.unit(),
            concurrency: Some(concurrency),
            engine: Some(engine),
            pattern: Some(pattern),
            ..Measured::new(name)
        });
    }
    Ok(measured)
}

/// A slice of the one, a slice of the other, so that what else the machine does meets both.
async fn in_turn<U: Unit>(
    stage: &Stage,
    worker: &WorkerProcess,
    pattern: &Pattern,
    mut lanes: Lanes<U>,
    concurrency: usize,
) -> Result<(Series, Series), Error> {
    let mut asking = Lanes::open(pattern.unit(), concurrency).await?;
    let (mut of_engine, mut of_pattern) = (Growing::new()?, Growing::new()?);
    let length = stage.load.duration / SLICES;
    let before = (stage.history_bytes().await?, pattern.history_bytes().await?);
    while of_engine.slices() < SLICES_MIN || of_engine.elapsed() < stage.load.duration {
        of_engine.add(lanes.slice(length, || look(Some(worker), stage)).await?);
        of_pattern.add(asking.slice(length, || look(None, stage)).await?);
    }
    let after = (stage.history_bytes().await?, pattern.history_bytes().await?);
    lanes.close().await?;
    asking.close().await?;
    Ok((of_engine.grown(before.0, after.0), of_pattern.grown(before.1, after.1)))
}
