//! How rows are measured that are a unit of work, done by many at once: in slices, at each concurrency, and in turn with the
//! pattern that has no engine.

use std::time::Duration;

use highwater_broker::Stream;

use crate::{
    commands::bench::{
        load::{Lanes, Unit},
        measured::Measured,
        pattern::{Pattern, Story},
        place::Nats,
        series::Series,
        stage::Stage,
        usage::{self, Usage},
        worker_process::{WorkerProcess, WorkerSettings},
    },
    exit::Error,
};

/// Into how many slices the time is cut.
const SLICES: u32 = 5;
/// How many there are at least, when one takes longer than its part.
const SLICES_MIN: usize = 2;

/// Measures a unit of work at each concurrency, with one worker, beside the pattern that does the same.
pub(super) async fn measure<U: Unit>(
    row: &'static str,
    stage: &Stage,
    story: Story,
    unit: impl Fn() -> U + Send,
) -> Result<Vec<Measured>, Error> {
    let worker = stage.start_worker(WorkerSettings::default()).await?;
    let pattern = Pattern::open(stage, story).await?;
    let mut measured = Vec::new();
    for concurrency in stage.load.concurrency.iter().copied() {
        let time = humantime::format_duration(stage.load.duration);
        eprintln!("measuring {row} at concurrency {concurrency} for {time}, and the pattern for as long");
        let lanes = Lanes::open(unit(), concurrency).await?;
        let (engine, pattern) = in_turn(stage, &worker, &pattern, lanes, concurrency).await?;
        measured.push(Measured {
            concurrency: Some(concurrency),
            engine: Some(engine),
            pattern: Some(pattern),
            ..Measured::new(row)
        });
    }
    pattern.close().await?;
    worker.stop().await?;
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
    let before = (history_bytes(stage).await?, pattern.history_bytes().await?);
    while !of_engine.is_long_enough(stage.load.duration) {
        of_engine.slice(&mut lanes, length, Some(worker), &stage.nats).await?;
        of_pattern.slice(&mut asking, length, None, &stage.nats).await?;
    }
    let after = (history_bytes(stage).await?, pattern.history_bytes().await?);
    lanes.close().await?;
    asking.close().await?;
    Ok((of_engine.grown(before.0, after.0), of_pattern.grown(before.1, after.1)))
}

/// A series that slices are added to.
struct Growing {
    series: Series,
    /// All that was done, also what did not count.
    done: u64,
}

impl Growing {
    fn new() -> Result<Self, Error> {
        Ok(Self { series: Series::new()?, done: 0 })
    }

    fn is_long_enough(&self, duration: Duration) -> bool {
        self.series.slices.len() >= SLICES_MIN && self.series.elapsed() >= duration
    }

    /// Measures one slice more.
    async fn slice<U: Unit>(
        &mut self,
        lanes: &mut Lanes<U>,
        length: Duration,
        worker: Option<&WorkerProcess>,
        nats: &Nats,
    ) -> Result<(), Error> {
        let look = || [worker.and_then(WorkerProcess::usage), nats.usage(), usage::own()];
        let slice = lanes.slice(length, look).await?;
        let series = &mut self.series;
        let sums = [&mut series.worker, &mut series.nats, &mut series.load];
        let [before, after] = slice.edges;
        for ((sum, before), after) in sums.into_iter().zip(before).zip(after) {
            *sum = added(*sum, before, after);
        }
        series.add(slice.times, slice.elapsed);
        self.done += slice.done;
        Ok(())
    }

    /// The series, when the histories had so many bytes before and after it.
    fn grown(mut self, before: u64, after: u64) -> Series {
        self.series.kept = (self.done > 0).then(|| after.saturating_sub(before) as f64 / self.done as f64);
        self.series
    }
}

/// What was used between two looks, with what was used before.
fn added(sum: Option<Usage>, before: Option<Usage>, after: Option<Usage>) -> Option<Usage> {
    let used = after? - before?;
    Some(sum.map_or(used, |sum| Usage { rss: used.rss, ..sum.and(used) }))
}

/// The bytes that the engine's histories take.
async fn history_bytes(stage: &Stage) -> Result<u64, Error> {
    let streams = stage.stored().await?.streams;
    Ok(streams.iter().filter(|status| status.stream == Stream::History).map(|status| status.bytes).sum())
}
