//! A series that slices are added to.

use std::time::Duration;

use crate::{
    commands::bench::{
        load::Slice,
        series::{Series, SliceOf},
        stage::Stage,
        usage::{self, Usage},
        worker_process::WorkerProcess,
    },
    exit::Error,
};

/// What worker, NATS and this process have used so far.
pub(super) type Used = [Option<Usage>; 3];

/// Looks at what has been used. The pattern has no worker.
pub(super) fn look(worker: Option<&WorkerProcess>, stage: &Stage) -> Used {
    [worker.and_then(WorkerProcess::usage), stage.nats.usage(), usage::own()]
}

/// A series that slices are added to.
#[derive(Debug)]
pub(super) struct Growing {
    series: Series,
    /// All that was done, also what did not count.
    done: u64,
}

impl Growing {
    pub(super) fn new() -> Result<Self, Error> {
        Ok(Self { series: Series::new()?, done: 0 })
    }

    pub(super) fn slices(&self) -> usize {
        self.series.slices.len()
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.series.elapsed()
    }

    /// Adds a slice.
    pub(super) fn add(&mut self, slice: Slice<Used>) {
        let series = &mut self.series;
        let [before, after] = slice.edges;
        let cpu = [0, 1].map(|of| Some((after[of]? - before[of]?).cpu));
        let sums = [&mut series.worker, &mut series.nats, &mut series.load];
        for ((sum, before), after) in sums.into_iter().zip(before).zip(after) {
            *sum = added(*sum, before, after);
        }
        series.add(&slice.times, SliceOf::new(&slice.times, slice.work, slice.elapsed, cpu));
        self.done += slice.done;
    }

    /// The series, when the histories had so many bytes before and after it.
    pub(super) fn grown(mut self, before: u64, after: u64) -> Series {
        self.series.kept = (self.done > 0).then(|| after.saturating_sub(before) as f64 / self.done as f64);
        self.series
    }
}

/// What was used between two looks, with what was used before.
fn added(sum: Option<Usage>, before: Option<Usage>, after: Option<Usage>) -> Option<Usage> {
    let used = after? - before?;
    Some(sum.map_or(used, |sum| Usage { rss: used.rss, ..sum.and(used) }))
}
