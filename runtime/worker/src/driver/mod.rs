//! The driver: performs what the engine decides, and feeds back what came of it.
//!
//! One task owns the engine and is never blocked: code of the user's runs beside it or between its turns and answers
//! through channels, and calls to the broker are polled by it, thousands at once. It must go on being polled: one of
//! them may hold a place in the connection's queue.

mod busy_poll;
mod flights;
mod load;
mod perform;
mod readers;
mod send;
mod step;

pub(crate) use perform::store_rejected;
pub(crate) use send::insist;

use std::{collections::BTreeMap, future::ready, pin::pin, sync::Arc, time::Duration};

use highwater_broker::Broker;
use highwater_core::run::{Limits, Registry};
use highwater_protocol::{Key, QueueName, RunId, timer::TimerId};
use tokio::{
    sync::mpsc::{self, UnboundedReceiver, UnboundedSender},
    task::{JoinSet, yield_now},
    time::{Instant, sleep, timeout},
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    time::DelayQueue,
};

use crate::{
    clock::ServerClock,
    engine::{Engine, Input, Setup, Source, UnitId},
    executor::{Executor, Home, Report, Setup as CodeSetup},
    history_limits::HistoryLimits,
    membership::{Command, Note, Offsets},
    tick::Tick,
    user::UserRuntime,
};
use busy_poll::BusyPoll;
use flights::Flights;
use readers::{Read, Readers};

/// How much may be at work before nothing more is read. Each event takes about 10 KiB while its run is at work, and
/// what a burst took the allocator keeps. Runs that wait for a step, or for what is still to be read, do not count.
const BACKLOG_MAX: usize = 2_048;
/// Messages handled in one go before anything else gets its turn, above all the connection: with larger bursts this
/// thread and the server wait for each other in turns. With bursts of 512, ten steps or activities at 512 runs at once
/// were 7 % slower.
const BURST_MAX: usize = 64;
/// With so many things on their way to the broker, answers wait for their records. An early one costs the server a
/// message more, and then throughput counts.
const EARLY_MAX: usize = 2;
/// What is on its way gets its turn after so many other things at the latest.
const FLIGHTS_EVERY: usize = 32;
/// How long after something happened the offsets are written, which takes in what happens meanwhile.
const OFFSETS_AFTER: Duration = Duration::from_secs(1);
/// The same while partitions are handed over, which others wait for.
const OFFSETS_AFTER_LEAVING: Duration = Duration::from_millis(100);
/// How often the threads that run workflow code are looked after.
const WATCH_EVERY: Duration = Duration::from_millis(100);
/// How often the server is asked for its time.
const CLOCK_EVERY: Duration = Duration::from_secs(10);
/// How long the end waits for what is on its way.
const LAND_MAX: Duration = Duration::from_secs(1);
/// How long a partition may take to come to rest before it is handed over as it is.
const RELEASE_MAX: Duration = Duration::from_secs(10);

/// What the driver needs.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) queues: Vec<QueueName>,
    pub(crate) registry: Arc<Registry>,
    /// The thread that all this runs on, if it is one of its own.
    pub(crate) home: Option<Arc<Home>>,
    /// Threads for workflow code, if it is not to run there.
    pub(crate) threads: Option<usize>,
    /// Where the user's async code runs.
    pub(crate) user: Arc<UserRuntime>,
    pub(crate) cache_max: usize,
    pub(crate) history_limits: HistoryLimits,
    pub(crate) task_timeout: Duration,
    /// For how long the thread of its own stays awake for what is to come.
    pub(crate) busy_poll: Duration,
    pub(crate) clock: ServerClock,
    pub(crate) notes: UnboundedReceiver<Note>,
    pub(crate) commands: UnboundedSender<Command>,
    /// Runs that somebody wants dropped from memory.
    pub(crate) evictions: UnboundedReceiver<Key>,
}

/// The driver of one worker.
pub(crate) struct Driver {
    broker: Arc<dyn Broker>,
    queues: Arc<[QueueName]>,
    engine: Engine,
    executor: Executor,
    task_timeout: Duration,
    inputs: UnboundedReceiver<Input>,
    answer: UnboundedSender<Input>,
    reports: UnboundedReceiver<Report>,
    notes: UnboundedReceiver<Note>,
    commands: UnboundedSender<Command>,
    evictions: UnboundedReceiver<Key>,
    readers: Readers,
    flights: Flights,
    busy_poll: BusyPoll,
    timers: DelayQueue<(Key, RunId, TimerId)>,
    releasing: BTreeMap<UnitId, Instant>,
    user: Arc<UserRuntime>,
    /// Ends the steps under way, also when this is dropped.
    given_up: CancellationToken,
    give_up: DropGuard,
    questions: JoinSet<()>,
    stopping: bool,
    /// Something happened since the offsets were written.
    moved: bool,
}

