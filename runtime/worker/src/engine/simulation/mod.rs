//! Workers that are killed, that hand over, that go on when they should not, and whose answers get lost, in every order
//! that a seed can think of: whatever happens, every request is applied once or rejected, and every run ends right.

mod check;
mod tally;
mod worker;
mod workflows;
mod world;

use std::time::Duration;

use highwater_protocol::{Key, RunId};
use tokio::time::Instant;

use super::{Source, UnitId};
use crate::history_limits::{HistoryLimits, HistorySize};
use check::Seen;
use worker::Worker;
use workflows::{BROKEN, Plan};
use world::World;

const PARTITIONS: u16 = 2;
const KEYS: usize = 4;
const CHILDREN: usize = 2;

/// Histories that become too long after a few events.
const SHORT: HistoryLimits = HistoryLimits {
    warning: HistorySize { events: 8, bytes: 10_000 },
    suggestion: HistorySize { events: 12, bytes: 20_000 },
    maximum: HistorySize { events: 20, bytes: 40_000 },
};

/// SplitMix64.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides.max(1)
    }
}

/// Which faults there are.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fault of its own")]
struct Faults {
    answers: bool,
    kills: bool,
    handovers: bool,
    zombies: bool,
    threads: bool,
    deploys: bool,
    clients: bool,
    short_histories: bool,
}

/// All that may happen to workers.
const ALL: Faults = Faults {
    answers: true,
    kills: true,
    handovers: true,
    zombies: true,
    threads: true,
    deploys: true,
    clients: true,
    short_histories: false,
};

/// What a client is about to do.
enum Client {
    StandIn { key: Key, seq: u64, run: RunId, expect: u64 },
    Close { key: Key, run: RunId },
}

struct Simulation {
    dice: Dice,
    faults: Faults,
    world: World,
    workers: Vec<Worker>,
    clients: Vec<Client>,
    keys: Vec<Key>,
    origin: Instant,
    next_worker: u64,
    signals: u64,
    updates: u64,
    starts: u64,
    calm: bool,
}

impl Simulation {
    fn new(seed: u64, faults: Faults) -> Self {
        let mut world = World::new(PARTITIONS);
        world.zombies = faults.zombies || faults.handovers || faults.threads;
        // Those behind the first are for children, which only other runs start.
        let names = (0..KEYS).map(|n| format!("run-{n}")).chain((0..CHILDREN).map(|n| format!("child-{n}")));
        let keys = names.map(|name| Key::escape("key", &name).unwrap()).collect();
        let origin = Instant::now();
        let (dice, workers, clients) = (Dice(seed), Vec::new(), Vec::new());
        let mut new = Self {
            dice,
            faults,
            world,
            workers,
            clients,
            keys,
            origin,
            next_worker: 1,
            signals: 0,
            updates: 0,
            starts: 0,
            calm: false,
        };
        new.hire();
        if faults.handovers || faults.zombies {
            new.hire();
        }
        new
    }

    fn hire(&mut self) {
        let cache_max = if self.dice.roll(2) == 0 { 2 } else { 100 };
        let limits = if self.faults.short_histories { SHORT } else { HistoryLimits::default() };
        self.workers.push(Worker::new(self.next_worker, &self.world, self.origin, cache_max, limits));
        self.next_worker += 1;
    }

    fn unit(&mut self) -> UnitId {
        UnitId { queue: 0, partition: self.dice.roll(u64::from(PARTITIONS)) as u16 }
    }

    fn any_key(&mut self) -> Key {
        self.keys[self.dice.roll(KEYS as u64) as usize].clone()
    }

    /// Partitions that nobody has, or whose owner is dead, are taken.
    fn assign(&mut self) {
        for partition in 0..PARTITIONS {
            let unit = UnitId { queue: 0, partition };
            let owner = self.world.leases[&unit].0.owner;
            let lives = |w: &Worker| owner == Some(highwater_protocol::WorkerId(uuid::Uuid::from_u128(w.id.into())));
            if self.workers.iter().any(lives) {
                continue;
            }
            let taker = self.dice.roll(self.workers.len() as u64) as usize;
            if !self.workers[taker].units.contains_key(&unit) {
                self.workers[taker].gain(&mut self.world, unit);
            }
        }
    }

    fn start(&mut self) {
        let key = self.any_key();
        let input = Plan {
            seed: self.dice.roll(1_000),
            rounds: 1 + self.dice.roll(5),
            want: self.dice.roll(4) as usize,
            lives: self.dice.roll(3),
            got: Vec::new(),
            generations: 2,
        };
        let input = serde_json::to_vec(&input).unwrap();
        let last = self.world.last(&key);
        if last.as_ref().is_some_and(|last| !last.frame.closed) && self.dice.roll(4) > 0 {
            return;
        }
        self.starts += 1;
        let open = last.as_ref().is_some_and(|last| !last.frame.closed);
        let expect = last.map_or(0, |last| last.seq);
        let (seq, run) = self.world.start(&key, &input, Some(expect));
        if self.faults.clients && !open && self.dice.roll(3) == 0 {
            self.clients.push(Client::StandIn { key, seq, run, expect });
        }
    }

