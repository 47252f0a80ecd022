//! What a workflow that asks for very many activities at once does to the others on the same worker.
//!
//! The load is no-op runs, 64 at once. It is measured alone, then beside a run that fans out thousands of activities
//! (and, when that has ended, the next such run, until the time is over), and alone once more.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use highwater::{WorkerBuilder, prelude::*};
use highwater_broker::BoxFuture;

use super::{
    QUEUE, Row,
    many::{WAIT_MAX, ms, sorted, within},
    no_op,
};
use crate::{
    commands::bench::{
        load::{Lanes, Slice},
        measured::Measured,
        stage::Stage,
        worker_process::WorkerSettings,
    },
    exit::Error,
};

/// No-op runs under way at once.
const AT_ONCE: usize = 64;

#[derive(Debug)]
pub(super) struct NoisyNeighbour;

impl Row for NoisyNeighbour {
    fn name(&self) -> &'static str {
        "noisy-neighbour"
    }

    fn about(&self) -> &'static str {
        "No-op runs beside a run that fans out thousands of activities"
    }

    fn register(&self, worker: WorkerBuilder) -> WorkerBuilder {
        worker.workflow(bench_fan_out).activities(Noise)
    }

    fn measure<'a>(&'a self, stage: &'a Stage) -> BoxFuture<'a, Result<Vec<Measured>, Error>> {
        Box::pin(async move { Ok(vec![measure(self.name(), stage).await?]) })
    }
}

/// Activities without work.
struct Noise;

#[activities]
impl Noise {
    #[activity(start_to_close = "1m")]
    async fn bench_noise(&self, number: u64) -> Result<u64, String> {
        Ok(number)
    }
}

#[workflow]
async fn bench_fan_out(ctx: Ctx, activities: u64) -> Result<u64, Exit> {
    let calls = (0..activities).map(|number| ctx.run(Noise::bench_noise, number));
    let mut sum = 0;
    for number in join_all(calls).await {
        sum += number?;
    }
    Ok(sum)
}

async fn measure(row: &'static str, stage: &Stage) -> Result<Measured, Error> {
    let (time, activities) = (stage.load.duration, stage.load.sizes.fan_out);
    eprintln!("measuring {row}: no-op runs alone, and beside runs of {activities} activities at once");
    let worker = stage.start_worker(WorkerSettings::default()).await?;
    let mut lanes = Lanes::open(no_op::unit(stage.client()), AT_ONCE).await?;
    let before = lanes.slice(time, || ()).await?;
    let over = Arc::new(AtomicBool::new(false));
    let noise = tokio::spawn(fan_out(stage.client(), activities, Arc::clone(&over)));
    let beside = lanes.slice(time, || ()).await;
    over.store(true, Ordering::Relaxed);
    let fans = noise.await.map_err(Error::failed)??;
    let beside = beside?;
    let after = lanes.slice(time, || ()).await?;
    worker.stop().await?;

    let measured = Measured::new(row).figure("activities of a run", activities as f64, "");
    let measured = add(measured, "alone", &before);
    let measured = add(measured, "beside it", &beside);
    let measured = add(measured, "alone again", &after);
    let slower = rate(&before) / rate(&beside);
    let each = fans.iter().sum::<Duration>() / fans.len().max(1) as u32;
    Ok(measured
        .figure("times slower beside it", slower, "")
        .figure("times longer p99 beside it", p99(&beside) / p99(&before), "")
        .figure("the run with the activities", ms(each), "ms"))
}

/// Runs of so many activities, one after the other, until it is over. Returns how long each took.
async fn fan_out(client: Client, activities: u64, over: Arc<AtomicBool>) -> Result<Vec<Duration>, Error> {
    let mut took = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let run = client.start(bench_fan_out, activities).queue(QUEUE).await?;
        match run.result().timeout(WAIT_MAX).await {
            Ok(sum) if sum == activities * (activities - 1) / 2 => took.push(begun.elapsed()),
            other => return Err(Error::failed(format_args!("a run of {activities} activities gave {other:?}"))),
        }
    }
    Ok(took)
}

fn add(measured: Measured, of: &str, slice: &Slice<()>) -> Measured {
    let times = times_of(slice);
    measured
        .figure(format!("no-op {of}"), rate(slice), "runs/s")
        .figure(format!("no-op {of} p50"), within(&times, 0.5), "ms")
        .figure(format!("no-op {of} p99"), within(&times, 0.99), "ms")
}

fn rate(slice: &Slice<()>) -> f64 {
    slice.work / slice.elapsed.as_secs_f64()
}

fn p99(slice: &Slice<()>) -> f64 {
    within(&times_of(slice), 0.99)
}

fn times_of(slice: &Slice<()>) -> Vec<f64> {
    sorted(slice.times.iter().copied().map(ms).collect())
}