impl Driver {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { broker, queues, registry, home, threads, user, cache_max, history_limits, .. } = parts;
        let Parts { task_timeout, busy_poll, clock, notes, commands, evictions, .. } = parts;
        let (answer, inputs) = mpsc::unbounded_channel();
        let (report, reports) = mpsc::unbounded_channel();
        let limits = Limits::for_message_max(broker.payload_max());
        let setup = CodeSetup { registry: Arc::clone(&registry), limits, reports: report };
        let busy_poll = if home.is_some() { BusyPoll::beside_others(busy_poll) } else { BusyPoll::never() };
        let executor = match (home, threads) {
            (Some(home), None) => Executor::at_home(home, setup),
            (Some(_), Some(threads)) => Executor::start(threads, setup),
            (None, _) => Executor::start_in_step(task_timeout, setup),
        };
        let subjects = broker.subjects().clone();
        let engine =
            Engine::new(Setup { subjects, queues: queues.clone(), registry, limits, history_limits, cache_max, clock });
        let queues: Arc<[QueueName]> = queues.into();
        let given_up = CancellationToken::new();
        let readers = Readers::new(Arc::clone(&broker), Arc::clone(&queues));
        Self {
            broker,
            queues,
            engine,
            executor,
            task_timeout,
            inputs,
            answer,
            reports,
            notes,
            commands,
            evictions,
            readers,
            flights: Flights::default(),
            busy_poll,
            timers: DelayQueue::new(),
            releasing: BTreeMap::new(),
            user,
            give_up: given_up.clone().drop_guard(),
            given_up,
            questions: JoinSet::new(),
            stopping: false,
            moved: false,
        }
    }

    /// Runs until `stop` is cancelled and everything under way has come to rest.
    pub(crate) async fn run(mut self, stop: CancellationToken, commands: &UnboundedSender<Command>) {
        let mut watch = Tick::every(WATCH_EVERY, &*self.broker);
        let mut clock = Tick::every(CLOCK_EVERY, &*self.broker);
        let mut flush = pin!(sleep(OFFSETS_AFTER));
        let (mut armed, mut hurried) = (false, false);
        self.subscribe_queries();
        loop {
            let leaving = self.stopping || !self.releasing.is_empty();
            if !armed && (self.moved || leaving) || leaving && !hurried {
                let after = if leaving { OFFSETS_AFTER_LEAVING } else { OFFSETS_AFTER };
                flush.as_mut().reset(Instant::now() + after);
                (armed, hurried) = (true, leaving);
            }
            let stays_awake = self.busy_poll.stays_awake(self.flights.len());
            tokio::select! {
                biased;
                () = stop.cancelled(), if !self.stopping => {
                    self.stopping = true;
                    let _ = commands.send(Command::Leave);
                    self.release_all();
                }
                () = watch.tick() => self.executor.watch(self.task_timeout),
                () = &mut flush, if armed => {
                    (armed, self.moved) = (false, false);
                    self.write_offsets();
                    self.engine.shrink();
                    if self.stopping && self.readers.units().is_empty() {
                        break;
                    }
                }
                () = clock.tick() => self.ask_time(),
                Some(note) = self.notes.recv() => self.noted(note),
                Some(report) = self.reports.recv() => self.burst(Input::Thread(report)),
                Some(input) = self.inputs.recv() => self.burst(input),
                Some(input) = self.flights.next(), if !self.flights.is_empty() => self.burst(input),
                Some(expired) = futures_util::StreamExt::next(&mut self.timers), if !self.timers.is_empty() => {
                    let (key, run, timer) = expired.into_inner();
                    self.feed(Input::Due { key, run, timer });
                }
                Some(read) = self.readers.next(), if self.engine.backlog() < BACKLOG_MAX => self.read(read),
                Some(key) = self.evictions.recv() => self.feed(Input::Evict { key }),
                () = ready(()), if stays_awake => {
                    self.busy_poll.look_again(self.flights.len());
                    yield_now().await;
                    continue;
                }
            }
            self.busy_poll.end_wait();
            self.executor.flush();
            // What has come for others meanwhile is handed out first, so that the next turn finds more to do at once.
            yield_now().await;
        }
        drop(self.give_up);
        self.questions.abort_all();
        // Answers that were on their way: whoever misses one reads the history.
        let _ = timeout(LAND_MAX, self.flights.land()).await;
    }

    fn feed(&mut self, input: Input) {
        self.moved = true;
        self.engine.answer_early(self.flights.len() < EARLY_MAX);
        let actions = self.engine.handle(input, Instant::now());
        self.perform_all(actions);
    }

    /// Handles an input and whatever else has come in meanwhile.
    fn burst(&mut self, first: Input) {
        self.feed(first);
        for turn in 0..BURST_MAX {
            let Some(input) = self.come_in((turn + 1) % FLIGHTS_EVERY == 0) else { return };
            self.feed(input);
        }
    }

    /// What has come in. Flights begin together when all else is done, but no stream of questions keeps them on the
    /// ground.
    fn come_in(&mut self, flights_first: bool) -> Option<Input> {
        let landed = if flights_first { self.flights.try_next() } else { None };
        landed
            .or_else(|| self.reports.try_recv().ok().map(Input::Thread))
            .or_else(|| self.inputs.try_recv().ok())
            .or_else(|| self.flights.try_next())
    }

    fn read(&mut self, first: Read) {
        let mut next = Some(first);
        let mut count = 0;
        while let Some(read) = next {
            self.feed(match read {
                Read::Request(message) => Input::Request { message },
                Read::Fired(message) => Input::Fired { message },
            });
            count += 1;
            next = if count < BURST_MAX { self.readers.try_next() } else { None };
        }
    }

    fn noted(&mut self, note: Note) {
        match note {
            Note::Gained { unit, lease } => {
                self.feed(Input::Gained { unit, lease });
                self.reopen(|units| units.insert(unit));
                // It was on its way when the stop came: left by another worker that stops, perhaps.
                if self.stopping {
                    self.begin_release(unit);
                }
            }
            Note::Release { unit } => {
                if self.readers.units().contains(&unit) {
                    self.begin_release(unit);
                }
            }
            Note::Lost { unit } => {
                self.releasing.remove(&unit);
                self.feed(Input::Lost { unit });
                self.reopen(|units| units.remove(&unit));
            }
            Note::KnownTypes { queue, types } => self.feed(Input::KnownTypes { queue, types }),
        }
    }

    fn reopen(&mut self, change: impl FnOnce(&mut std::collections::BTreeSet<UnitId>) -> bool) {
        let engine = &self.engine;
        let from = |unit: UnitId, source: Source| engine.read_to(unit, source).map_or(0, |mark| mark.seq);
        self.readers.change(change, from);
    }

    fn release_all(&mut self) {
        for unit in self.readers.units().clone() {
            self.begin_release(unit);
        }
    }

    fn begin_release(&mut self, unit: UnitId) {
        self.releasing.entry(unit).or_insert_with(Instant::now);
        self.feed(Input::Release { unit });
    }

    fn write_offsets(&mut self) {
        let mut changed: Vec<Offsets> = self
            .engine
            .offsets()
            .into_iter()
            .map(|(unit, inbox, fires, busy)| Offsets { unit, inbox, fires, busy, release: false })
            .collect();
        let ready = |(unit, since): (&UnitId, &Instant)| {
            (self.engine.is_quiet(*unit) || since.elapsed() > RELEASE_MAX).then_some(*unit)
        };
        let leaving: Vec<UnitId> = self.releasing.iter().filter_map(ready).collect();
        for unit in leaving {
            self.releasing.remove(&unit);
            if let Some(last) = self.engine.offsets_of(unit) {
                let (inbox, fires, busy) = last;
                changed.retain(|offsets| offsets.unit != unit);
                changed.push(Offsets { unit, inbox, fires, busy, release: true });
            }
            self.feed(Input::Lost { unit });
            self.reopen(|units| units.remove(&unit));
        }
        if !changed.is_empty() {
            let _ = self.commands.send(Command::Write(changed));
        }
    }

    fn ask_time(&self) {
        let (broker, answer) = (Arc::clone(&self.broker), self.answer.clone());
        tokio::spawn(async move {
            if let Ok(server) = broker.server_time().await {
                let _ = answer.send(Input::ServerTime { server });
            }
        });
    }
}
