//! What all histories together say of what runs took, answered and sent.

use std::collections::{BTreeMap, BTreeSet};

use highwater_protocol::{
    Event, FailureKind, Key, OpId, Payload, RunId, UpdateId,
    event::{ExternalRequest, Outcome, Sender, Signal},
};

#[derive(Default)]
pub(super) struct Tally {
    pub(super) started: BTreeSet<RunId>,
    /// How often each signal of a client was taken.
    pub(super) signals: BTreeMap<u64, u32>,
    pub(super) accepted: BTreeSet<(Key, UpdateId)>,
    /// Updates of runs, and whether they are answered.
    updates: BTreeMap<(RunId, UpdateId), bool>,
    /// How often each signal of another run was taken by a run and those that follow it.
    messages: BTreeMap<(Sender, RunId), u32>,
    /// How often each request of another run to cancel was taken by a run and those that follow it.
    cancels: BTreeMap<(Sender, RunId), u32>,
    /// Signals to other runs, and what their senders were told.
    sent: BTreeMap<Sender, Option<bool>>,
    children: BTreeMap<(RunId, OpId), RunId>,
    results: Vec<Payload>,
    /// Results that parents were told.
    told: Vec<(RunId, Payload)>,
}

impl Tally {
    pub(super) fn take(&mut self, key: &Key, run: RunId, chain: RunId, event: &Event) {
        match event {
            Event::Started(_) => assert!(self.started.insert(run), "{run} starts twice"),
            Event::Signaled(Signal { from: Some(from), .. }) => {
                *self.messages.entry((*from, chain)).or_default() += 1;
            }
            Event::CancelRequested { from: Some(from), .. } => *self.cancels.entry((*from, chain)).or_default() += 1,
            Event::Signaled(signal) => *self.signals.entry(signal.input.decode().unwrap()).or_default() += 1,
            Event::UpdateAccepted(update) => {
                let before = self.updates.insert((run, update.id.clone()), false);
                assert!(before.is_none(), "{run} takes {} twice", update.id);
                self.accepted.insert((key.clone(), update.id.clone()));
            }
            Event::UpdateClosed { id, outcome } => {
                assert_eq!(self.updates.insert((run, id.clone()), true), Some(false), "{run} answers {id} once");
                assert!(!matches!(outcome, Outcome::Failed(_)), "{run} fails to do {id}: {outcome:?}");
            }
            Event::ExternalScheduled(call) if matches!(call.request, ExternalRequest::Signal(_)) => {
                self.sent.insert(Sender { run, op: call.op }, None);
            }
            Event::ExternalClosed { op, failure } => {
                if let Some(known) = self.sent.get_mut(&Sender { run, op: *op }) {
                    *known = Some(failure.is_none());
                }
            }
            Event::ChildScheduled(call) => drop(self.children.insert((run, call.op), call.run)),
            Event::ChildClosed { op, outcome: Outcome::Completed(result) } => {
                self.told.push((self.children[&(run, *op)], result.clone()));
            }
            Event::Completed { result } => {
                complete(key, result);
                self.results.push(result.clone());
            }
            Event::Failed { failure, .. } if failure.kind == FailureKind::HistoryTooLong => {}
            Event::Failed { failure, .. } => panic!("{key} {run} failed: {failure}"),
            _ => {}
        }
    }

    /// A repeat may be on its way when a run takes or refuses the first, and reach another one that begins in between.
    /// A run that has ended cannot record what came of its last messages, so `answered` tells whom somebody has
    /// answered.
    pub(super) fn check_messages(&self, answered: &BTreeSet<Sender>) {
        for ((sender, chain), taken) in &self.messages {
            assert_eq!(*taken, 1, "{sender:?} is taken {taken} times by {chain} and those that follow it");
        }
        for ((sender, chain), taken) in &self.cancels {
            assert_eq!(*taken, 1, "{sender:?} cancels {chain} and those that follow it {taken} times");
        }
        for (sender, told) in &self.sent {
            let taken = self.messages.keys().any(|(from, _)| from == sender);
            assert!(*told != Some(true) || taken, "{sender:?} was told that its message is taken, and it is not");
            assert!(answered.contains(sender), "the message of {sender:?} got lost: nobody has answered it");
        }
        for (child, result) in &self.told {
            assert!(self.results.contains(result), "{child} is said to have given {result:?}");
        }
    }
}

fn complete(key: &Key, result: &Payload) {
    let got: Vec<u64> = result.decode().unwrap();
    let once: BTreeSet<u64> = got.iter().copied().collect();
    assert_eq!(once.len(), got.len(), "a run of {key} took a signal twice: {got:?}");
    assert!(got.is_sorted(), "a run of {key} took its signals out of order: {got:?}");
}
