//! The engine: decides everything and does nothing.
//!
//! [`Engine::handle`] takes what happened and returns what is to be done about it. It does no I/O and starts no task;
//! the driver performs the actions and feeds the outcomes back. So the same decisions run over NATS and in a
//! simulation.
//!
//! The life of an event: it is *read* (its partition notes it as open), waits in its run's slot, is *consumed* by a
//! transition whose record is appended, what the record asks for is *sent*, and when the run is quiescent the event is
//! *done*. A partition's offset moves past done events only, or past events of runs listed as busy.

mod accept;
mod action;
mod advance;
mod chain;
mod children;
mod closing;
mod commit;
mod copies;
mod dispatch;
mod early;
mod limits;
mod load;
mod meaning;
mod outgoing;
mod requests;
#[cfg(test)]
mod simulation;
mod slot;
mod stale;
#[cfg(test)]
mod tests;
mod unit;
mod updates;

use std::{
    collections::{HashMap, VecDeque},
    mem,
    sync::Arc,
};

use highwater_broker::{Message, history::Appended};
use highwater_core::run::{Limits, Registry};
use highwater_protocol::{
    Key, QueueName, RunId, Timestamp, TypeName,
    event::Outcome,
    lease::Lease,
    record::Mark,
    reply::Reply,
    subject::{InboxKind, Subjects},
    timer::Fire,
    wire,
};
use tokio::time::Instant;

pub(crate) use action::{Action, Left, Loaded, Send, Sent};
pub(crate) use early::Early;
pub(crate) use outgoing::Outgoing;
pub(crate) use slot::Question;
pub(crate) use unit::{Source, UnitId};

use crate::{
    by_key::ByKey,
    clock::ServerClock,
    executor::{Culprit, Report},
    history_limits::HistoryLimits,
};
use slot::{Item, RequestItem, Slot, Stage};
use unit::Unit;

/// Something happened.
#[derive(Debug)]
pub(crate) enum Input {
    /// A partition is ours, with the offsets that its last owner left.
    Gained { unit: UnitId, lease: Lease },
    /// A partition shall be handed over, in good order.
    Release { unit: UnitId },
    /// A partition is lost: somebody else has the lease.
    Lost { unit: UnitId },
    /// A request came in.
    Request { message: Message },
    /// A durable timer fired.
    Fired { message: Message },
    /// A history was read.
    Loaded { key: Key, generation: u64, loaded: Loaded },
    /// A workflow thread has something to say.
    Thread(Report),
    /// A record was appended, or not. `answered`: the early answer that came with it counts.
    Appended { key: Key, generation: u64, result: Result<Appended, highwater_broker::Error>, answered: bool },
    /// Something that a record asked for was sent, or cannot be.
    Sent { key: Key, generation: u64, sent: Sent },
    /// A request without a run was dealt with: rejected, forwarded, dropped.
    Handled { unit: UnitId, source: Source, seq: u64 },
    /// A local step ended.
    StepDone { key: Key, run: RunId, op: highwater_protocol::OpId, name: TypeName, attempt: u32, outcome: Outcome },
    /// A timer that was set on this process's clock is due.
    Due { key: Key, run: RunId, timer: highwater_protocol::timer::TimerId },
    /// Somebody asks a run something.
    Question { unit: UnitId, key: Key, question: Question },
    /// The server's clock showed this a moment ago.
    ServerTime { server: Timestamp },
    /// Which types the live workers of a queue know.
    KnownTypes { queue: usize, types: Vec<TypeName> },
    /// Somebody wants the run dropped from memory, if nothing speaks against it.
    Evict { key: Key },
}

/// What the engine is told when it starts.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) subjects: Subjects,
    pub(crate) queues: Vec<QueueName>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) limits: Limits,
    pub(crate) history_limits: HistoryLimits,
    /// Runs kept in memory between their events.
    pub(crate) cache_max: usize,
    pub(crate) clock: ServerClock,
}

/// Room for runs that is kept whatever happens.
const ROOM_MIN: usize = 1_024;

