//! How rows are measured that are a unit of work, done by many at once: in slices, at each concurrency, and in turn
//! with the pattern that has no engine.

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
    many::ms,
};

/// Into how many slices the time is cut.
pub(super) const SLICES: u32 = 5;
/// How many there are at least, when one takes longer than its part.
const SLICES_MIN: usize = 3;

/// Measures a unit of work at each concurrency, with one worker, beside the pattern that does the same.
pub(super) async fn measure<U: Unit>(
    row: &dyn Row,
    stage: &Stage,
    story: Story,
    unit: impl Fn() -> U + Send,
) -> Result<Vec<Measured>, Error> {
    measure_beside(row, stage, &[story], unit).await
}

/// The same, and tells how many times an acknowledged publish it takes.
pub(super) async fn measure_by_publish<U: Unit>(
    row: &dyn Row,
    stage: &Stage,
    story: Story,
    unit: impl Fn() -> U + Send,
) -> Result<Vec<Measured>, Error> {
    measure_beside(row, stage, &[story, Story::Publish], unit).await
}

/// Measures it in turn with stories of the pattern, of which the first is its own.
async fn measure_beside<U: Unit>(
    row: &dyn Row,
    stage: &Stage,
    stories: &[Story],
    unit: impl Fn() -> U + Send,
) -> Result<Vec<Measured>, Error> {
    let worker = stage.start_worker(WorkerSettings::default()).await?;
    let mut patterns = Vec::new();
    let mut opened = Ok(());
    for story in stories {
        match Pattern::open(stage, *story).await {
            Ok(pattern) => patterns.push(pattern),
            Err(error) => opened = opened.and(Err(error)),
        }
    }
    let outcome = match opened {
        Ok(()) => at_each_concurrency(row, stage, &worker, &patterns, unit).await,
        Err(error) => Err(error),
    };
    // The patterns' streams are in nobody's way afterwards, whatever has happened.
    let mut closed = Ok(());
    for pattern in patterns {
        closed = pattern.close(stage).await.and(closed);
    }
    let measured = outcome?;
    closed?;
    worker.stop().await?;
    Ok(measured)
}

async fn at_each_concurrency<U: Unit>(
    row: &dyn Row,
    stage: &Stage,
    worker: &WorkerProcess,
    patterns: &[Pattern],
    unit: impl Fn() -> U + Send,
) -> Result<Vec<Measured>, Error> {
    let mut measured = Vec::new();
    for concurrency in stage.load.concurrency.iter().copied() {
        let (name, time) = (row.name(), humantime::format_duration(stage.load.duration));
        eprintln!("measuring {name} at concurrency {concurrency} for {time}, and the pattern for as long");
        let lanes = Lanes::open(unit(), concurrency).await?;
        let (engine, patterns) = in_turn(stage, worker, patterns, lanes, concurrency).await?;
        let mut patterns = patterns.into_iter();
        let row = Measured {
            unit: row.unit(),
            concurrency: Some(concurrency),
            engine: Some(engine),
            pattern: patterns.next(),
            ..Measured::new(name)
        };
        measured.push(match patterns.next() {
            Some(publish) => by_publish(row, &publish),
            None => row,
        });
    }
    Ok(measured)
}

/// A slice of the one, a slice of each of the others, so that what else the machine does meets all of them.
async fn in_turn<U: Unit>(
    stage: &Stage,
    worker: &WorkerProcess,
    patterns: &[Pattern],
    mut lanes: Lanes<U>,
    concurrency: usize,
) -> Result<(Series, Vec<Series>), Error> {
    let mut of_engine = Growing::new()?;
    let mut of_patterns = Vec::new();
    for pattern in patterns {
        let asking = Lanes::open(pattern.unit(), concurrency).await?;
        of_patterns.push((pattern, asking, Growing::new()?, pattern.history_bytes().await?));
    }
    let length = stage.load.duration / SLICES;
    let before = stage.history_bytes().await?;
    while of_engine.slices() < SLICES_MIN || of_engine.elapsed() < stage.load.duration {
        of_engine.add(lanes.slice(length, || look(Some(worker), stage)).await?);
        for (_, asking, series, _) in &mut of_patterns {
            series.add(asking.slice(length, || look(None, stage)).await?);
        }
    }
    let of_engine = of_engine.grown(before, stage.history_bytes().await?);
    lanes.close().await?;
    let mut series = Vec::new();
    for (pattern, asking, grew, before) in of_patterns {
        series.push(grew.grown(before, pattern.history_bytes().await?));
        asking.close().await?;
    }
    Ok((of_engine, series))
}

/// Holds the times of a row against those of one acknowledged publish.
fn by_publish(mut row: Measured, publish: &Series) -> Measured {
    let one = ms(publish.within(0.5));
    row.add("an acknowledged publish, p50", one, "ms");
    if let Some(engine) = &row.engine {
        let times = ms(engine.within(0.5)) / one;
        row.add("p50, times an acknowledged publish", times, "");
    }
    row
}