    fn signal(&mut self, key: &Key) {
        self.signals += 1;
        self.world.signal(key, self.signals);
    }

    fn update(&mut self) {
        let key = self.any_key();
        // Some are sent again under their id.
        if self.updates == 0 || self.dice.roll(4) > 0 {
            self.updates += 1;
        }
        let later = self.dice.roll(2) == 0;
        self.world.update(&key, self.updates, later);
    }

    fn terminate(&mut self) {
        let key = self.any_key();
        if let Some(last) = self.world.last(&key).filter(|last| !last.frame.closed) {
            let run = last.frame.run;
            self.world.terminate(&key, run);
            self.clients.push(Client::Close { key, run });
        }
    }

    fn client(&mut self) {
        if self.clients.is_empty() {
            return;
        }
        let at = self.dice.roll(self.clients.len() as u64) as usize;
        match self.clients.swap_remove(at) {
            Client::StandIn { key, seq, run, expect } => self.world.stand_in(&key, seq, run, expect),
            Client::Close { key, run } => self.world.close(&key, run),
        }
    }

    fn fault(&mut self) {
        let at = self.dice.roll(self.workers.len() as u64) as usize;
        let unit = self.unit();
        match self.dice.roll(12) {
            0 if self.faults.kills => {
                self.workers.swap_remove(at);
                self.hire();
            }
            1 | 2 if self.faults.handovers => {
                let worker = &mut self.workers[at];
                if worker.units.contains_key(&unit) && worker.releasing.insert(unit) {
                    worker.feed(&self.world, super::Input::Release { unit });
                }
            }
            3 if self.faults.handovers => self.lose_patience(at, unit),
            // The lease is taken from a worker that is alive, which hears of it later.
            4 if self.faults.zombies && !self.workers[at].units.contains_key(&unit) => {
                self.workers[at].gain(&mut self.world, unit);
            }
            5 if self.faults.zombies => {
                let lost = self.workers[at].units.get(&unit).is_some_and(|(rev, _)| *rev != self.world.leases[&unit].1);
                if lost {
                    self.workers[at].lose(&self.world, unit);
                }
            }
            6 if self.faults.threads => self.workers[at].lose_thread(&self.world),
            7 if self.faults.deploys => BROKEN.set(self.dice.roll(2) == 0),
            8 => self.workers[at].reopen(unit),
            9 if self.faults.clients => self.terminate(),
            _ => {}
        }
    }

    /// A partition that does not come to rest is handed over as it is.
    fn lose_patience(&mut self, at: usize, unit: UnitId) {
        if self.workers[at].releasing.contains(&unit) {
            self.workers[at].hand_over(&mut self.world, unit);
        }
    }

    /// One thing happens.
    fn step(&mut self) {
        let at = self.dice.roll(self.workers.len() as u64) as usize;
        let unit = self.unit();
        match self.dice.roll(if self.calm { 44 } else { 50 }) {
            0..16 if !self.workers[at].pending.is_empty() => {
                let faults = self.faults.answers && !self.calm;
                self.workers[at].happen(&mut self.world, &mut self.dice, faults);
            }
            16..26 => drop(self.workers[at].job(&self.world)),
            26..30 => drop(self.workers[at].read(&self.world, unit, Source::Inbox)),
            30..33 => drop(self.workers[at].read(&self.world, unit, Source::Fires)),
            33..35 if !self.world.tasks.is_empty() => {
                let task = self.dice.roll(self.world.tasks.len() as u64) as usize;
                let let_go = self.calm || self.dice.roll(6) > 0;
                self.world.work(task, let_go);
            }
            35 => self.world.time = self.world.time.after(Duration::from_millis(self.dice.roll(400))),
            36 => {
                let dice = std::cell::RefCell::new(&mut self.dice);
                self.world.fire(|| dice.borrow_mut().roll(2) == 0);
            }
            37 => self.due(at),
            38 => {
                let worker = &mut self.workers[at];
                let offsets = worker.engine.offsets();
                worker.write(&mut self.world, offsets, false);
                let quiet = worker.releasing.iter().copied().find(|unit| worker.engine.is_quiet(*unit));
                if let Some(unit) = quiet {
                    worker.hand_over(&mut self.world, unit);
                }
            }
            39 => self.assign(),
            40 => self.client(),
            41 if self.calm => self.lose_patience(at, unit),
            44 => self.fault(),
            45 if self.starts < 8 => self.start(),
            48 | 49 if self.updates < 20 => self.update(),
            46 | 47 if self.signals < 30 => {
                let key = self.any_key();
                self.signal(&key);
            }
            _ => {}
        }
    }

    fn due(&mut self, at: usize) {
        let worker = &mut self.workers[at];
        let due = worker.timers.iter().position(|(when, ..)| *when <= self.world.time);
        if let Some(due) = due {
            let (_, key, run, timer) = worker.timers.swap_remove(due);
            worker.feed(&self.world, super::Input::Due { key, run, timer });
        }
    }

