//! How rows are measured that are a unit of work, done by many at once: in slices, at each concurrency.

use std::time::Duration;

use crate::{
    commands::bench::{
        load::{Lanes, Unit},
        measured::{Measured, Series},
        place::Nats,
        stage::Stage,
        usage::Usage,
        worker_process::{WorkerProcess, WorkerSettings},
    },
    exit::Error,
};

/// Into how many slices the time is cut.
const SLICES: u32 = 5;
/// The part of a slice that passes before it counts.
const SETTLE: u32 = 5;

/// Measures a unit of work at each concurrency, with one worker.
pub(super) async fn measure<U: Unit>(
    row: &'static str,
    stage: &Stage,
    unit: impl Fn() -> U + Send,
) -> Result<Vec<Measured>, Error> {
    let worker = stage.start_worker(WorkerSettings::default()).await?;
    let mut measured = Vec::new();
    for concurrency in &stage.load.concurrency {
        eprintln!(
            "measuring {row} at concurrency {concurrency} for {}",
            humantime::format_duration(stage.load.duration)
        );
        let mut lanes = Lanes::open(unit(), *concurrency).await?;
        let mut series = Series::new()?;
        let length = stage.load.duration / SLICES;
        for _ in 0..SLICES {
            add_slice(&mut series, &mut lanes, length, &worker, &stage.nats).await?;
        }
        let concurrency = Some(*concurrency);
        measured.push(Measured { row, concurrency, engine: Some(series), figures: Vec::new() });
    }
    worker.stop().await?;
    Ok(measured)
}

/// Measures one slice more.
async fn add_slice<U: Unit>(
    series: &mut Series,
    lanes: &mut Lanes<U>,
    length: Duration,
    worker: &WorkerProcess,
    nats: &Nats,
) -> Result<(), Error> {
    let mut edges = Vec::with_capacity(2);
    let slice = lanes.slice(length / SETTLE, length, || edges.push((worker.usage(), nats.usage()))).await?;
    if let [before, after] = edges[..] {
        series.worker = added(series.worker, before.0, after.0);
        series.nats = added(series.nats, before.1, after.1);
    }
    series.slices.push((slice.times.len() as u64, slice.elapsed));
    for took in slice.times {
        series.record(took);
    }
    Ok(())
}

/// What was used between two looks, with what was used before.
fn added(sum: Option<Usage>, before: Option<Usage>, after: Option<Usage>) -> Option<Usage> {
    let used = after? - before?;
    Some(sum.map_or(used, |sum| Usage { rss: used.rss, ..sum.and(used) }))
}
