//! A worker of the simulation: a real engine, real runs, and everything that it has begun and that has not happened
//! yet.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt;
use highwater_broker::history::Appended;
use highwater_core::run::{Limits, Registry, Run};
use highwater_protocol::{Key, RunId, Timestamp, ids::RecordId, record::Mark, timer::TimerId};
use tokio::time::Instant;

use super::{
    super::{Action, Engine, Input, Send, Sent, Setup, Source, UnitId},
    Dice,
    world::World,
};
use crate::{
    by_key::ByKey,
    clock::ServerClock,
    executor::{Job, Report, run_job},
    history_limits::HistoryLimits,
};

const LIMITS: Limits = Limits { payload_max: 1_000_000 };

/// Something under way.
pub(super) enum Pending {
    Perform(Action),
    Answer(Input),
    /// A record was sent, and its answer got lost.
    Lookup {
        key: Key,
        generation: u64,
        record: RecordId,
        seq: Option<u64>,
    },
}

pub(super) struct Worker {
    pub(super) id: u64,
    pub(super) engine: Engine,
    registry: Arc<Registry>,
    runs: ByKey<Run>,
    pub(super) jobs: VecDeque<Job>,
    pub(super) pending: Vec<Pending>,
    pub(super) timers: Vec<(Timestamp, Key, RunId, TimerId)>,
    /// The partitions that it believes to own, with the revision of the lease and how far each was read.
    pub(super) units: BTreeMap<UnitId, (u64, [u64; 2])>,
    pub(super) releasing: BTreeSet<UnitId>,
    origin: Instant,
}

impl Worker {
    pub(super) fn new(
        id: u64,
        world: &World,
        origin: Instant,
        cache_max: usize,
        history_limits: HistoryLimits,
    ) -> Self {
        let mut registry = Registry::new();
        registry.add(super::workflows::plan).unwrap();
        let registry = Arc::new(registry);
        let engine = Engine::new(Setup {
            subjects: world.subjects.clone(),
            queues: vec![world.queue.clone()],
            registry: Arc::clone(&registry),
            limits: LIMITS,
            history_limits,
            cache_max,
            clock: ServerClock::new(Timestamp::ZERO, origin),
        });
        Self {
            id,
            engine,
            registry,
            runs: ByKey::default(),
            jobs: VecDeque::new(),
            pending: Vec::new(),
            timers: Vec::new(),
            units: BTreeMap::new(),
            releasing: BTreeSet::new(),
            origin,
        }
    }

    pub(super) fn feed(&mut self, world: &World, input: Input) {
        let now = self.origin + Duration::from_micros(world.time.as_micros() as u64);
        let actions = self.engine.handle(input, now);
        self.take(world, actions);
    }

