//! Tasks of the queues: who has which, until when, and how often it was delivered.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

/// The tasks of all queues, by the token of the queue.
#[derive(Debug, Default)]
pub(super) struct WorkQueues {
    queues: HashMap<String, WorkQueue>,
}

/// The tasks of one queue, by their sequences.
#[derive(Debug, Default)]
struct WorkQueue {
    /// Never delivered, in order.
    fresh: VecDeque<u64>,
    /// To be delivered again, before the others.
    again: VecDeque<u64>,
    /// Delivered, and with somebody or waiting for its time.
    out: HashMap<u64, Out>,
    /// When those come again.
    due: BTreeSet<(Instant, u64)>,
    /// How often each was delivered.
    delivered: HashMap<u64, u32>,
}

#[derive(Debug)]
struct Out {
    until: Option<Instant>,
    /// Which delivery this is.
    delivery: u32,
}

impl WorkQueues {
    /// A new task.
    pub(super) fn add(&mut self, queue: &str, seq: u64) {
        self.queues.entry(queue.to_owned()).or_default().fresh.push_back(seq);
    }

    /// The task is gone.
    pub(super) fn forget(&mut self, queue: &str, seq: u64) {
        let Some(queue) = self.queues.get_mut(queue) else { return };
        queue.delivered.remove(&seq);
        if queue.bring_in(seq).is_none() {
            queue.fresh.retain(|other| *other != seq);
            queue.again.retain(|other| *other != seq);
        }
    }

    /// Takes up to `max` tasks, each with how often it was delivered with this time. It comes again at `until`.
    pub(super) fn take(&mut self, queue: &str, max: usize, now: Instant, until: Option<Instant>) -> Vec<(u64, u32)> {
        let Some(queue) = self.queues.get_mut(queue) else { return Vec::new() };
        queue.settle(now);
        let mut taken = Vec::new();
        while taken.len() < max
            && let Some(seq) = queue.again.pop_front().or_else(|| queue.fresh.pop_front())
        {
            let count = queue.delivered.entry(seq).or_default();
            *count += 1;
            let delivery = *count;
            queue.send_out(seq, Out { until, delivery });
            taken.push((seq, delivery));
        }
        taken
    }

    /// The task comes again after a time instead of when it would have.
    pub(super) fn put_off(&mut self, queue: &str, seq: u64, now: Instant, wait: Duration) {
        let Some(queue) = self.queues.get_mut(queue) else { return };
        queue.settle(now);
        if let Some(out) = queue.bring_in(seq) {
            queue.send_out(seq, Out { until: now.checked_add(wait), ..out });
        }
    }

    /// Whether this delivery is the last one as yet, and nobody has put the task off since.
    pub(super) fn is_held(&self, queue: &str, seq: u64, delivery: u32) -> bool {
        let out = self.queues.get(queue).and_then(|queue| queue.out.get(&seq));
        out.is_some_and(|out| out.delivery == delivery && out.until.is_none())
    }

    /// When a task of the queue comes again.
    pub(super) fn next_due(&self, queue: &str) -> Option<Instant> {
        self.queues.get(queue)?.due.first().map(|(at, _)| *at)
    }
}

impl WorkQueue {
    fn send_out(&mut self, seq: u64, out: Out) {
        if let Some(until) = out.until {
            self.due.insert((until, seq));
        }
        self.out.insert(seq, out);
    }

    fn bring_in(&mut self, seq: u64) -> Option<Out> {
        let out = self.out.remove(&seq)?;
        if let Some(until) = out.until {
            self.due.remove(&(until, seq));
        }
        Some(out)
    }

    fn settle(&mut self, now: Instant) {
        while let Some((_, seq)) = self.due.first().copied().filter(|(at, _)| *at <= now) {
            self.bring_in(seq);
            self.again.push_back(seq);
        }
    }
}
