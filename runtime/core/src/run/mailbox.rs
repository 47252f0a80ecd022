//! Signals that came in and were not taken.

use std::collections::{HashMap, VecDeque};

use highwater_protocol::{TypeName, event::Signal};

/// Signals by name, each with its place in the order in which all came.
#[derive(Default)]
pub(super) struct Mailbox {
    by_name: HashMap<TypeName, VecDeque<(u64, Signal)>>,
    next: u64,
}

impl Mailbox {
    pub(super) fn push(&mut self, signal: &Signal) {
        self.by_name.entry(signal.name.clone()).or_default().push_back((self.next, signal.clone()));
        self.next += 1;
    }

    pub(super) fn pop(&mut self, name: &TypeName) -> Option<Signal> {
        let queue = self.by_name.get_mut(name)?;
        let taken = queue.pop_front().map(|(_, signal)| signal);
        if queue.is_empty() {
            self.by_name.remove(name);
        }
        taken
    }

    /// All that are left, in the order in which they came.
    pub(super) fn take(&mut self) -> Vec<Signal> {
        let mut left: Vec<_> = self.by_name.drain().flat_map(|(_, queue)| queue).collect();
        left.sort_unstable_by_key(|(place, _)| *place);
        left.into_iter().map(|(_, signal)| signal).collect()
    }
}

#[cfg(test)]
mod tests {
    use highwater_protocol::Payload;

    use super::*;

    #[test]
    fn what_is_left_keeps_the_order_across_names() {
        let signal = |name: &str, n: u8| Signal::new(TypeName::new(name).unwrap(), Payload::encode(&n).unwrap());
        let mut mailbox = Mailbox::default();
        let all = [signal("b", 0), signal("a", 1), signal("b", 2), signal("c", 3)];
        for one in &all {
            mailbox.push(one);
        }
        assert_eq!(mailbox.pop(&all[0].name), Some(all[0].clone()));
        assert_eq!(mailbox.take(), all[1..]);
        assert_eq!(mailbox.take(), []);
    }
}
