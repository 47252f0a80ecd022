//! Very many runs that do nothing: they sleep for a month, or wait for a signal.
//!
//! The worker keeps none of them in memory, so what it has more of than before the first is what it keeps for them all
//! the same; a worker that starts later shows what it cannot do without. What NATS has more of is divided by the number
//! of runs: first for runs that wait for a signal, of which there is a record in the history and nothing else, then for
//! as many that sleep, of which there is a timer too. NATS returns memory minutes after it has no use for it, and
//! requests that have been dealt with are purged after a minute or two, so with many runs that is waited for. Its
//! *memory* is what is in use on its heap after a garbage collection; what it has *from the machine* is more, as a
//! program with a garbage collector may hold twice what it needs, and says more of both kinds together than of each.
//!
//! At last some sleep until all of them wake at the same instant, beside those that sleep on. From that instant it is
//! measured until the server has stored their ends.

use std::time::{Duration, Instant};

use highwater::{WorkerBuilder, prelude::*};
use highwater_broker::{BoxFuture, Broker, Stream};
use highwater_protocol::Timestamp;

use super::{
    Row,
    many::{WAIT_MAX, history_end, rss, spread, start_each, watch_history},
    resume::bench_waits,
};
use crate::{
    commands::bench::{measured::Measured, stage::Stage, worker_process::WorkerSettings},
    exit::Error,
};

/// Starts under way at once.
const STARTS_AT_ONCE: usize = 512;
/// Runs that come first, so that NATS and the worker have what they need for being busy at all.
const FIRST: u64 = 2_000;
/// The most runs that wake, and what part of all that is.
const WAKING_MAX: u64 = 10_000;
const TO_A_WAKING_ONE: u64 = 10;
/// A time that is long enough for the server to be the only one who counts it.
const A_MONTH: Duration = Duration::from_hours(30 * 24);
/// How long starting those may take that wake.
const ASLEEP_AFTER: Duration = Duration::from_secs(2);
const ASLEEP_A_SECOND: u32 = 1_000;
/// From so many runs on NATS is given the time to return what it does not need: it looks every two minutes.
const MANY: u64 = 100_000;
const RETURNS_AFTER: Duration = Duration::from_secs(130);
/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Sleeping;

impl Row for Sleeping {
    fn name(&self) -> &'static str {
        "sleeping"
    }

    fn about(&self) -> &'static str {
        "Very many runs that sleep: what they cost, and how soon they wake"
    }

    fn register(&self, worker: WorkerBuilder) -> WorkerBuilder {
        worker.workflow(bench_sleeps)
    }

    fn measure<'a>(&'a self, stage: &'a Stage) -> BoxFuture<'a, Result<Vec<Measured>, Error>> {
        Box::pin(async move { Ok(vec![measure(self.name(), stage).await?]) })
    }
}

/// Sleeps until an instant of the server's clock, in milliseconds.
#[workflow]
async fn bench_sleeps(ctx: Ctx, until_ms: i64) -> Result<(), Exit> {
    ctx.sleep(Timestamp::from_millis(until_ms).since(ctx.now())).await?;
    Ok(())
}

/// What there is at a moment.
struct Look {
    worker: f64,
    /// Nothing for a server elsewhere.
    nats: Option<f64>,
    /// Nothing for a cluster either.
    nats_heap: Option<f64>,
    stored: f64,
}

async fn measure(row: &'static str, stage: &Stage) -> Result<Measured, Error> {
    let count = stage.load.sizes.sleeping();
    eprintln!("measuring {row}: {count} runs that wait and {count} that sleep");
    let settings = WorkerSettings { cached_runs: Some(0), ..WorkerSettings::default() };
    let worker = stage.start_worker(settings).await?;
    let idle = rss(worker.usage())?;
    let look = async || {
        let nats = settled(stage, count).await;
        let nats_heap = stage.nats.live_heap().await?.map(|bytes| bytes as f64);
        let stored = stored(stage).await?;
        Ok::<_, Error>(Look { worker: rss(worker.usage())?, nats, nats_heap, stored })
    };

    start_waiting(stage, FIRST.min(count)).await?;
    let before = look().await?;
    start_waiting(stage, count).await?;
    let between = look().await?;
    let begun = Instant::now();
    start_sleeping(stage, count, in_time(stage, A_MONTH).await?).await?;
    let took = begun.elapsed().as_secs_f64();
    let after = look().await?;
    let measured = Measured::new(row)
        .figure("runs", count as f64, "")
        .figure("started", count as f64 / took, "runs/s")
        .figure("time to start", took, "s")
        .figure("worker, more than idle", (after.worker - idle) / MIB, "MiB")
        .figure("worker, more than before them", (after.worker - before.worker) / MIB, "MiB")
        .figure("worker, in all", after.worker / MIB, "MiB");
    let measured = match after.nats {
        Some(nats) => measured.figure("NATS from the machine, in all", nats / MIB, "MiB"),
        None => measured,
    };
    let measured = apiece(measured, "a waiting run", &before, &between, count);
    let measured = apiece(measured, "a sleeping run", &between, &after, count);
    let measured = apiece(measured, "a run of either kind", &before, &after, 2 * count);

    worker.stop().await?;
    let worker = stage.start_worker(settings).await?;
    let measured =
        measured.figure("worker that starts now, more than idle", (rss(worker.usage())? - idle) / MIB, "MiB");
    let woken = wake(stage, (count / TO_A_WAKING_ONE).clamp(1, WAKING_MAX)).await?;
    worker.stop().await?;
    Ok(spread(measured.figure("woken", woken.len() as f64, ""), "on record after waking", woken))
}

