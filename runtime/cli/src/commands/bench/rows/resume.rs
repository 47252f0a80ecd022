//! A run that is not in the worker's memory goes on.
//!
//! From the publish of a signal to what the run says to it, which is its result: the worker has to read the run's
//! history of 100 events, one to a record as local steps make them, build the run, and append the next record. The
//! worker keeps no run in memory, so every one of them is cold. A second worker, which keeps them all, does the same
//! for comparison. One run after the other, each once.

use std::time::Instant;

use highwater::{WorkerBuilder, WorkflowHandle, prelude::*};
use highwater_broker::{BoxFuture, Broker as _};

use super::{
    QUEUE, Row,
    growing::look,
    many::{AT_ONCE, WAIT_MAX, cpu, for_each, history_end, ms, signal, spread, watch_history},
};
use crate::{
    commands::bench::{measured::Measured, stage::Stage, worker_process::WorkerSettings},
    exit::Error,
};

/// How many events the histories have.
const EVENTS: u64 = 100;
/// How many runs, unless something else is asked for.
const RUNS: u64 = 200;
/// The signal that the runs wait for.
pub(super) const GO: &str = "go";

#[derive(Debug)]
pub(super) struct ColdResume;

impl Row for ColdResume {
    fn name(&self) -> &'static str {
        "cold-resume"
    }

    fn about(&self) -> &'static str {
        "From a signal to the answer of a run of 100 events that is not in memory"
    }

    fn register(&self, worker: WorkerBuilder) -> WorkerBuilder {
        worker.workflow(bench_waits)
    }

    fn measure<'a>(&'a self, stage: &'a Stage) -> BoxFuture<'a, Result<Vec<Measured>, Error>> {
        Box::pin(async move {
            let count = stage.load.sizes.runs(RUNS);
            let mut measured = Measured::new(self.name()).figure("runs", count as f64, "");
            for (of, cached_runs) in [("cold", 0), ("cached", 2 * count as usize)] {
                eprintln!("measuring {}: {count} {of} runs of {EVENTS} events", self.name());
                let settings = WorkerSettings { cached_runs: Some(cached_runs), ..WorkerSettings::default() };
                let worker = stage.start_worker(settings).await?;
                let waiting = ready(stage, count).await?;
                let before = look(Some(&worker), stage);
                measured = spread(measured, of, times(stage, waiting).await?);
                measured = cpu(measured, &format!("{of}, "), count, before, look(Some(&worker), stage));
                worker.stop().await?;
            }
            Ok(vec![measured])
        })
    }
}

/// Takes so many steps, and waits for a signal.
#[workflow]
pub(super) async fn bench_waits(ctx: Ctx, steps: u64) -> Result<u64, Exit> {
    let mut go = ctx.signals::<u64>(GO);
    for step in 0..steps {
        ctx.step("note", move |_| async move { Ok::<u64, String>(step) }).await?;
    }
    Ok(go.recv().await?)
}

/// Starts runs and returns when each has so many events on record and waits for its signal.
pub(super) async fn waiting(
    stage: &Stage,
    count: u64,
    events: u64,
    at_once: usize,
) -> Result<Vec<WorkflowHandle<bench_waits>>, Error> {
    let broker = &**stage.highwater.broker();
    let from = history_end(broker).await?;
    let client = stage.client();
    let started = for_each(count, at_once, move |_| {
        let client = client.clone();
        // The first event is the start.
        async move { Ok(client.start(bench_waits, events - 1).queue(QUEUE).await?) }
    });
    let mut there = 0;
    let wait = watch_history(broker, from, WAIT_MAX, |_, record| {
        let recorded = record.frame.first_event - 1 + record.body().map_err(Error::failed)?.events.len() as u64;
        there += u64::from(recorded == events);
        Ok(there == count)
    });
    let (started, ()) = tokio::try_join!(started, wait)?;
    Ok(started)
}

/// Starts runs and returns when each has a long history and waits for its signal.
pub(super) async fn ready(stage: &Stage, count: u64) -> Result<Vec<WorkflowHandle<bench_waits>>, Error> {
    waiting(stage, count, EVENTS, AT_ONCE).await
}

/// The time from signal to result of a run that waits, in milliseconds.
pub(super) async fn time(stage: &Stage, run: &WorkflowHandle<bench_waits>) -> Result<f64, Error> {
    let broker = &**stage.highwater.broker();
    let signal = signal(broker, GO, &run.id().to_key())?;
    let begun = Instant::now();
    broker.publish(signal).await.map_err(Error::failed)?;
    // Its starter is told of the end by itself, without a look at the history.
    let result = run.result().timeout(WAIT_MAX).await.map_err(Error::failed)?;
    let took = ms(begun.elapsed());
    if result == 1 { Ok(took) } else { Err(Error::failed("a run was given another value than it was sent")) }
}

/// The times of so many runs, one after the other.
async fn times(stage: &Stage, waiting: Vec<WorkflowHandle<bench_waits>>) -> Result<Vec<f64>, Error> {
    let mut times = Vec::with_capacity(waiting.len());
    for run in waiting {
        times.push(time(stage, &run).await?);
    }
    Ok(times)
}
