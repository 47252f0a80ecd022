//! How fast the core replays, on one core and without I/O. The time is what the thread spends on a core, where the
//! system tells.
//!
//! A run is played once to have a history: rounds of a local step, an activity and a timer, each with a number as its
//! result, which is five events a round in three records. Then that history is given to new runs again and again, as a
//! worker does when it rebuilds one, and its events are counted: with the records decoded already, and from their bytes
//! as they come from the stream. A second, short history shows what it costs to begin at all.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use highwater::{Payload, prelude::*};
use highwater_broker::{BoxFuture, Message, history::StoredRecord};
use highwater_core::run::{Conclusion, Limits, Registry, Run, StepRun, Transition};
use highwater_protocol::{
    Event, Headers, QueueName, Record, RunId, Started, Timestamp, WorkflowId,
    event::Outcome,
    ids::RecordId,
    record::{Body, Frame, Marks},
};

use super::{QUEUE, Row, ordinary::SLICES};
use crate::{
    commands::bench::{measured::Measured, series, stage::Stage, usage},
    exit::Error,
};

/// Rounds of the long and of the short history. With the start and the end there are two events more.
const LONG: u64 = 4_000;
const SHORT: u64 = 20;
/// The limits of a server as it is set up by default.
const LIMITS: Limits = Limits { payload_max: 1024 * 1024 };
/// How long the code sleeps, which takes no time here.
const SLEEP: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Replay;

impl Row for Replay {
    fn name(&self) -> &'static str {
        "replay"
    }

    fn about(&self) -> &'static str {
        "Events that the core replays in a second, on one core and without I/O"
    }

    fn measure<'a>(&'a self, stage: &'a Stage) -> BoxFuture<'a, Result<Vec<Measured>, Error>> {
        Box::pin(async move {
            let time = stage.load.duration / 3;
            eprintln!("measuring {} for {}", self.name(), humantime::format_duration(stage.load.duration));
            // Workflow code runs on a thread without an async runtime.
            let measuring = move || thread::spawn(move || measure(time)).join();
            let measured = tokio::task::spawn_blocking(measuring).await.map_err(Error::failed)?;
            let (long, decoding, short) = measured.map_err(|_| Error::failed("the replay has panicked"))??;
            Ok(vec![
                Measured::new(self.name())
                    .figure("events of the long history", long.events as f64, "")
                    .figure("events of the short history", short.events as f64, "")
                    .figure_with("long history".into(), long.rate, "events/s", long.spread)
                    .figure_with(
                        "long history, from the bytes of its records".into(),
                        decoding.rate,
                        "events/s",
                        decoding.spread,
                    )
                    .figure_with("short history".into(), short.rate, "events/s", short.spread),
            ])
        })
    }
}

/// Steps, activities and timers.
#[workflow]
async fn bench_rounds(ctx: Ctx, rounds: u64) -> Result<u64, Exit> {
    let mut sum = 0;
    for round in 0..rounds {
        sum += ctx.step("add", move |_| async move { Ok::<u64, String>(round) }).await?;
        sum += ctx.run(Rounds::bench_round, round).await?;
        ctx.sleep(SLEEP).await?;
    }
    Ok(sum)
}

/// Its activity, which is never run: a replay has its result.
struct Rounds;

#[activities]
impl Rounds {
    #[activity(start_to_close = "1m")]
    async fn bench_round(&self, round: u64) -> Result<u64, String> {
        Ok(round)
    }
}

/// What a history consists of: the events of each record, and the workflow's time in it.
type Records = Vec<(Vec<Event>, Timestamp)>;

/// How fast a history was replayed.
struct Speed {
    events: usize,
    rate: f64,
    spread: Option<f64>,
}

fn measure(time: Duration) -> Result<(Speed, Speed, Speed), Error> {
    let mut registry = Registry::new();
    registry.add(bench_rounds).map_err(Error::failed)?;
    let registry = Arc::new(registry);
    let run = RunId::generate();
    let [long, short] = [play(&registry, run, LONG)?, play(&registry, run, SHORT)?];
    let stored = stored(run, &long)?;
    let replay = |records: &Records| replay(&registry, run, records.iter().map(|(events, at)| (&events[..], *at)));
    let rate_of = |records: &Records| rate(records, time, || replay(records));
    let decoding = rate(&long, time, || {
        let decode = |record: &StoredRecord| record.body().map(|body| (body.events, record.frame.time));
        let records: Result<Records, _> = stored.iter().map(decode).collect();
        replay(&records.map_err(Error::failed)?)
    })?;
    Ok((rate_of(&long)?, decoding, rate_of(&short)?))
}