/// The engine of one worker.
#[derive(Debug)]
pub(crate) struct Engine {
    subjects: Subjects,
    queues: Vec<QueueName>,
    registry: Arc<Registry>,
    limits: Limits,
    history_limits: HistoryLimits,
    cache_max: usize,
    clock: ServerClock,
    now: Instant,
    units: HashMap<UnitId, Unit, ahash::RandomState>,
    /// Boxed, as each is taken out for every event and put back.
    slots: ByKey<Box<Slot>>,
    /// Runs whose code held its thread, with what it was at: not to be tried again by this process.
    quarantine: HashMap<RunId, String>,
    known_types: HashMap<usize, Vec<TypeName>>,
    actions: Vec<Action>,
    next_generation: u64,
    next_token: u64,
    /// Replies to questions that are with a thread.
    asked: HashMap<u64, String>,
    uses: u64,
    /// Cached runs in the order of their last use; entries that are out of date are passed over.
    idle: VecDeque<(Key, u64)>,
    /// The sum of the slots' loads.
    backlog: usize,
    /// Answers may go out with their records.
    answers_early: bool,
    /// What was told before the record was stored that is dealt with now.
    told: Option<Early>,
}

impl Engine {
    pub(crate) fn new(setup: Setup) -> Self {
        let Setup { subjects, queues, registry, limits, history_limits, cache_max, clock } = setup;
        Self {
            subjects,
            queues,
            registry,
            limits,
            history_limits,
            cache_max,
            clock,
            now: Instant::now(),
            units: HashMap::default(),
            slots: ByKey::default(),
            quarantine: HashMap::new(),
            known_types: HashMap::new(),
            actions: Vec::new(),
            next_generation: 0,
            next_token: 0,
            asked: HashMap::new(),
            uses: 0,
            idle: VecDeque::new(),
            backlog: 0,
            answers_early: true,
            told: None,
        }
    }

    /// Takes an emptied list of actions back, to be filled again.
    pub(crate) fn reuse(&mut self, actions: Vec<Action>) {
        debug_assert!(actions.is_empty(), "what is to be done is done");
        if self.actions.capacity() == 0 {
            self.actions = actions;
        }
    }

    /// Says whether answers may go out with their records from now on, as they may at first.
    pub(crate) fn answer_early(&mut self, may: bool) {
        self.answers_early = may;
    }

    /// Takes what happened at `now`, and returns what is to be done.
    pub(crate) fn handle(&mut self, input: Input, now: Instant) -> Vec<Action> {
        self.now = now;
        match input {
            Input::Gained { unit, lease } => self.gained(unit, lease),
            Input::Release { unit } => self.release(unit),
            Input::Lost { unit } => self.lost(unit),
            Input::Request { message } => self.request(message),
            Input::Fired { message } => self.fired(message),
            Input::Loaded { key, generation, loaded } => {
                self.with(&key, Some(generation), |_, s| Self::loaded(&key, s, loaded));
            }
            Input::Thread(report) => self.thread(report),
            Input::Appended { key, generation, result, answered } => {
                self.with(&key, Some(generation), |e, s| e.appended(&key, s, result, answered));
            }
            Input::Sent { key, generation, sent } => self.with(&key, Some(generation), |e, s| e.sent(&key, s, sent)),
            Input::Handled { unit, source, seq } => self.handled(unit, source, seq),
            Input::StepDone { key, run, op, name, attempt, outcome } => {
                self.with(&key, None, |_, slot| {
                    // Whatever became of the code meanwhile, a step that is known counts: it has no other result.
                    if slot.steps.remove(&(run, op)) {
                        slot.pending.push_back(Item::Step { run, op, name, attempt, outcome });
                    }
                });
            }
            Input::Due { key, run, timer } => {
                self.with(&key, None, |_, slot| slot.pending.push_back(Item::Due { run, timer }));
            }
            Input::Question { unit, key, question } => self.question(unit, &key, question),
            Input::ServerTime { server } => self.clock.observe(server, now),
            Input::KnownTypes { queue, types } => {
                self.known_types.insert(queue, types);
            }
            Input::Evict { key } => self.evict(key),
        }
        mem::take(&mut self.actions)
    }

    /// How much is at work; the driver stops reading above a limit.
    pub(crate) fn backlog(&self) -> usize {
        self.backlog + self.units.values().map(Unit::leaving).sum::<usize>()
    }

