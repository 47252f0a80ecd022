//! Whether the engine becomes slower by how much there is in the history stream.
//!
//! No-op runs and cold resumes, one after the other, before and after the stream is filled. It is filled with copies of
//! the record of a no-op run, each as the only record of a workflow id of its own, as if so many runs had been. What
//! counts is that they are there and not that they have just come, so the server may first write and collect what
//! filling left it to.
//!
//! Minutes lie between the two, in which the machine may become another. So the full stream is also held against the
//! empty one of a second namespace on the same server, in turn, run by run.

use std::time::{Duration, Instant};

use highwater_broker::{BoxFuture, Broker, Publish, Stream};
use highwater_protocol::{Namespace, RunId, WorkflowId};

use super::{
    QUEUE, Row,
    many::{for_each, ms, rss, sorted, within},
    no_op::bench_no_op,
    resume,
    run::run,
};
use crate::{
    commands::bench::{measured::Measured, pattern::Space, stage::Stage, worker_process::WorkerSettings},
    exit::Error,
};

/// Records on their way at once while the stream is filled.
const FILL_AT_ONCE: usize = 2_048;
/// A server on this machine is at rest when it takes less than a tenth of a core for so long. It has to be after so
/// long at the latest.
const REST: Duration = Duration::from_secs(1);
const REST_MAX: Duration = Duration::from_mins(2);
/// Runs that are resumed each time, beside a full stream and beside a small one. With few, a single collection of the
/// server's memory, which takes long when there is much of it, would decide.
const RESUMES: u64 = 1_000;
const RESUMES_SMALL: u64 = 100;

#[derive(Debug)]
pub(super) struct FullStream;

impl Row for FullStream {
    fn name(&self) -> &'static str {
        "full-stream"
    }

    fn about(&self) -> &'static str {
        "No-op runs and cold resumes with very many messages in the stream"
    }

    fn measure<'a>(&'a self, stage: &'a Stage) -> BoxFuture<'a, Result<Vec<Measured>, Error>> {
        Box::pin(async move { Ok(vec![measure(self.name(), stage).await?]) })
    }
}

/// What half of them take at most, in milliseconds.
struct Times {
    no_op: f64,
    resume: f64,
}

async fn measure(row: &'static str, stage: &Stage) -> Result<Measured, Error> {
    let messages = stage.load.sizes.stream_messages();
    eprintln!("measuring {row}: with an empty stream, and with {messages} messages");
    let broker = stage.highwater.broker();
    let space = Space::make(broker.connection(), &stage.environment, broker.settings().clone()).await?;
    let outcome = measure_beside(row, stage, messages, space.broker().namespace()).await;
    // It is in nobody's way afterwards, whatever has happened.
    let removed = space.remove(&stage.environment).await;
    let measured = outcome?;
    removed?;
    Ok(measured)
}

async fn measure_beside(
    row: &'static str,
    stage: &Stage,
    messages: u64,
    beside: &Namespace,
) -> Result<Measured, Error> {
    let beside = stage.at(beside).await?;
    // So that runs which wait are cold. No-op runs end in one go, with and without a cache.
    let settings = WorkerSettings { cached_runs: Some(0), ..WorkerSettings::default() };
    let worker = stage.start_worker(settings).await?;
    let other = beside.start_worker(settings).await?;
    let [before, _] = times([stage, &beside]).await?;
    let nats = stage.nats.usage();
    let begun = Instant::now();
    fill(stage, messages).await?;
    let filled = begun.elapsed();
    let more = stage.nats.usage().zip(nats);
    let [full, empty] = times([stage, &beside]).await?;
    other.stop().await?;
    beside.close().await?;
    worker.stop().await?;
    let measured = Measured::new(row).figure("messages", messages as f64, "").figure(
        "filled",
        messages as f64 / filled.as_secs_f64(),
        "messages/s",
    );
    let measured = compared(measured, "no-op", before.no_op, full.no_op, empty.no_op);
    let measured = compared(measured, "cold resume", before.resume, full.resume, empty.resume);
    Ok(match more {
        Some((after, before)) => {
            let more = rss(Some(after))? - rss(Some(before))?;
            measured.figure("NATS memory more for each message", more / messages as f64, "B")
        }
        None => measured,
    })
}

