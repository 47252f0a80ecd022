//! Signals that came in and were not taken.

use std::collections::{BTreeMap, VecDeque};

use highwater_protocol::{TypeName, event::Signal};

/// Signals by name, each with its place in the order in which all came.
#[derive(Default)]
pub(super) struct Mailbox {
    by_name: BTreeMap<TypeName, VecDeque<(u64, Signal)>>,
    /// Those whose argument did not fit what would have taken them.
    unfit: Vec<(u64, Unhandled)>,
    next: u64,
    /// The place behind the last signal that was looked at for whether something takes it.
    seen: u64,
}

/// A signal that came in and that nothing has taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Unhandled {
    /// The signal.
    pub signal: Signal,
    /// Why its argument does not fit what would have taken it; absent when nothing takes signals of its name.
    pub problem: Option<String>,
}

impl Mailbox {
    pub(super) fn push(&mut self, signal: &Signal) {
        self.by_name.entry(signal.name.clone()).or_default().push_back((self.next, signal.clone()));
        self.next += 1;
    }

    pub(super) fn push_unfit(&mut self, signal: &Signal, problem: String) {
        self.unfit.push((self.next, Unhandled { signal: signal.clone(), problem: Some(problem) }));
        self.next += 1;
    }

    pub(super) fn pop(&mut self, name: &TypeName) -> Option<Signal> {
        let queue = self.by_name.get_mut(name)?;
        let taken = queue.pop_front().map(|(_, signal)| signal);
        if queue.is_empty() {
            self.by_name.remove(name);
        }
        if self.by_name.is_empty() {
            // An empty map keeps the room for eleven, and most runs wait with an empty mailbox.
            self.by_name = BTreeMap::new();
        }
        taken
    }

    /// Takes all whose name is wanted, in the order in which they came.
    pub(super) fn take_if(&mut self, wanted: impl Fn(&TypeName) -> bool) -> Vec<Signal> {
        let names: Vec<TypeName> = self.by_name.keys().filter(|name| wanted(name)).cloned().collect();
        in_order(names.iter().filter_map(|name| self.by_name.remove(name)).flatten())
    }

    /// All that are left, in the order in which they came. They stay: a run that has ended can still be asked for them.
    pub(super) fn left(&self) -> Vec<Signal> {
        let unfit = self.unfit.iter().map(|(place, unfit)| (*place, unfit.signal.clone()));
        in_order(self.by_name.values().flatten().cloned().chain(unfit))
    }

    /// Those that came since this was last called and that are left, except those whose name is received and those
    /// whose argument does not fit.
    pub(super) fn newly_left(&mut self, received: impl Fn(&TypeName) -> bool) -> Vec<Signal> {
        let seen = std::mem::replace(&mut self.seen, self.next);
        if seen == self.next {
            return Vec::new();
        }
        let left = self.by_name.iter().filter(|(name, _)| !received(name)).flat_map(|(_, queue)| queue);
        in_order(left.filter(|(place, _)| *place >= seen).cloned())
    }

    /// All that are left, in the order in which they came, except those whose name is received.
    pub(super) fn unhandled(&self, received: impl Fn(&TypeName) -> bool) -> Vec<Unhandled> {
        let left = self.by_name.iter().filter(|(name, _)| !received(name)).flat_map(|(_, queue)| queue);
        let left = left.map(|(place, signal)| (*place, Unhandled { signal: signal.clone(), problem: None }));
        in_order(left.chain(self.unfit.iter().cloned()))
    }
}

fn in_order<T>(list: impl Iterator<Item = (u64, T)>) -> Vec<T> {
    let mut list: Vec<_> = list.collect();
    list.sort_unstable_by_key(|(place, _)| *place);
    list.into_iter().map(|(_, item)| item).collect()
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
        mailbox.push_unfit(&all[0], "no number".into());
        assert_eq!(mailbox.newly_left(|name| *name == all[1].name), [&all[..1], &all[2..]].concat());
        assert_eq!(mailbox.newly_left(|_| false), [], "each is told once");
        assert_eq!(mailbox.pop(&all[0].name), Some(all[0].clone()));
        let names = |unhandled: Vec<Unhandled>| unhandled.into_iter().map(|one| one.signal).collect::<Vec<_>>();
        assert_eq!(names(mailbox.unhandled(|name| *name == all[1].name)), [&all[2..], &all[..1]].concat());
        assert_eq!(mailbox.take_if(|name| *name == all[2].name || *name == all[1].name), all[1..3]);
        assert_eq!(mailbox.left(), [&all[3..], &all[..1]].concat());
    }
}
