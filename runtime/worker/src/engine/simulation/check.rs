//! What must hold.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use highwater_broker::history::StoredRecord;
use highwater_core::run::{Limits, Registry, Run};
use highwater_protocol::{
    Event, FailureKind, Key, OpId, RunId, Status, Timestamp,
    record::{Copies, Frame},
};

use super::{
    super::UnitId,
    tally::Tally,
    world::{Asked, What, World},
};

/// Offsets that were just written pass no request that is neither on record nor rejected.
pub(super) fn offsets(world: &World, unit: UnitId) {
    let lease = &world.leases[&unit].0;
    for (seq, asked) in world.asked.range(..=lease.inbox.seq) {
        if world.unit_of(&asked.key) != unit || matches!(asked.what, What::Other) {
            continue;
        }
        let recorded = world.last(&asked.key).is_some_and(|last| last.frame.marks.inbox.seq >= *seq);
        assert!(
            recorded || world.rejected.contains_key(seq),
            "the offset {} passes request {seq} ({asked:?}) of {unit:?}, which is not dealt with: {lease:?}",
            lease.inbox.seq,
        );
    }
}

/// An activity whose outcome was taken in is not asked for again.
pub(super) fn task(world: &World, run: RunId, op: OpId) {
    assert!(world.zombies || !world.worked.contains(&(run, op)), "activity {op} of {run} is asked for a second time");
}

/// One run, from all records that tell of it.
#[derive(Default)]
struct Told {
    records: Vec<(Vec<Event>, Timestamp)>,
    events: u64,
    count: u64,
}

fn runs(world: &World, key: &Key) -> BTreeMap<RunId, Told> {
    let mut runs: BTreeMap<RunId, Told> = BTreeMap::new();
    let mut add = |run: RunId, ordinal: u64, first: u64, events: Vec<Event>, time: Timestamp, marks_only: bool| {
        let told = runs.entry(run).or_default();
        assert_eq!((ordinal, first), (told.count, told.events + 1), "the records of {key} are numbered");
        told.events += events.len() as u64;
        if !marks_only {
            told.records.push((events, time));
        }
        told.count += 1;
    };
    for message in world.history.get(key).into_iter().flatten() {
        let record = StoredRecord::from_message(message.clone()).unwrap();
        let body = record.body().unwrap();
        if let Some(previous) = body.previous {
            add(previous.run, previous.ordinal, previous.first_event, previous.events, record.frame.time, false);
        }
        let marks_only = body.events.is_empty() && record.status() == Some(Status::Blocked);
        let (frame, events) = (&record.frame, body.events);
        add(frame.run, frame.ordinal, frame.first_event, events, frame.time, marks_only);
    }
    runs
}

/// What there was of what is not in every game.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// How many runs continued as new because they were told to.
    pub(super) followed: u32,
    /// How many did not, and were ended.
    pub(super) ended: u32,
    /// How many records carried copies of others.
    pub(super) carrying: u32,
}

impl Seen {
    /// A run is told once, and is not ended unless it was told or could not be.
    fn take(&mut self, run: RunId, events: &[&Event]) {
        let told = events.iter().filter(|event| matches!(event, Event::ContinueAsNewSuggested { .. })).count();
        assert!(told <= 1, "{run} is told {told} times to continue as new");
        match events {
            [.., Event::ContinuedAsNew { .. }] if told == 1 => self.followed += 1,
            [.., before, Event::Failed { failure, next }] if failure.kind == FailureKind::HistoryTooLong => {
                let blocked = matches!(before, Event::WorkflowTaskFailed { .. });
                assert!(told == 1 || blocked, "{run} is ended without a word before");
                assert!(events.len() as u64 > super::SHORT.maximum.events, "{run} is ended too early");
                assert!(next.is_none());
                self.ended += 1;
            }
            _ => {}
        }
    }
}

