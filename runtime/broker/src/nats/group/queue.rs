//! What waits for its turn in one stream, and what may go out together.

use std::collections::{HashMap, HashSet, VecDeque};

use tokio::sync::oneshot;

use super::batch::HEADERS_MAX;
use crate::{broker::Publish, error::Error, message::PubAck};

/// The most messages that go out together, as the server takes them unless it is configured otherwise.
pub(super) const MESSAGES_MAX: usize = 1000;
/// The most bytes that go out together.
const BYTES_MAX: usize = 4 << 20;
/// A message of so many bytes goes alone: a write of its own costs little beside its bytes.
const ALONE_FROM: usize = 128 << 10;
/// How many messages are passed over, because others to their subjects are under way, before the search ends.
const PASSED_OVER_MAX: usize = 4 * MESSAGES_MAX;
/// What a header takes beside its name and its value.
const HEADER_EXTRA: usize = 4;
/// What the server's own headers on a message take, without the texts in them.
const SERVERS_HEADERS: usize = 192;

/// A message, and who waits for what becomes of it.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) message: Publish,
    pub(super) done: oneshot::Sender<Result<PubAck, Error>>,
}

impl Item {
    /// Whether nobody wants it stored any more.
    pub(super) fn is_given_up(&self) -> bool {
        self.done.is_closed()
    }

    /// Whether what is stored before it on its subject decides what becomes of it: then the two cannot be in one batch,
    /// as the server compares with what the stream had before the batch.
    fn looks_back(&self) -> bool {
        self.message.expect_last.is_some() || self.message.schedule.is_some()
    }

    /// What it takes on the way, at most.
    fn size(&self) -> usize {
        let Publish { subject, headers, payload, id, schedule, .. } = &self.message;
        let headers = headers.iter().map(|(name, value)| name.len() + value.len() + HEADER_EXTRA);
        let texts = id.as_ref().map_or(0, String::len) + schedule.as_ref().map_or(0, |schedule| schedule.target.len());
        subject.len() + payload.len() + headers.sum::<usize>() + texts + SERVERS_HEADERS
    }
}

/// What waits, in the order in which it came.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<Item>,
    /// The subjects of what is under way. Until it is clear what became of it, nothing else to them goes out, or an
    /// earlier message that is tried again would be stored behind a later one.
    busy: HashMap<String, usize>,
}

impl Queue {
    pub(super) fn push(&mut self, item: Item) {
        self.waiting.push_back(item);
    }

    /// Takes what goes out next, if anything can, to a server that takes messages of so many bytes.
    pub(super) fn take(&mut self, payload_max: usize) -> Option<Vec<Item>> {
        let alone_from = ALONE_FROM.min(payload_max.saturating_sub(HEADERS_MAX));
        let mut taken: Vec<Item> = Vec::new();
        let mut bytes = 0;
        let mut passed_over = VecDeque::new();
        let mut passed_over_subjects = HashSet::new();
        let mut own = HashSet::new();
        while let Some(item) = self.waiting.pop_front() {
            if item.is_given_up() {
                continue;
            }
            let subject = &item.message.subject;
            let held = self.busy.contains_key(subject)
                || passed_over_subjects.contains(subject)
                || item.looks_back() && own.contains(subject);
            if held {
                passed_over_subjects.insert(subject.clone());
                passed_over.push_back(item);
                if passed_over.len() == PASSED_OVER_MAX {
                    break;
                }
                continue;
            }
            let size = item.size();
            let is_full = taken.len() == MESSAGES_MAX || bytes + size > BYTES_MAX;
            if !taken.is_empty() && (is_full || size >= alone_from) {
                self.waiting.push_front(item);
                break;
            }
            own.insert(subject.clone());
            bytes += size;
            taken.push(item);
            if size >= alone_from {
                break;
            }
        }
        while let Some(item) = passed_over.pop_back() {
            self.waiting.push_front(item);
        }
        for item in &taken {
            *self.busy.entry(item.message.subject.clone()).or_default() += 1;
        }
        (!taken.is_empty()).then_some(taken)
    }

    /// What went out to these subjects is settled.
    pub(super) fn release(&mut self, subjects: Vec<String>) {
        for subject in subjects {
            if let Some(count) = self.busy.get_mut(&subject) {
                *count -= 1;
                if *count == 0 {
                    self.busy.remove(&subject);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Outcome = oneshot::Receiver<Result<PubAck, Error>>;

    /// A queue with messages, each its subject; `!` behind it stands for an expected sequence.
    fn queue(messages: &[&str]) -> (Queue, Vec<Outcome>) {
        let mut queue = Queue::default();
        let outcomes = messages.iter().map(|message| push(&mut queue, message)).collect();
        (queue, outcomes)
    }

    fn push(queue: &mut Queue, message: &str) -> Outcome {
        let subject = message.trim_end_matches('!').to_owned();
        let expect_last = message.ends_with('!').then_some(0);
        let (done, outcome) = oneshot::channel();
        queue.push(Item { message: Publish { subject, expect_last, ..Publish::default() }, done });
        outcome
    }

    fn subjects(items: Option<Vec<Item>>) -> Vec<String> {
        items.unwrap_or_default().into_iter().map(|item| item.message.subject).collect()
    }

    #[test]
    fn everything_that_waits_goes_out_together_in_order() {
        let (mut queue, _outcomes) = queue(&["a!", "b!", "a", "c", "c"]);
        // The second `a` looks at nothing, so it may follow the first.
        assert_eq!(subjects(queue.take(1 << 20)), ["a", "b", "a", "c", "c"]);
        assert!(queue.take(1 << 20).is_none());
    }

    #[test]
    fn a_message_that_looks_at_what_is_before_it_waits_for_that() {
        let (mut queue, _outcomes) = queue(&["a", "a!", "a", "b"]);
        let first = subjects(queue.take(1 << 20));
        assert_eq!(first, ["a", "b"]);
        assert!(queue.take(1 << 20).is_none(), "everything else is to a subject that is under way");
        queue.release(first);
        let second = subjects(queue.take(1 << 20));
        assert_eq!(second, ["a", "a"], "the third `a` has not overtaken the second");
    }

    #[test]
    fn what_is_to_a_subject_under_way_lets_others_pass() {
        let (mut queue, _first_outcomes) = queue(&["a!"]);
        let first = subjects(queue.take(1 << 20));
        let _outcomes = ["a", "b"].map(|subject| push(&mut queue, subject));
        assert_eq!(subjects(queue.take(1 << 20)), ["b"]);
        queue.release(first);
        assert_eq!(subjects(queue.take(1 << 20)), ["a"]);
    }

    #[test]
    fn a_batch_has_its_limits_and_large_messages_go_alone() {
        let many = vec!["a"; MESSAGES_MAX + 1];
        let (mut limited, _outcomes) = queue(&many);
        assert_eq!(limited.take(1 << 20).map(|items| items.len()), Some(MESSAGES_MAX));

        let (mut queue, _outcomes) = queue(&["a", "b", "c"]);
        queue.waiting[1].message.payload = vec![0; ALONE_FROM].into();
        assert_eq!(subjects(queue.take(1 << 20)), ["a"]);
        assert_eq!(subjects(queue.take(1 << 20)), ["b"]);
        assert_eq!(subjects(queue.take(1 << 20)), ["c"]);
    }

    #[test]
    fn what_nobody_waits_for_is_not_sent() {
        let (mut queue, mut outcomes) = queue(&["a", "b"]);
        outcomes.remove(0);
        assert_eq!(subjects(queue.take(1 << 20)), ["b"]);
    }
}
