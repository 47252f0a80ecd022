//! One partition of a queue, as its owner knows it: how far it was read, and which events still need the owner's
//! memory.

use std::collections::{BTreeMap, BTreeSet};

use highwater_protocol::{Key, Timestamp, lease::Lease, record::Mark};

/// A partition of one of the queues that this worker serves; the queue by its place in the worker's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct UnitId {
    pub(crate) queue: usize,
    pub(crate) partition: u16,
}

/// Where an event came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    Inbox,
    Fires,
}

/// An owned partition.
#[derive(Debug)]
pub(crate) struct Unit {
    pub(super) inbox: Track,
    pub(super) fires: Track,
    /// No new events are taken: the partition is being handed over.
    pub(super) releasing: bool,
    /// The stream went backwards; nothing is touched until an operator has looked.
    pub(super) halted: bool,
    /// Runs that the owner before listed as busy, until they have come to rest here.
    recovering: BTreeSet<Key>,
    written: Option<(Mark, Mark, Vec<Key>)>,
}

/// Reading progress in one source.
#[derive(Debug)]
pub(super) struct Track {
    last: Mark,
    /// Events that were read and whose consequences still need this process, with the run each is for.
    open: BTreeMap<u64, (Key, Timestamp)>,
    /// Those among them that are being refused or passed on, which no record tells anybody.
    leaving: BTreeSet<u64>,
}

impl Track {
    fn new(from: Mark) -> Self {
        Self { last: from, open: BTreeMap::new(), leaving: BTreeSet::new() }
    }

    /// Takes note of a newly read event; false when it was read before.
    pub(super) fn read(&mut self, seq: u64, time: Timestamp, key: &Key) -> bool {
        if seq <= self.last.seq {
            return false;
        }
        self.last = Mark { seq, time };
        self.open.insert(seq, (key.clone(), time));
        true
    }

    /// The offset waits until an event has been refused or passed on, even when a record has passed it.
    pub(super) fn leaves(&mut self, seq: u64) {
        self.leaving.insert(seq);
    }

    pub(super) fn done(&mut self, seq: u64) {
        self.open.remove(&seq);
        self.leaving.remove(&seq);
    }

    pub(super) fn last(&self) -> Mark {
        self.last
    }

    /// Whether an event was read and dealt with.
    pub(super) fn has_passed(&self, seq: u64) -> bool {
        seq <= self.last.seq && !self.open.contains_key(&seq)
    }

    /// The position behind which nothing needs this process except the runs listed in `busy`. `recorded` tells whether
    /// an event is in its run's history.
    fn offset(&self, busy: &mut Vec<Key>, recorded: impl Fn(&Key, u64) -> bool) -> Mark {
        for (seq, (key, time)) in &self.open {
            let listed = busy.contains(key);
            // A run that is rebuilt finds in its history what it has consumed, and nothing of what still waits for it.
            let kept = !self.leaving.contains(seq) && recorded(key, *seq);
            if !kept || !listed && busy.len() >= Lease::BUSY_MAX {
                // The event itself is not done. Its own time bounds that of everything before it.
                return Mark { seq: seq - 1, time: *time };
            }
            if !listed {
                busy.push(key.clone());
            }
        }
        self.last
    }
}

impl Unit {
    /// A partition with the offsets that its last owner left.
    pub(super) fn new(lease: &Lease) -> Self {
        Self {
            inbox: Track::new(lease.inbox),
            fires: Track::new(lease.fires),
            releasing: false,
            halted: false,
            recovering: lease.busy.iter().cloned().collect(),
            written: Some((lease.inbox, lease.fires, lease.busy.clone())),
        }
    }

    pub(super) fn track(&mut self, source: Source) -> &mut Track {
        match source {
            Source::Inbox => &mut self.inbox,
            Source::Fires => &mut self.fires,
        }
    }

    /// A run has come to rest.
    pub(super) fn rests(&mut self, key: &Key) {
        self.recovering.remove(key);
    }

    /// Whether nothing needs this process any more.
    pub(super) fn is_quiet(&self) -> bool {
        self.inbox.open.is_empty() && self.fires.open.is_empty()
    }

    /// How many events are being refused or passed on.
    pub(super) fn leaving(&self) -> usize {
        self.inbox.leaving.len() + self.fires.leaving.len()
    }