/// Replays again and again for so long.
fn rate(records: &Records, time: Duration, once: impl Fn() -> Result<(), Error>) -> Result<Speed, Error> {
    let events = records.iter().map(|(events, _)| events.len()).sum();
    once()?;
    let mut rates = Vec::new();
    let (mut replayed, mut took) = (0.0, Duration::ZERO);
    for _ in 0..SLICES {
        let (times, slice) = again_and_again(time / SLICES, &once)?;
        replayed += (events * times) as f64;
        took += slice;
        rates.push((events * times) as f64 / slice.as_secs_f64());
    }
    Ok(Speed { events, rate: replayed / took.as_secs_f64(), spread: series::spread(rates) })
}

/// Does it for so long, and once at least. Returns how often, and the time that took.
fn again_and_again(time: Duration, once: impl Fn() -> Result<(), Error>) -> Result<(usize, Duration), Error> {
    let (begun, on_core, mut times) = (Instant::now(), usage::of_thread(), 0);
    while times == 0 || begun.elapsed() < time {
        once()?;
        times += 1;
    }
    let took = usage::of_thread().zip(on_core).map(|(after, before)| after.saturating_sub(before));
    Ok((times, took.unwrap_or_else(|| begun.elapsed())))
}

/// Builds a run from its history, as a worker does.
fn replay<'a>(
    registry: &Arc<Registry>,
    id: RunId,
    records: impl Iterator<Item = (&'a [Event], Timestamp)>,
) -> Result<(), Error> {
    let mut run = Run::new(Arc::clone(registry), LIMITS);
    let mut end = Timestamp::ZERO;
    for (events, time) in records {
        run.replay(id, events, time).map_err(|error| Error::failed(error.failure))?;
        end = time;
    }
    let rest = run.finish_replay(end).map_err(|error| Error::failed(error.failure))?;
    if rest.is_empty() { Ok(()) } else { Err(Error::failed("the replay led further than the history")) }
}

/// Plays a run to its end, and returns its history.
fn play(registry: &Arc<Registry>, id: RunId, rounds: u64) -> Result<Records, Error> {
    let mut run = Run::new(Arc::clone(registry), LIMITS);
    let mut time = Timestamp::from_millis(1_000_000);
    let input = Payload::encode(&rounds).map_err(Error::failed)?;
    let workflow_type = registry.names().remove(0);
    let started = Started::new(WorkflowId::new("replayed")?, workflow_type, QueueName::new(QUEUE)?, input);
    let mut next = Some(Event::Started(Box::new(started)));
    let mut records = Records::new();
    while let Some(event) = next {
        time = time.after(SLEEP);
        let Transition { mut events, time: at, steps, conclusion, .. } =
            run.activate(id, vec![event], time).map_err(|error| Error::failed(error.failure))?;
        next = answer(events.last(), steps.first())?;
        match conclusion {
            Some(Conclusion::Completed(result)) => events.push(Event::Completed { result }),
            Some(other) => return Err(Error::failed(format_args!("the run ended otherwise: {other}"))),
            None => {}
        }
        records.push((events, at));
    }
    Ok(records)
}

/// What happens next in a run that waits for one thing at a time.
fn answer(last: Option<&Event>, step: Option<&StepRun>) -> Result<Option<Event>, Error> {
    let outcome = Outcome::Completed(Payload::encode(&1).map_err(Error::failed)?);
    Ok(match (last, step) {
        (_, Some(step)) => Some(Event::StepClosed { op: step.op, name: step.name.clone(), attempt: 1, outcome }),
        (Some(Event::ActivityScheduled(call)), _) => Some(Event::ActivityClosed { op: call.op, attempt: 1, outcome }),
        (Some(Event::TimerStarted { op, .. }), _) => Some(Event::TimerFired { op: *op }),
        _ => None,
    })
}

/// The records as they come from the history stream.
fn stored(run: RunId, records: &Records) -> Result<Vec<StoredRecord>, Error> {
    let mut first_event = 1;
    let mut stored = Vec::with_capacity(records.len());
    for (ordinal, (events, time)) in (0..).zip(records) {
        let frame = Frame {
            run,
            record: RecordId::generate(),
            ordinal,
            first_event,
            time: *time,
            marks: Marks::default(),
            closed: false,
            back: Vec::new(),
        };
        first_event += events.len() as u64;
        let record = Record { frame, body: Body { events: events.clone(), previous: None } };
        let (subject, headers, payload) = (String::new(), Headers::new(), record.encode());
        let message = Message { subject, headers, payload, seq: ordinal + 1, time: *time };
        stored.push(StoredRecord::from_message(message).map_err(Error::failed)?);
    }
    Ok(stored)
}
