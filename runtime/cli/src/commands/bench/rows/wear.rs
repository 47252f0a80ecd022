//! Whether the engine becomes slower, or larger, by what it has done.
//!
//! One worker does very many no-op runs, 64 at once. The first ones (after those that warm everything up) are compared
//! with the last ones, which are as many: the time and the CPU that a run takes, and what the processes have more of in
//! memory for each run in between. NATS keeps the histories, so its memory grows with them; the worker's must not.

use std::time::{Duration, Instant};

use highwater_broker::BoxFuture;

use super::{QUEUE, Row, many::for_each, no_op::bench_no_op, run::run};
use crate::{
    commands::bench::{
        measured::Measured,
        stage::Stage,
        usage::Usage,
        worker_process::{WorkerProcess, WorkerSettings},
    },
    exit::Error,
};

/// Runs under way at once.
const AT_ONCE: usize = 64;
/// Runs before the first that is counted, so that what is new to worker and server is not taken for what is cheap.
const FIRST: u64 = 2_000;
/// Runs in all when the row is named, and otherwise.
const FULL: u64 = 100_000;
const SMALL: u64 = 10_000;
/// Into how many parts they are cut, of which the first and the last are compared.
const PARTS: u64 = 10;

#[derive(Debug)]
pub(super) struct Wear;

impl Row for Wear {
    fn name(&self) -> &'static str {
        "wear"
    }

    fn about(&self) -> &'static str {
        "What a no-op run costs after 100000 others, or 10000 unless the row is named"
    }

    fn measure<'a>(&'a self, stage: &'a Stage) -> BoxFuture<'a, Result<Vec<Measured>, Error>> {
        Box::pin(async move { Ok(vec![measure(self.name(), stage).await?]) })
    }
}

/// What so many runs took.
struct Part {
    took: Duration,
    worker: Option<(Usage, Usage)>,
    nats: Option<(Usage, Usage)>,
}

async fn measure(row: &'static str, stage: &Stage) -> Result<Measured, Error> {
    let all = stage.load.sizes.runs_of(FULL, SMALL);
    let part = (all / PARTS).max(1);
    let between = all.saturating_sub(2 * part);
    eprintln!("measuring {row}: the first {part} and the last {part} of {all} runs");
    let worker = stage.start_worker(WorkerSettings::default()).await?;
    runs(stage, FIRST).await?;
    let first = runs_watched(stage, &worker, part).await?;
    runs(stage, between).await?;
    let last = runs_watched(stage, &worker, part).await?;
    worker.stop().await?;

    let rate = |it: &Part| part as f64 / it.took.as_secs_f64();
    let measured = Measured::new(row)
        .figure("runs", all as f64, "")
        .figure("first runs", rate(&first), "runs/s")
        .figure("last runs", rate(&last), "runs/s")
        .figure("times slower at last", rate(&first) / rate(&last), "");
    let measured = compare(measured, "worker", part, between + part, first.worker, last.worker);
    Ok(compare(measured, "NATS", part, between + part, first.nats, last.nats))
}

fn compare(
    measured: Measured,
    of: &str,
    part: u64,
    between: u64,
    first: Option<(Usage, Usage)>,
    last: Option<(Usage, Usage)>,
) -> Measured {
    let Some((first, last)) = first.zip(last) else { return measured };
    let cpu = |(before, after): (Usage, Usage)| (after - before).cpu_per_thousand(part as f64);
    let more = last.1.rss as f64 - first.1.rss as f64;
    measured
        .figure(format!("{of}, CPU of 1,000 first runs"), cpu(first), "s")
        .figure(format!("{of}, CPU of 1,000 last runs"), cpu(last), "s")
        .figure(format!("{of}, memory more for each run in between"), more / between as f64, "B")
}

async fn runs_watched(stage: &Stage, worker: &WorkerProcess, count: u64) -> Result<Part, Error> {
    let (worker_before, nats_before) = (worker.usage(), stage.nats.usage());
    let begun = Instant::now();
    runs(stage, count).await?;
    let took = begun.elapsed();
    Ok(Part { took, worker: worker_before.zip(worker.usage()), nats: nats_before.zip(stage.nats.usage()) })
}

async fn runs(stage: &Stage, count: u64) -> Result<(), Error> {
    let client = stage.client();
    for_each(count, AT_ONCE, move |_| {
        let client = client.clone();
        async move { run(client.start(bench_no_op, 7).queue(QUEUE), 7).await }
    })
    .await
    .map(drop)
}