/// All of it, when everything has come to rest.
pub(super) fn all(world: &World, keys: &[Key]) -> Seen {
    let mut registry = Registry::new();
    registry.add(super::workflows::plan).unwrap();
    let registry = std::sync::Arc::new(registry);
    let mut tally = Tally::default();
    let mut seen = Seen::default();
    for key in keys {
        seen.carrying += copies(world, key);
        for (run, told) in runs(world, key) {
            let failed =
                |(events, _): &&(Vec<Event>, _)| matches!(events.as_slice(), [Event::WorkflowTaskFailed { .. }]);
            let tries = told.records.iter().filter(failed).count();
            assert!(tries < 100, "{key} {run} was tried {tries} times in vain");
            let mut machine = Run::new(std::sync::Arc::clone(&registry), Limits { payload_max: 1_000_000 });
            let replayed = told.records.iter().try_for_each(|(events, time)| machine.replay(run, events, *time));
            assert!(replayed.is_ok(), "{key} {run} does not replay: {replayed:?}");
            let first = told.records.first().and_then(|(events, _)| events.first());
            let Some(Event::Started(first)) = first else { panic!("{run} does not begin") };
            let chain = first.first_run.unwrap_or(run);
            let events: Vec<&Event> = told.records.iter().flat_map(|(events, _)| events).collect();
            seen.take(run, &events);
            for event in events {
                tally.take(key, run, chain, event);
            }
        }
    }
    tally.check_messages(&world.answered());
    for (seq, asked) in &world.asked {
        request(world, &tally, *seq, asked);
    }
    seen
}

/// Copies are those of the records before. Returns how many records carry some.
fn copies(world: &World, key: &Key) -> u32 {
    let mut carrying = 0;
    let mut before: Vec<(Frame, Bytes)> = Vec::new();
    for message in world.history.get(key).into_iter().flatten() {
        let (frame, copies, body) = Frame::decode_with_copies(&message.payload).unwrap();
        if !copies.is_empty() {
            let copies = Copies::read(&message.payload.slice_ref(copies)).unwrap();
            assert_eq!(copies, before[before.len() - copies.len()..], "{key} {} #{}", frame.run, frame.ordinal);
            assert_eq!(copies.len(), 7);
            assert!(copies.iter().all(|(copy, _)| copy.run == frame.run), "{key} {} carries another run's", frame.run);
            carrying += 1;
        }
        before.push((Frame { back: Vec::new(), ..frame }, message.payload.slice_ref(body)));
    }
    carrying
}

/// A request counts once or is refused, and its sender is told nothing else.
fn request(world: &World, tally: &Tally, seq: u64, asked: &Asked) {
    let applied = match &asked.what {
        What::Signal(number) => tally.signals.get(number).copied().unwrap_or(0),
        What::Start(run) => u32::from(tally.started.contains(run)),
        What::Update(id) => {
            return update(world, seq, asked, tally.accepted.contains(&(asked.key.clone(), id.clone())));
        }
        What::Other => return,
    };
    let unknown = from_an_earlier_run(world, &asked.key, seq);
    let rejected = world.rejected.get(&seq).copied().unwrap_or(0);
    assert!(
        applied + rejected.min(1) == 1 || unknown && applied + rejected == 0,
        "request {seq} ({asked:?}) is applied {applied} times and rejected {rejected} times"
    );
    let told = world.told.get(&seq).cloned().unwrap_or_default();
    let right = told.is_empty() || told == BTreeSet::from([applied == 1]);
    assert!(right, "request {seq} ({asked:?}) is applied {applied} times, and its sender was told {told:?}");
}

/// An update may be sent several times, and one of those refused that another one is accepted after.
fn update(world: &World, seq: u64, asked: &Asked, accepted: bool) {
    let rejected = world.rejected.contains_key(&seq);
    let dealt_with = accepted || rejected || from_an_earlier_run(world, &asked.key, seq);
    assert!(dealt_with, "request {seq} ({asked:?}) is neither accepted nor rejected");
    for told in world.told.get(&seq).into_iter().flatten() {
        let right = if *told { accepted } else { rejected };
        assert!(right, "the sender of request {seq} ({asked:?}) was told {told}, and it is accepted: {accepted}");
    }
}

/// A run does not tell what became of what an earlier one under its id had passed. Whoever refused that may have ended
/// before saying so, and then nobody says it.
fn from_an_earlier_run(world: &World, key: &Key, seq: u64) -> bool {
    let records = world.history.get(key).into_iter().flatten();
    let records: Vec<StoredRecord> = records.map(|m| StoredRecord::from_message(m.clone()).unwrap()).collect();
    records.windows(2).any(|pair| {
        pair[1].frame.ordinal == 0
            && (pair[1].body().unwrap().previous.is_some() || pair[0].frame.marks.inbox.seq >= seq)
    })
}