const MIB: f64 = 1024.0 * 1024.0;

/// What there is more of for each run.
fn apiece(measured: Measured, of: &str, before: &Look, after: &Look, runs: u64) -> Measured {
    let each = |before: f64, after: f64| (after - before) / runs as f64;
    let measured = measured.figure(format!("stored for {of}"), each(before.stored, after.stored), "B");
    let of_nats =
        [("memory", before.nats_heap.zip(after.nats_heap)), ("from the machine", before.nats.zip(after.nats))];
    of_nats.into_iter().fold(measured, |measured, (what, looks)| match looks {
        Some((before, after)) => measured.figure(format!("NATS {what} for {of}"), each(before, after), "B"),
        None => measured,
    })
}

async fn start_waiting(stage: &Stage, count: u64) -> Result<(), Error> {
    start_each(stage, count, STARTS_AT_ONCE, |client, _| client.start(bench_waits, 0)).await
}

async fn start_sleeping(stage: &Stage, count: u64, until: Timestamp) -> Result<(), Error> {
    let until = until.as_millis();
    start_each(stage, count, STARTS_AT_ONCE, move |client, _| client.start(bench_sleeps, until)).await
}

/// How long after the instant that so many runs slept until the end of each was stored, in milliseconds.
async fn wake(stage: &Stage, count: u64) -> Result<Vec<f64>, Error> {
    let broker = &**stage.highwater.broker();
    let from = history_end(broker).await?;
    let asleep_after = ASLEEP_AFTER + Duration::from_secs(count) / ASLEEP_A_SECOND;
    let until = in_time(stage, asleep_after).await?;
    start_sleeping(stage, count, until).await?;
    if in_time(stage, Duration::ZERO).await? > until {
        return Err(Error::failed(format_args!("{count} runs cannot be started within {asleep_after:?}")));
    }
    let mut after = Vec::new();
    watch_history(broker, from, asleep_after + WAIT_MAX, |_, record| {
        if record.frame.closed {
            after.push((record.time.as_micros() - until.as_micros()) as f64 / 1_000.0);
        }
        Ok(after.len() as u64 == count)
    })
    .await?;
    Ok(after)
}

/// An instant of the server's clock, in whole milliseconds.
async fn in_time(stage: &Stage, time: Duration) -> Result<Timestamp, Error> {
    let now = stage.highwater.broker().server_time().await.map_err(Error::failed)?;
    Ok(Timestamp::from_millis(now.after(time).as_millis()))
}

/// Bytes that last: requests are purged when they have been dealt with.
async fn stored(stage: &Stage) -> Result<f64, Error> {
    let lasts = |stream| matches!(stream, Stream::History | Stream::Timers);
    let streams = stage.stored().await?.streams;
    Ok(streams.iter().filter(|it| lasts(it.stream)).map(|it| it.bytes).sum::<u64>() as f64)
}

/// The memory of NATS, once it has not become less for a while. It may go on to do so little by little.
async fn settled(stage: &Stage, count: u64) -> Option<f64> {
    let patience = if count < MANY { stage.load.duration } else { RETURNS_AFTER };
    let mut least = stage.nats.usage()?.rss;
    let begun = Instant::now();
    let mut since = begun;
    while since.elapsed() < patience && begun.elapsed() < patience * 2 {
        tokio::time::sleep(LOOK).await;
        let now = stage.nats.usage()?.rss;
        if now < least - least / 100 {
            (least, since) = (now, Instant::now());
        }
    }
    Some(least as f64)
}