    /// The offsets that changed since this was asked last.
    pub(crate) fn offsets(&mut self) -> Vec<(UnitId, Mark, Mark, Vec<Key>)> {
        let (slots, queues) = (&self.slots, &self.queues);
        let changed = |(id, unit): (&UnitId, &mut Unit)| {
            let recorded = |source: Source, key: &Key, seq: u64| recorded(slots, &queues[id.queue], source, key, seq);
            unit.offsets(recorded).map(|(inbox, fires, busy)| (*id, inbox, fires, busy))
        };
        self.units.iter_mut().filter_map(changed).collect()
    }

    /// The last offsets of a partition that is handed over.
    pub(crate) fn offsets_of(&mut self, id: UnitId) -> Option<(Mark, Mark, Vec<Key>)> {
        let (slots, queue) = (&self.slots, self.queues.get(id.queue)?);
        let unit = self.units.get_mut(&id)?;
        Some(unit.offsets_now(|source, key, seq| recorded(slots, queue, source, key, seq)))
    }

    /// How far a partition has been read.
    pub(crate) fn read_to(&self, unit: UnitId, source: Source) -> Option<Mark> {
        let unit = self.units.get(&unit)?;
        Some(match source {
            Source::Inbox => unit.inbox.last(),
            Source::Fires => unit.fires.last(),
        })
    }

    /// Whether a partition that is being handed over needs nothing of this process any more.
    pub(crate) fn is_quiet(&self, unit: UnitId) -> bool {
        let open = |slot: &Slot| slot.unit == unit && !slot.is_quiescent();
        self.units.get(&unit).is_none_or(Unit::is_quiet) && !self.slots.values().any(|slot| open(slot))
    }

    // Partitions.

    fn gained(&mut self, id: UnitId, lease: Lease) {
        self.units.insert(id, Unit::new(&lease));
        for key in lease.busy {
            // The owner before ended with these runs in the middle of something.
            self.slot_for(id, &key);
            self.with(&key, None, |_, slot| {
                slot.must_load = true;
                slot.suspect = true;
            });
        }
    }

    fn release(&mut self, id: UnitId) {
        if let Some(unit) = self.units.get_mut(&id) {
            unit.releasing = true;
        }
    }

    fn lost(&mut self, id: UnitId) {
        self.units.remove(&id);
        let keys: Vec<Key> =
            self.slots.iter().filter(|(_, slot)| slot.unit == id).map(|(key, _)| key.clone()).collect();
        for key in keys {
            let Some(slot) = self.slots.remove(&key) else { continue };
            self.backlog -= slot.load();
            self.actions.push(Action::Evict { key: key.clone() });
            // What was read in another partition is still this process's to deal with.
            for (unit, source, seq) in slot.taken {
                self.handled(unit, source, seq);
            }
            for item in slot.batch.items.into_iter().chain(slot.pending) {
                if let Some(position) = item.position().filter(|position| position.unit != id) {
                    self.push(position.unit, &key, item);
                }
            }
        }
    }

    fn slot_for(&mut self, unit: UnitId, key: &Key) {
        if !self.slots.contains_key(key) {
            let slot = self.new_slot(unit);
            self.slots.insert(key.clone(), Box::new(slot));
        }
    }

    fn new_slot(&mut self, unit: UnitId) -> Slot {
        self.next_generation += 1;
        Slot::new(unit, self.next_generation)
    }

    // What comes in.

    fn unit_of(&self, queue: &str, partition: u16) -> Option<UnitId> {
        let queue = self.queues.iter().position(|name| name.to_key().as_str() == queue)?;
        let id = UnitId { queue, partition };
        self.units.get(&id).is_some_and(|unit| !unit.releasing && !unit.halted).then_some(id)
    }

