//! One stream: messages in order, by subject and by id.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    time::Duration,
};

use bytes::Bytes;
use highwater_protocol::{Headers, Timestamp};

use crate::{broker::Schedule, message::Message, rules::matches};

/// A message that is there.
#[derive(Debug)]
struct Stored {
    message: Message,
    schedule: Option<Schedule>,
}

/// What is to be stored.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) subject: String,
    pub(super) headers: Headers,
    pub(super) payload: Bytes,
    pub(super) schedule: Option<Schedule>,
    pub(super) id: Option<String>,
}

/// A stream.
#[derive(Debug, Default)]
pub(super) struct Log {
    messages: BTreeMap<u64, Stored>,
    subjects: HashMap<String, BTreeSet<u64>>,
    schedules: BTreeSet<(Timestamp, u64)>,
    /// The ids within the window, and the same by age.
    ids: HashMap<String, u64>,
    ages: VecDeque<(Timestamp, String)>,
    window: Duration,
    last_seq: u64,
}

impl Log {
    /// A stream that knows an id for this long.
    pub(super) fn new(window: Duration) -> Self {
        Self { window, ..Self::default() }
    }

    pub(super) fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// The message with this id, if it came within the window; it may be gone.
    pub(super) fn known(&mut self, id: &str, now: Timestamp) -> Option<u64> {
        while let Some((at, old)) = self.ages.front()
            && now.since(*at) >= self.window
        {
            self.ids.remove(old);
            self.ages.pop_front();
        }
        self.ids.get(id).copied()
    }

    /// The sequence of the last message of a subject without wildcards; 0 when there is none.
    pub(super) fn last_of(&self, subject: &str) -> u64 {
        self.subjects.get(subject).and_then(BTreeSet::last).copied().unwrap_or(0)
    }

    pub(super) fn store(&mut self, incoming: Incoming, time: Timestamp) -> u64 {
        let Incoming { subject, headers, payload, schedule, id } = incoming;
        self.last_seq += 1;
        let seq = self.last_seq;
        self.subjects.entry(subject.clone()).or_default().insert(seq);
        if let Some(schedule) = &schedule {
            self.schedules.insert((schedule.at, seq));
        }
        if let Some(id) = id {
            self.ids.insert(id.clone(), seq);
            self.ages.push_back((time, id));
        }
        let message = Message { subject, headers, payload, seq, time };
        self.messages.insert(seq, Stored { message, schedule });
        seq
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Message> {
        self.messages.values().map(|stored| &stored.message)
    }

    pub(super) fn get(&self, seq: u64) -> Option<&Message> {
        self.messages.get(&seq).map(|stored| &stored.message)
    }

    /// The last message that matches, wildcards allowed.
    pub(super) fn last(&self, filter: &str) -> Option<&Message> {
        if let Some(seqs) = self.subjects.get(filter) {
            return seqs.last().and_then(|seq| self.get(*seq));
        }
        self.messages.values().rev().map(|stored| &stored.message).find(|message| matches(filter, &message.subject))
    }

    /// The first message at or behind a sequence that matches one of the filters.
    pub(super) fn next(&self, from: u64, filters: &[String]) -> Option<&Message> {
        let messages = self.messages.range(from..).map(|(_, stored)| &stored.message);
        let wanted =
            |message: &&Message| filters.is_empty() || filters.iter().any(|filter| matches(filter, &message.subject));
        messages.into_iter().find(wanted)
    }

    /// Takes a message away. Its id stays known.
    pub(super) fn remove(&mut self, seq: u64) -> Option<Message> {
        let Stored { message, schedule } = self.messages.remove(&seq)?;
        if let Some(seqs) = self.subjects.get_mut(&message.subject) {
            seqs.remove(&seq);
            if seqs.is_empty() {
                self.subjects.remove(&message.subject);
            }
        }
        if let Some(schedule) = schedule {
            self.schedules.remove(&(schedule.at, seq));
        }
        Some(message)
    }

    /// The messages that match, up to and including a sequence.
    pub(super) fn up_to(&self, filter: &str, last: u64) -> Vec<u64> {
        let wanted = |stored: &Stored| matches(filter, &stored.message.subject);
        self.messages.range(..=last).filter(|(_, stored)| wanted(stored)).map(|(seq, _)| *seq).collect()
    }

    /// When the next schedule fires.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.schedules.first().map(|(at, _)| *at)
    }

    /// Takes the next schedule that is due away: when it fires, and as what.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Option<(Timestamp, Incoming)> {
        let (at, seq) = *self.schedules.first().filter(|(at, _)| *at <= now)?;
        let target = self.messages.get(&seq).and_then(|stored| stored.schedule.clone())?.target;
        let Message { headers, payload, time, .. } = self.remove(seq)?;
        let incoming = Incoming { subject: target, headers, payload, schedule: None, id: None };
        Some((at.max(time), incoming))
    }
}
