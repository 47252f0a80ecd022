//! What a run costs that is kept in memory.
//!
//! The worker keeps all runs of this row. Each has 10 events and waits for a signal. The memory is the one that the
//! system counts for the worker's process, the allocator's own needs included. A first half as many runs come before
//! the first look, so that what the worker needs for being busy at all is there already.

use highwater_broker::BoxFuture;

use super::{
    Row,
    many::{AT_ONCE, rss},
    resume::waiting,
};
use crate::{
    commands::bench::{measured::Measured, stage::Stage, worker_process::WorkerSettings},
    exit::Error,
};

/// How many events each run has.
const EVENTS: u64 = 10;
/// How many runs, unless something else is asked for.
const RUNS: u64 = 20_000;

#[derive(Debug)]
pub(super) struct Cached;

impl Row for Cached {
    fn name(&self) -> &'static str {
        "cached-run"
    }

    fn about(&self) -> &'static str {
        "Memory of the worker for a run of 10 events that it keeps"
    }

    fn measure<'a>(&'a self, stage: &'a Stage) -> BoxFuture<'a, Result<Vec<Measured>, Error>> {
        Box::pin(async move {
            let count = stage.load.sizes.runs(RUNS);
            eprintln!("measuring {}: {count} runs of {EVENTS} events", self.name());
            let settings = WorkerSettings { cached_runs: Some(2 * count as usize), ..WorkerSettings::default() };
            let worker = stage.start_worker(settings).await?;
            let idle = rss(worker.usage())?;
            let first = count.div_ceil(2);
            waiting(stage, first, EVENTS, AT_ONCE).await?;
            let before = rss(worker.usage())?;
            waiting(stage, count, EVENTS, AT_ONCE).await?;
            let after = rss(worker.usage())?;
            worker.stop().await?;
            let all = count + first;
            Ok(vec![
                Measured::new(self.name())
                    .figure("runs", count as f64, "")
                    .figure("memory of a run", (after - before) / count as f64, "B")
                    .figure("memory of a run, with all that came first", (after - idle) / all as f64, "B"),
            ])
        })
    }
}