    fn request(&mut self, message: Message) {
        self.clock.observe(message.time, self.now);
        let Some(parts) = self.subjects.parse_inbox(&message.subject) else {
            tracing::error!(
                subject = message.subject,
                "a message with a subject that nothing understands is in the inbox; it is left there"
            );
            return;
        };
        let Some(id) = self.unit_of(parts.queue, parts.partition) else { return };
        let token = parts.kind.key().to_owned();
        let internal = matches!(parts.kind, InboxKind::Engine { .. });
        match highwater_protocol::request::parse(
            &self.subjects,
            &message.subject,
            &message.headers,
            message.payload.clone(),
        ) {
            Ok(request) => {
                let key = request.key.clone();
                if !self.note(id, Source::Inbox, message.seq, message.time, &key) {
                    return;
                }
                // What runs send to each other was measured before it was sent.
                if let Some(rejection) = self.too_large(&message).filter(|_| !internal) {
                    self.reject(id, message, rejection);
                    return;
                }
                let item = Item::Request(Box::new(RequestItem { unit: id, message, request, internal }));
                self.push(id, &key, item);
            }
            Err(rejection) => {
                let key =
                    Key::escape("key", &token).unwrap_or_else(|_| Key::escape("key", "-").expect("a dash is a key"));
                if self.note(id, Source::Inbox, message.seq, message.time, &key) {
                    self.reject(id, message, rejection);
                }
            }
        }
    }

    fn fired(&mut self, message: Message) {
        self.clock.observe(message.time, self.now);
        let fire: Result<Fire, _> = wire::decode(&message.payload);
        let partition = self.subjects.fire_partition(&message.subject);
        let queue = message.subject.rsplit('.').next().unwrap_or_default();
        let Some(id) = partition.and_then(|partition| self.unit_of(queue, partition)) else { return };
        match fire {
            Ok(fire) => {
                let key = fire.key.clone();
                if self.note(id, Source::Fires, message.seq, message.time, &key) {
                    self.push(id, &key, Item::Fire { unit: id, seq: message.seq, time: message.time, fire });
                }
            }
            Err(error) => {
                tracing::error!(subject = message.subject, seq = message.seq, %error, "a fired timer cannot be read; it is skipped");
            }
        }
    }

    fn note(&mut self, id: UnitId, source: Source, seq: u64, time: Timestamp, key: &Key) -> bool {
        self.units.get_mut(&id).is_some_and(|unit| unit.track(source).read(seq, time, key))
    }

    fn push(&mut self, unit: UnitId, key: &Key, item: Item) {
        self.slot_for(unit, key);
        self.with(key, None, |_, slot| slot.pending.push_back(item));
    }

    fn question(&mut self, unit: UnitId, key: &Key, question: Question) {
        if self.units.get(&unit).is_none_or(|unit| unit.releasing || unit.halted) {
            return;
        }
        self.slot_for(unit, key);
        self.with(key, None, |_, slot| slot.questions.push(question));
    }

    fn handled(&mut self, unit: UnitId, source: Source, seq: u64) {
        if let Some(unit) = self.units.get_mut(&unit) {
            unit.track(source).done(seq);
        }
    }

    /// Changes a slot and lets its run go on. Outcomes for a slot that is gone, or that was reset since, concern
    /// nobody.
    fn with(&mut self, key: &Key, generation: Option<u64>, change: impl FnOnce(&mut Self, &mut Slot)) {
        let Some((own, mut slot)) = self.slots.remove_entry(key) else { return };
        let before = slot.load();
        if generation.is_none_or(|generation| generation == slot.generation) {
            change(self, &mut slot);
            self.advance(key, &mut slot);
        }
        if slot.is_quiescent() {
            self.done(key, &mut slot);
        }
        self.backlog = self.backlog + slot.load() - before;
        let closed = slot.known().is_some_and(slot::KnownTip::is_closed);
        if slot.is_forgettable() && (!slot.live || closed) {
            if slot.live {
                self.actions.push(Action::Evict { key: key.clone() });
            }
            return;
        }
        self.uses += 1;
        slot.used = self.uses;
        if slot.is_forgettable() {
            slot.shrink();
            self.idle.push_back((own.clone(), self.uses));
        }
        self.slots.insert(own, slot);
        self.trim_cache();
    }

    /// Drops the runs that were used the longest ago, when there are more than the cache is to hold.
    fn trim_cache(&mut self) {
        while self.slots.len() > self.cache_max || self.idle.len() > self.cache_max.saturating_mul(4) {
            let Some((key, used)) = self.idle.pop_front() else { return };
            if self.slots.get(&key).is_some_and(|slot| slot.used == used && slot.is_forgettable()) {
                self.slots.remove(&key);
                self.actions.push(Action::Evict { key });
            }
        }
    }

