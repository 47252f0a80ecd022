//! Signals that came in and were not taken.

use std::collections::{HashMap, VecDeque};

use highwater_protocol::{Payload, TypeName, event::Signal};

/// Signals by name, each with its place in the order in which all came.
#[derive(Default)]
pub(super) struct Mailbox {
    by_name: HashMap<TypeName, VecDeque<(u64, Payload)>>,
    next: u64,
}

impl Mailbox {
    pub(super) fn push(&mut self, signal: &Signal) {
        self.by_name.entry(signal.name.clone()).or_default().push_back((self.next, signal.input.clone()));
        self.next += 1;
    }

    pub(super) fn pop(&mut self, name: &TypeName) -> Option<Payload> {
        let queue = self.by_name.get_mut(name)?;
        let taken = queue.pop_front().map(|(_, input)| input);
        if queue.is_empty() {
            self.by_name.remove(name);
        }
        taken
    }

    /// All that are left, in the order in which they came.
    pub(super) fn take(&mut self) -> Vec<Signal> {
        let named = |(name, queue): (TypeName, VecDeque<(u64, Payload)>)| {
            queue.into_iter().map(move |(place, input)| (place, Signal { name: name.clone(), input }))
        };
        let mut left: Vec<_> = self.by_name.drain().flat_map(named).collect();
        left.sort_unstable_by_key(|(place, _)| *place);
        left.into_iter().map(|(_, signal)| signal).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_keeps_the_order_across_names() {
        let signal =
            |name: &str, n: u8| Signal { name: TypeName::new(name).unwrap(), input: Payload::encode(&n).unwrap() };
        let mut mailbox = Mailbox::default();
        let all = [signal("b", 0), signal("a", 1), signal("b", 2), signal("c", 3)];
        for one in &all {
            mailbox.push(one);
        }
        assert_eq!(mailbox.pop(&all[0].name), Some(all[0].input.clone()));
        assert_eq!(mailbox.take(), all[1..]);
        assert_eq!(mailbox.take(), []);
    }
}