/// Adds what takes so long with a full stream, with an empty one in turn with it, and what it took before it was
/// filled.
fn compared(measured: Measured, what: &str, before: f64, full: f64, empty: f64) -> Measured {
    measured
        .figure(format!("{what} p50, full"), full, "ms")
        .figure(format!("{what} p50, empty, in turn with it"), empty, "ms")
        .figure(format!("{what} p50, before it was filled"), before, "ms")
        .figure(format!("{what}, times longer than the empty one in turn"), full / empty, "")
        .figure(format!("{what}, times longer than before"), full / before, "")
}

/// The times in each of these, run by run in turn.
async fn times<const N: usize>(stages: [&Stage; N]) -> Result<[Times; N], Error> {
    let mut no_ops: [Vec<f64>; N] = std::array::from_fn(|_| Vec::new());
    let mut resumes = no_ops.clone();
    let mut waiting = Vec::new();
    for stage in stages {
        let count = stage.load.sizes.runs_of(RESUMES, RESUMES_SMALL);
        waiting.push(resume::ready(stage, count).await?.into_iter());
    }
    come_to_rest(stages[0]).await;
    let begun = Instant::now();
    while begun.elapsed() < stages[0].load.duration * N as u32 {
        for (stage, took) in stages.iter().zip(&mut no_ops) {
            let begun = Instant::now();
            run(stage.client().start(bench_no_op, 7).queue(QUEUE), 7).await?;
            took.push(ms(begun.elapsed()));
        }
    }
    while let Some(runs) = waiting.iter_mut().map(Iterator::next).collect::<Option<Vec<_>>>() {
        for ((stage, run), took) in stages.iter().zip(runs).zip(&mut resumes) {
            took.push(resume::time(stage, &run).await?);
        }
    }
    let mut resumes = resumes.into_iter();
    Ok(no_ops.map(|no_op| Times { no_op: half(no_op), resume: half(resumes.next().unwrap_or_default()) }))
}

/// Waits until the server has nothing more to do, if that can be known.
async fn come_to_rest(stage: &Stage) {
    let begun = Instant::now();
    let mut before = stage.nats.usage();
    while let Some(used) = before {
        tokio::time::sleep(REST).await;
        before = stage.nats.usage();
        if before.is_some_and(|now| (now - used).cpu < REST / 10) {
            return;
        }
        if begun.elapsed() > REST_MAX {
            eprintln!("the server is still busy with what was stored before, {REST_MAX:?} later");
            return;
        }
    }
}

fn half(times: Vec<f64>) -> f64 {
    within(&sorted(times), 0.5)
}

/// Fills the history stream with records of runs that have ended.
async fn fill(stage: &Stage, messages: u64) -> Result<(), Error> {
    let run = stage.client().start(bench_no_op, 7).queue(QUEUE).await?;
    run.result().await.map_err(Error::failed)?;
    let broker = stage.connect().await?.broker().clone();
    let subject = broker.subjects().history(&run.id().to_key());
    let record = broker.last_from_leader(Stream::History, subject).await.map_err(Error::failed)?;
    let record = record.ok_or_else(|| Error::failed("a run has ended and left no record"))?;
    let connection = broker.clone();
    for_each(messages, FILL_AT_ONCE, move |_| {
        let (broker, headers, payload) = (broker.clone(), record.headers.clone(), record.payload.clone());
        async move {
            // An id as those of runs whose starter gives them none.
            let key = WorkflowId::new(RunId::generate().to_string())?.to_key();
            let subject = broker.subjects().history(&key);
            let publish = Publish { subject, headers, payload, expect_last: Some(0), ..Publish::default() };
            broker.publish(publish).await.map_err(Error::failed).map(drop)
        }
    })
    .await?;
    connection.connection().close().await;
    Ok(())
}
