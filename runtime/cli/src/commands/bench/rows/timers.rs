//! How late a timer is.
//!
//! Each run sleeps once. Late is what lies between the instant that it slept until and the one at which the server
//! stored the record that says so, both by the server's clock. A timer that were early would show as less than nothing.
//! Two rows: with the runs in the worker's memory, where its own clock wakes them, and with none there, where the
//! scheduled message of the server does, whose clock ticks four times a second.

use std::{collections::HashMap, time::Duration};

use highwater::{WorkerBuilder, prelude::*};
use highwater_broker::BoxFuture;
use highwater_protocol::{Event, Timestamp};

use super::{
    Row,
    growing::look,
    many::{AT_ONCE, WAIT_MAX, cpu, history_end, spread, start_each, watch_history},
};
use crate::{
    commands::bench::{measured::Measured, stage::Stage, worker_process::WorkerSettings},
    exit::Error,
};

/// Timers for each second of the time in which they are due.
const A_SECOND: u64 = 200;
/// The shortest sleep, so that all are asleep when the first is due: so long, and how many are started in a second at
/// least.
const FIRST_AFTER: Duration = Duration::from_secs(1);
const STARTED_A_SECOND: u32 = 2_000;
/// Timers are spread over the time by steps of the golden ratio: evenly, and not in step with any clock.
const SPREAD: f64 = 0.618_033_988_749_895;

/// Timers of runs that are in memory, or not.
#[derive(Debug)]
pub(super) struct Timers {
    cached: bool,
}

impl Timers {
    pub(super) const CACHED: Self = Self { cached: true };
    pub(super) const EVICTED: Self = Self { cached: false };
}

impl Row for Timers {
    fn name(&self) -> &'static str {
        if self.cached { "timer-cached" } else { "timer-evicted" }
    }

    fn about(&self) -> &'static str {
        if self.cached {
            "How late timers are on record, of runs in the worker's memory"
        } else {
            "How late timers are on record, of runs that are not in memory"
        }
    }

    fn register(&self, worker: WorkerBuilder) -> WorkerBuilder {
        // Both rows have the workflow in common.
        if self.cached { worker.workflow(bench_timer) } else { worker }
    }

    fn measure<'a>(&'a self, stage: &'a Stage) -> BoxFuture<'a, Result<Vec<Measured>, Error>> {
        Box::pin(async move { Ok(vec![measure(self, stage).await?]) })
    }
}

#[workflow]
async fn bench_timer(ctx: Ctx, after_ms: u64) -> Result<(), Exit> {
    ctx.sleep(Duration::from_millis(after_ms)).await?;
    Ok(())
}

async fn measure(row: &Timers, stage: &Stage) -> Result<Measured, Error> {
    let time = stage.load.duration;
    let count = stage.load.sizes.runs((time.as_secs_f64() * A_SECOND as f64).ceil() as u64);
    let first_after = FIRST_AFTER + Duration::from_secs(count) / STARTED_A_SECOND;
    eprintln!("measuring {}: {count} timers that are due within {}", row.name(), humantime::format_duration(time));
    let cached_runs = if row.cached { 2 * count as usize } else { 0 };
    let worker =
        stage.start_worker(WorkerSettings { cached_runs: Some(cached_runs), ..WorkerSettings::default() }).await?;
    let broker = &**stage.highwater.broker();
    let before = look(Some(&worker), stage);
    let from = history_end(broker).await?;
    start_each(stage, count, AT_ONCE, move |client, number| {
        let after = first_after + time.mul_f64((number as f64 * SPREAD).fract());
        client.start(bench_timer, after.as_millis() as u64)
    })
    .await?;

    let mut due: HashMap<String, Timestamp> = HashMap::new();
    let mut late = Vec::new();
    watch_history(broker, from, first_after + time + WAIT_MAX, |key, record| {
        for event in record.body().map_err(Error::failed)?.events {
            match event {
                Event::TimerStarted { fire_at, .. } => drop(due.insert(key.to_owned(), fire_at)),
                Event::TimerFired { .. } => {
                    let due = due.get(key).ok_or_else(|| Error::failed("a timer fired that nobody has started"))?;
                    late.push((record.time.as_micros() - due.as_micros()) as f64 / 1_000.0);
                }
                _ => {}
            }
        }
        Ok(late.len() as u64 == count)
    })
    .await?;
    let after = look(Some(&worker), stage);
    worker.stop().await?;
    let earliest = late.iter().copied().fold(f64::INFINITY, f64::min);
    let measured = Measured::new(row.name()).figure("timers", count as f64, "").figure("late min", earliest, "ms");
    Ok(cpu(spread(measured, "late", late), "", count, before, after))
}
