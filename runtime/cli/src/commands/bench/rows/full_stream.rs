//! Whether the engine becomes slower by how much there is in the history stream.
//!
//! No-op runs and cold resumes, one after the other, before and after the stream is filled. It is filled with copies of the
//! record of a no-op run, each as the only record of a workflow id of its own, as if so many runs had been. What counts is that they are there and
//! not that they have just come, so the server may first write and collect what filling left it to.

use std::time::{Duration, Instant};

use highwater_broker::{BoxFuture, Broker, Publish, Stream};
use highwater_protocol::{RunId, WorkflowId};

use super::{
    QUEUE, Row,
    many::{for_each, ms, rss, within},
    no_op::bench_no_op,
    resume,
    run::run,
};
use crate::{
    commands::bench::{measured::Measured, stage::Stage, worker_process::WorkerSettings},
    exit::Error,
};

/// Records on their way at once while the stream is filled.
const FILL_AT_ONCE: usize = 2_048;
/// A server on this machine is at rest when it takes less than a tenth of a core for so long. It has to be after so long at the latest.
const REST: Duration = Duration::from_secs(1);
const REST_MAX: Duration = Duration::from_mins(2);
/// Runs that are resumed each time.
const RESUMES: u64 = 100;

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
    // So that runs which wait are cold. No-op runs end in one go, with and without a cache.
    let settings = WorkerSettings { cached_runs: Some(0), ..WorkerSettings::default() };
    let worker = stage.start_worker(settings).await?;
    let empty = times(stage).await?;
    let nats = stage.nats.usage();
    let begun = Instant::now();
    fill(stage, messages).await?;
    let filled = begun.elapsed();
    let more = stage.nats.usage().zip(nats);
    let full = times(stage).await?;
    worker.stop().await?;
    let measured = Measured::new(row)
        .figure("messages", messages as f64, "")
        .figure("filled", messages as f64 / filled.as_secs_f64(), "messages/s")
        .figure("no-op p50, empty", empty.no_op, "ms")
        .figure("no-op p50, full", full.no_op, "ms")
        .figure("no-op, times longer when full", full.no_op / empty.no_op, "")
        .figure("cold resume p50, empty", empty.resume, "ms")
        .figure("cold resume p50, full", full.resume, "ms")
        .figure("cold resume, times longer when full", full.resume / empty.resume, "");
    Ok(match more {
        Some((after, before)) => {
            let more = rss(Some(after))? - rss(Some(before))?;
            measured.figure("NATS memory more for each message", more / messages as f64, "B")
        }
        None => measured,
    })
}

async fn times(stage: &Stage) -> Result<Times, Error> {
    come_to_rest(stage).await;
    let client = stage.client();
    let mut took = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < stage.load.duration {
        let begun = Instant::now();
        run(client.start(bench_no_op, 7).queue(QUEUE), 7).await?;
        took.push(ms(begun.elapsed()));
    }
    let mut resumes = resume::times(stage, RESUMES).await?;
    Ok(Times { no_op: half(&mut took), resume: half(&mut resumes) })
}

/// Waits until the server has nothing more to do, if that can be known.
async fn come_to_rest(stage: &Stage) {
    let begun = Instant::now();
    let mut before = stage.nats.usage();
    while let Some(used) = before
        && begun.elapsed() < REST_MAX
    {
        tokio::time::sleep(REST).await;
        before = stage.nats.usage();
        if before.is_some_and(|now| (now - used).cpu < REST / 10) {
            return;
        }
    }
}

fn half(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    within(times, 0.5)
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