    fn take(&mut self, world: &World, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Job(job) => self.jobs.push_back(job),
                Action::Evict { key } => self.jobs.push_back(Job::Evict { key }),
                Action::LocalTimer { key, run, timer, at, .. } => self.timers.push((at, key, run, timer)),
                Action::RunsOfThread { .. } => {
                    let now = self.origin + Duration::from_micros(world.time.as_micros() as u64);
                    let actions = self.engine.rebuild(|_| true, now);
                    self.take(world, actions);
                }
                other => self.pending.push(Pending::Perform(other)),
            }
        }
    }

    pub(super) fn gain(&mut self, world: &mut World, unit: UnitId) {
        let (lease, revision) = world.leases.get_mut(&unit).unwrap();
        lease.owner = Some(highwater_protocol::WorkerId(uuid::Uuid::from_u128(u128::from(self.id))));
        lease.epoch += 1;
        *revision += 1;
        let lease = lease.clone();
        self.units.insert(unit, (*revision, [lease.inbox.seq, lease.fires.seq]));
        self.feed(world, Input::Gained { unit, lease });
    }

    pub(super) fn lose(&mut self, world: &World, unit: UnitId) {
        self.units.remove(&unit);
        self.releasing.remove(&unit);
        self.feed(world, Input::Lost { unit });
    }

    /// Writes offsets where the lease is as it was left; elsewhere the partition is lost.
    pub(super) fn write(&mut self, world: &mut World, offsets: Vec<(UnitId, Mark, Mark, Vec<Key>)>, release: bool) {
        for (unit, inbox, fires, busy) in offsets {
            let (lease, revision) = world.leases.get_mut(&unit).unwrap();
            let Some((mine, _)) = self.units.get_mut(&unit) else { continue };
            if *mine != *revision {
                self.lose(world, unit);
                continue;
            }
            *revision += 1;
            *mine = *revision;
            (lease.inbox, lease.fires, lease.busy) = (inbox, fires, busy);
            if release {
                lease.owner = None;
            }
            super::check::offsets(world, unit);
        }
    }

    pub(super) fn hand_over(&mut self, world: &mut World, unit: UnitId) {
        if let Some((inbox, fires, busy)) = self.engine.offsets_of(unit) {
            self.write(world, vec![(unit, inbox, fires, busy)], true);
        }
        self.lose(world, unit);
    }

    /// Reads the next message of a partition.
    pub(super) fn read(&mut self, world: &World, unit: UnitId, source: Source) -> bool {
        let Some((_, cursors)) = self.units.get_mut(&unit) else { return false };
        let (cursor, stream) = match source {
            Source::Inbox => (&mut cursors[0], &world.inbox),
            Source::Fires => (&mut cursors[1], &world.fires),
        };
        let prefix = match source {
            Source::Inbox => format!(".in.0.{}.", unit.partition),
            Source::Fires => format!(".fire.0.{}.", unit.partition),
        };
        let next = stream.iter().find(|message| message.seq > *cursor && message.subject.contains(&prefix));
        let Some(message) = next.cloned() else { return false };
        *cursor = message.seq;
        let input = match source {
            Source::Inbox => Input::Request { message },
            Source::Fires => Input::Fired { message },
        };
        self.feed(world, input);
        true
    }

    /// Opens the reader of a partition anew.
    pub(super) fn reopen(&mut self, unit: UnitId) {
        let to = |source| self.engine.read_to(unit, source).map_or(0, |mark| mark.seq);
        let cursors = [to(Source::Inbox), to(Source::Fires)];
        if let Some(entry) = self.units.get_mut(&unit) {
            entry.1 = cursors;
        }
    }

    pub(super) fn job(&mut self, world: &World) -> bool {
        let Some(job) = self.jobs.pop_front() else { return false };
        if let Some(report) = run_job(job, &mut self.runs, &self.registry, LIMITS) {
            self.feed(world, Input::Thread(report));
        }
        true
    }

    /// A thread is abandoned because of some other run, and with it the runs of these.
    pub(super) fn lose_thread(&mut self, world: &World) {
        self.jobs.clear();
        self.runs.clear();
        self.feed(world, Input::Thread(Report::ThreadLost { thread: 0, culprit: None }));
    }

    /// Makes something that is under way happen.
    pub(super) fn happen(&mut self, world: &mut World, dice: &mut Dice, faults: bool) {
        let at = dice.roll(self.pending.len() as u64) as usize;
        match self.pending.swap_remove(at) {
            Pending::Answer(input) => self.feed(world, input),
            Pending::Lookup { key, generation, record, seq } => {
                let ours = world.last(&key).is_some_and(|last| last.frame.record == record);
                let result = match seq {
                    Some(seq) if ours => Appended::Stored(seq),
                    _ => Appended::Lost,
                };
                self.feed(world, Input::Appended { key, generation, result: Ok(result), answered: false });
            }
            Pending::Perform(action) => self.perform(world, dice, faults, action),
        }
    }

    fn perform(&mut self, world: &mut World, dice: &mut Dice, faults: bool, action: Action) {
        let answer = match action {
            Action::Load { key, generation, all, left } => {
                let loaded = world.load(&key, all, left);
                Input::Loaded { key, generation, loaded }
            }
            Action::Append { key, generation, record, expect, early } => {
                let seq = world.append(&key, &record, expect);
                let early = early.filter(|_| seq.is_some());
                let answered = early.is_some();
                if let Some(early) = early {
                    world.tell(&early.to, &early.reply);
                }
                if seq.is_none() || faults && dice.roll(8) == 0 {
                    let record = record.id();
                    self.pending.push(Pending::Lookup { key, generation, record, seq });
                    return;
                }
                Input::Appended { key, generation, result: Ok(Appended::Stored(seq.unwrap())), answered }
            }
            Action::Send { key, generation, send } => {
                let sent = Self::send(world, &key, send);
                Input::Sent { key, generation, sent }
            }
            Action::Reject { unit, message, .. } => {
                *world.rejected.entry(message.seq).or_default() += 1;
                world.told.entry(message.seq).or_default().insert(false);
                Input::Handled { unit, source: Action::HANDLED_SOURCE, seq: message.seq }
            }
            Action::Forward { .. } => unreachable!("there is one queue"),
            Action::Reply { subject, reply } => {
                world.tell(&subject, &reply);
                return;
            }
            Action::Step { key, run, mut step, .. } => {
                let outcome = (step.work)(1).now_or_never().expect("steps of these runs do not wait");
                Input::StepDone { key, run, op: step.op, name: step.name, attempt: 1, outcome }
            }
            Action::Answer { .. } | Action::Announce { .. } => return,
            Action::Job(_) | Action::Evict { .. } | Action::LocalTimer { .. } | Action::RunsOfThread { .. } => {
                unreachable!("taken when they came")
            }
        };
        self.pending.push(Pending::Answer(answer));
    }

    fn send(world: &mut World, key: &Key, send: Send) -> Sent {
        match send {
            Send::Task { task, seen, verify } => {
                let (run, op) = (task.run, task.call.op);
                if world.tasks.contains_key(&(run, op)) {
                    return Sent::Done;
                }
                if verify && let Some(seq) = world.last_outcome(run, key).filter(|seq| *seq > seen) {
                    return Sent::Waits { run, op, seq };
                }
                super::check::task(world, run, op);
                world.tasks.insert((run, op), *task);
            }
            Send::Timer { unit, run, timer, at } => {
                world.timers.entry((key.clone(), run, timer)).or_insert((at, unit));
            }
            Send::DeleteTimer { run, timer } => {
                world.timers.remove(&(key.clone(), run, timer));
            }
            Send::CancelActivity { run, op, wait, .. } => {
                world.tasks.remove(&(run, op));
                return if wait { Sent::Done } else { Sent::Cancelled };
            }
            Send::Message { run, to, message } => {
                world.post(message.subject(&world.subjects, run, &to), message.payload());
                return Sent::Posted { run, to, undelivered: None };
            }
            Send::DecideStart { .. } => unreachable!("no call here has this timeout"),
        }
        Sent::Done
    }
}