    /// The offsets to write, when they changed since they were last asked for.
    pub(super) fn offsets(&mut self, recorded: impl Fn(Source, &Key, u64) -> bool) -> Option<(Mark, Mark, Vec<Key>)> {
        let before = self.written.clone();
        let now = self.offsets_now(recorded);
        (before.as_ref() != Some(&now)).then_some(now)
    }

    /// The offsets as they are.
    pub(super) fn offsets_now(&mut self, recorded: impl Fn(Source, &Key, u64) -> bool) -> (Mark, Mark, Vec<Key>) {
        if self.halted {
            // What stopped it stands before offsets that marks would allow.
            return self.written.clone().unwrap_or_default();
        }
        // Whoever owns the partition next is to go on with these, too.
        let mut busy: Vec<Key> = self.recovering.iter().cloned().collect();
        let inbox = self.inbox.offset(&mut busy, |key, seq| recorded(Source::Inbox, key, seq));
        let fires = self.fires.offset(&mut busy, |key, seq| recorded(Source::Fires, key, seq));
        let now = (inbox, fires, busy);
        self.written = Some(now.clone());
        now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::escape("key", name).unwrap()
    }

    fn unit(events: &[(u64, &str)]) -> Unit {
        let mut unit = Unit::new(&Lease::default());
        for (seq, name) in events {
            assert!(unit.inbox.read(*seq, Timestamp(*seq as i64), &key(name)));
        }
        unit
    }

    #[test]
    fn the_offset_stays_before_an_event_that_is_not_recorded() {
        let mut unit = unit(&[(3, "a"), (5, "b"), (8, "c")]);
        unit.inbox.done(3);
        let (inbox, _, busy) = unit.offsets(|_, _, _| false).unwrap();
        assert_eq!((inbox.seq, busy.len()), (4, 0));
    }

    #[test]
    fn a_busy_run_does_not_hold_the_partition_back() {
        let mut unit = unit(&[(3, "a"), (5, "b"), (8, "c"), (9, "a")]);
        unit.inbox.done(5);
        let (inbox, _, busy) = unit.offsets(|_, key, _| key.as_str() == "a").unwrap();
        assert_eq!((inbox.seq, busy), (7, vec![key("a")]));
    }

    #[test]
    fn a_run_that_was_busy_under_the_owner_before_stays_listed_until_it_rests() {
        let mut unit = Unit::new(&Lease { busy: vec![key("a")], ..Lease::default() });
        unit.inbox.read(3, Timestamp(3), &key("b"));
        unit.inbox.done(3);
        assert_eq!(unit.offsets(|_, _, _| true).unwrap().2, [key("a")]);
        unit.rests(&key("a"));
        assert_eq!(unit.offsets(|_, _, _| true).unwrap().2, []);
    }

    #[test]
    fn what_a_busy_run_has_not_recorded_yet_holds_the_offset() {
        let mut unit = unit(&[(3, "a"), (5, "b"), (8, "a"), (9, "b")]);
        assert!(unit.fires.read(7, Timestamp(7), &key("a")));
        unit.inbox.done(5);
        let recorded = |source, key: &Key, seq| source == Source::Inbox && key.as_str() == "a" && seq < 8;
        let (inbox, fires, busy) = unit.offsets(recorded).unwrap();
        assert_eq!((inbox.seq, fires.seq, busy), (7, 6, vec![key("a")]));
    }

    #[test]
    fn an_event_is_read_once() {
        let mut unit = unit(&[(3, "a")]);
        assert!(!unit.inbox.read(3, Timestamp(3), &key("a")));
        assert!(!unit.inbox.read(2, Timestamp(2), &key("b")));
    }

    #[test]
    fn offsets_are_written_when_they_change() {
        let mut unit = unit(&[(3, "a")]);
        unit.inbox.done(3);
        assert!(unit.offsets(|_, _, _| false).is_some());
        assert!(unit.offsets(|_, _, _| false).is_none());
        assert!(unit.is_quiet());
    }

    #[test]
    fn more_busy_runs_than_the_list_takes_hold_the_offset() {
        let mut unit = Unit::new(&Lease::default());
        for seq in 1..=Lease::BUSY_MAX as u64 + 5 {
            unit.inbox.read(seq, Timestamp(0), &key(&format!("k{seq}")));
        }
        let (inbox, _, busy) = unit.offsets(|_, _, _| true).unwrap();
        assert_eq!((inbox.seq, busy.len()), (Lease::BUSY_MAX as u64, Lease::BUSY_MAX));
    }
}