    fn is_settled(&self) -> bool {
        let open = self.keys.iter().any(|key| self.world.last(key).is_some_and(|last| !last.frame.closed));
        let unread = |unit: &UnitId| {
            let (lease, _) = &self.world.leases[unit];
            let to = |prefix: String| move |message: &&highwater_broker::Message| message.subject.contains(&prefix);
            let last = self.world.inbox.iter().rev().find(to(format!(".in.0.{}.", unit.partition)));
            last.is_some_and(|last| lease.inbox.seq < last.seq) || !lease.busy.is_empty()
        };
        let busy = |w: &Worker| !w.pending.is_empty() || !w.jobs.is_empty();
        let unread = self.world.leases.keys().any(unread);
        !open && !unread && self.clients.is_empty() && !self.workers.iter().any(busy)
    }

    fn run(&mut self) -> Seen {
        let steps = 500 + self.dice.roll(4_000);
        for _ in 0..steps {
            self.step();
        }
        self.calm = true;
        BROKEN.set(false);
        for round in 0..400 {
            for _ in 0..200 {
                self.step();
            }
            self.world.time = self.world.time.after(Duration::from_secs(1));
            for at in 0..self.workers.len() {
                // A zombie notices in the end.
                let lost = |(unit, (revision, _)): (&UnitId, &(u64, _))| {
                    (*revision != self.world.leases[unit].1).then_some(*unit)
                };
                let lost: Vec<UnitId> = self.workers[at].units.iter().filter_map(lost).collect();
                for unit in lost {
                    self.workers[at].lose(&self.world, unit);
                }
            }
            if self.is_settled() {
                let seen = check::all(&self.world, &self.keys);
                assert!(self.faults.short_histories || (seen.followed, seen.ended) == (0, 0));
                return seen;
            }
            // Children that go on for ever are ended by those that started them, and by nothing else.
            for at in 0..KEYS {
                let key = self.keys[at].clone();
                if round > 20 && self.world.last(&key).is_some_and(|last| !last.frame.closed) && self.signals < 300 {
                    self.signal(&key);
                }
            }
        }
        panic!("it does not come to rest");
    }

    fn report(&self) {
        for key in &self.keys {
            for message in self.world.history.get(key).into_iter().flatten() {
                let record = highwater_broker::history::StoredRecord::from_message(message.clone()).unwrap();
                let (frame, body) = (&record.frame, record.body().unwrap());
                let events: Vec<String> = body.events.iter().map(ToString::to_string).collect();
                let before = body.previous.map(|p| p.events.iter().map(ToString::to_string).collect::<Vec<_>>());
                let (run, ordinal, inbox, fires) =
                    (frame.run, frame.ordinal, frame.marks.inbox.seq, frame.marks.fires.seq);
                eprintln!("{key} {run} #{ordinal} at {}, marks {inbox} {fires}: {before:?} {events:?}", record.seq);
            }
        }
        eprintln!("leases {:?}", self.world.leases);
        eprintln!("asked {:#?}", self.world.asked);
        eprintln!("rejected {:?}", self.world.rejected);
        for worker in &self.workers {
            eprintln!("worker {} of {:?}, slots {:#?}", worker.id, worker.units, worker.engine.slots);
        }
    }
}

impl Drop for Simulation {
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os("SIMULATION_VERBOSE").is_some() {
            self.report();
        }
    }
}

/// Tells the seed when a check fails on the way out.
struct Seed(u64, Faults);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the seed was {} with {:?}", self.0, self.1);
        }
    }
}

fn play(default: u64, faults: Faults) -> Seen {
    let from = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = from("SIMULATION_FIRST").unwrap_or(0);
    let mut all = Seen::default();
    for seed in first..first + from("SIMULATION_SEEDS").unwrap_or(default) {
        let _seed = Seed(seed, faults);
        let seen = Simulation::new(seed, faults).run();
        all.followed += seen.followed;
        all.ended += seen.ended;
        all.carrying += seen.carrying;
    }
    all
}

#[test]
fn runs_end_right_when_nothing_goes_wrong() {
    play(30, Faults::default());
}

#[test]
fn a_lost_answer_changes_nothing() {
    play(30, Faults { answers: true, clients: true, ..Faults::default() });
}

#[test]
fn killed_workers_lose_nothing() {
    play(50, Faults { answers: true, kills: true, ..Faults::default() });
}

#[test]
fn a_handover_loses_nothing() {
    play(50, Faults { answers: true, handovers: true, clients: true, ..Faults::default() });
}

#[test]
fn whatever_happens_every_request_counts_once() {
    let seen = play(100, ALL);
    assert!(seen.carrying > 0, "no record of these seeds carries copies of others");
}

#[test]
fn histories_that_become_too_long_lose_nothing_else() {
    let seen = play(100, Faults { short_histories: true, ..ALL });
    assert!(seen.followed > 0 && seen.ended > 0, "the seeds play nothing of it: {seen:?}");
}