    /// Gives back the room that a burst of runs took.
    pub(crate) fn shrink(&mut self) {
        let is_wide = |length: usize, capacity: usize| capacity > ROOM_MIN && length < capacity / 4;
        if is_wide(self.slots.len(), self.slots.capacity()) {
            self.slots.shrink_to(self.slots.len() * 2);
        }
        if is_wide(self.idle.len(), self.idle.capacity()) {
            self.idle.shrink_to(self.idle.len() * 2);
        }
    }

    fn evict(&mut self, key: Key) {
        if self.slots.get(&key).is_some_and(|slot| slot.is_forgettable()) {
            self.slots.remove(&key);
            self.actions.push(Action::Evict { key });
        }
    }

    fn done(&mut self, key: &Key, slot: &mut Slot) {
        if let Some(unit) = self.units.get_mut(&slot.unit) {
            unit.rests(key);
        }
        for (unit, source, seq) in slot.taken.drain(..) {
            self.handled(unit, source, seq);
        }
    }

    fn thread(&mut self, report: Report) {
        match report {
            Report::Activated { key, generation, result } => {
                self.with(&key, Some(generation), |e, s| e.activated(&key, s, result));
            }
            Report::Signals { key, generation, signals } => {
                self.with(&key, Some(generation), |e, s| e.signals_taken(&key, s, signals));
            }
            Report::Missing { key, generation } => self.with(&key, Some(generation), |e, s| e.reset(&key, s)),
            Report::Queried { key, token, answer } => {
                if let Some(reply) = self.asked.remove(&token) {
                    self.actions.push(Action::Answer { reply, answer });
                }
                self.with(&key, None, |_, slot| slot.asking = slot.asking.saturating_sub(1));
            }
            Report::ThreadLost { thread, culprit } => self.thread_lost(thread, culprit),
        }
    }

    fn thread_lost(&mut self, thread: usize, culprit: Option<Culprit>) {
        if let Some(Culprit { key, generation, held }) = culprit {
            self.with(&key, Some(generation), |e, slot| e.stuck(&key, slot, &held));
        }
        self.actions.push(Action::RunsOfThread { thread });
    }

    /// The thread of these runs is gone, and their state with it.
    pub(crate) fn rebuild(&mut self, belongs: impl Fn(&Key) -> bool, now: Instant) -> Vec<Action> {
        self.now = now;
        let keys: Vec<Key> = self.slots.keys().filter(|key| belongs(key)).cloned().collect();
        for key in keys {
            self.with(&key, None, |e, slot| {
                slot.asking = 0;
                if slot.stage == Stage::Running {
                    // The run is still this worker's, and its steps go on.
                    let steps = mem::take(&mut slot.steps);
                    e.reset(&key, slot);
                    slot.steps = steps;
                } else {
                    slot.live = false;
                    slot.suspect |= !slot.steps.is_empty();
                }
            });
        }
        mem::take(&mut self.actions)
    }

    fn reply(&mut self, to: Option<&str>, reply: Reply) {
        if let Some(subject) = to
            && !self.told.as_ref().is_some_and(|told| told.is(subject, &reply))
        {
            self.actions.push(Action::Reply { subject: subject.to_owned(), reply });
        }
    }

    fn time(&mut self) -> Timestamp {
        self.clock.now(self.now)
    }
}

/// Whether an event of a queue is in its run's history. Marks say nothing about other queues than the run's. One that
/// waits may be passed by a mark all the same: whether it counted or is to be refused is not known before it had its
/// turn.
fn recorded(slots: &ByKey<Box<Slot>>, queue: &QueueName, source: Source, key: &Key, seq: u64) -> bool {
    let Some(slot) = slots.get(key) else { return false };
    let of_source = |item: &Item| item.position().filter(|at| at.source == source).map(|at| at.mark.seq);
    let waits = slot.pending.iter().find_map(of_source).is_some_and(|first| first <= seq);
    let recorded = |tip: &slot::KnownTip| tip.queue.as_ref() == Some(queue) && tip.mark(source).seq >= seq;
    let owes = source == Source::Inbox && slot.owes_answer(seq);
    !waits && !owes && slot.known().is_some_and(recorded)
}
