//! The load: so many runs under way at once, for so long.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use highwater::Client;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::workflows::{QUEUE, Row, bench_activities, bench_no_op, bench_steps};
use crate::exit::Error;

/// Steps and activities of a run.
const STEPS: u64 = 10;
/// The longest time that is told apart, in µs.
const LONGEST: u64 = 120_000_000;

/// A row as measured.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) row: Row,
    pub(super) concurrency: usize,
    pub(super) runs: u64,
    pub(super) elapsed: Duration,
    pub(super) times: Histogram<u64>,
}

impl Measured {
    pub(super) fn runs_per_second(&self) -> f64 {
        self.runs as f64 / self.elapsed.as_secs_f64()
    }

    pub(super) fn percentile(&self, quantile: f64) -> Duration {
        Duration::from_micros(self.times.value_at_quantile(quantile))
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "row": self.row.to_string(),
            "concurrency": self.concurrency,
            "runs": self.runs,
            "seconds": self.elapsed.as_secs_f64(),
            "runs_per_second": self.runs_per_second(),
            "p50_us": self.times.value_at_quantile(0.5),
            "p99_us": self.times.value_at_quantile(0.99),
            "max_us": self.times.max(),
        })
    }
}

/// Keeps `concurrency` runs under way and measures each from its start to its result.
pub(super) async fn measure(
    client: &Client,
    row: Row,
    concurrency: usize,
    duration: Duration,
) -> Result<Measured, Error> {
    let counting = Arc::new(AtomicBool::new(false));
    let over = Arc::new(AtomicBool::new(false));
    let mut lanes = JoinSet::new();
    for _ in 0..concurrency {
        lanes.spawn(lane(client.clone(), row, Arc::clone(&counting), Arc::clone(&over)));
    }
    tokio::time::sleep(duration / 5).await;
    counting.store(true, Ordering::Relaxed);
    let begun = Instant::now();
    tokio::time::sleep(duration).await;
    counting.store(false, Ordering::Relaxed);
    let elapsed = begun.elapsed();
    over.store(true, Ordering::Relaxed);
    let mut times = histogram()?;
    while let Some(lane) = lanes.join_next().await {
        let lane = lane.map_err(Error::failed)??;
        times.add(lane).map_err(Error::failed)?;
    }
    Ok(Measured { row, concurrency, runs: times.len(), elapsed, times })
}

fn histogram() -> Result<Histogram<u64>, Error> {
    Histogram::new_with_bounds(1, LONGEST, 3).map_err(Error::failed)
}

/// One run after the other; those that end while counting are counted.
async fn lane(
    client: Client,
    row: Row,
    counting: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
) -> Result<Histogram<u64>, Error> {
    let mut times = histogram()?;
    while !over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        run(&client, row).await?;
        if counting.load(Ordering::Relaxed) {
            times.saturating_record(u64::try_from(begun.elapsed().as_micros()).unwrap_or(LONGEST));
        }
    }
    Ok(times)
}

/// One run, from its start to its result, which is checked.
async fn run(client: &Client, row: Row) -> Result<(), Error> {
    let (expected, result) = match row {
        Row::NoOp => (7, client.start(bench_no_op, 7).queue(QUEUE).await.map_err(Error::failed)?.result().await),
        Row::Steps => (45, client.start(bench_steps, STEPS).queue(QUEUE).await.map_err(Error::failed)?.result().await),
        Row::Activities => {
            (45, client.start(bench_activities, STEPS).queue(QUEUE).await.map_err(Error::failed)?.result().await)
        }
    };
    match result {
        Ok(value) if value == expected => Ok(()),
        Ok(other) => Err(Error::failed(format_args!("a run of {row} gave {other} instead of {expected}"))),
        Err(error) => Err(Error::failed(error)),
    }
}
