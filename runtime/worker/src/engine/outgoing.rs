//! What runs send to each other: through the other one's inbox, durably, and again when nobody knows whether it was.
//!
//! The messages of one run to one workflow id go out one at a time, each behind the acknowledgement of the one before.
//! So they are read in the order in which they were sent, and a repeat that a takeover causes is recognised by the
//! receiver.

use highwater_protocol::{
    Event, Failure, Key, QueueName, RunId, Started,
    event::{ExternalRequest, ExternalScheduled, OpId, Origin, Outcome},
    request::{ChildReport, ChildStart, ChildState, ExternalReport, RunCancel, RunSignal},
    subject::{EngineVerb, Subjects},
    wire,
};

use super::{Action, Engine, Item, Send, slot::Slot};

/// A message to another workflow.
#[derive(Clone, Debug)]
pub(crate) enum Outgoing {
    /// Start a child.
    Start(Box<ChildStart>),
    /// Take a signal.
    Signal { queue: QueueName, signal: Box<RunSignal> },
    /// Cancel yourself.
    Cancel { queue: QueueName, cancel: RunCancel },
    /// End, as the run that started you has.
    Terminate { queue: QueueName, cancel: RunCancel },
    /// How the child that you started is getting on.
    Child { to: Origin, report: Box<ChildReport> },
    /// What came of the message that you sent.
    External { to: Origin, report: ExternalReport },
}

impl Outgoing {
    /// Where it goes. `from` is the run that sends it.
    pub(crate) fn subject(&self, subjects: &Subjects, from: RunId, to: &Key) -> String {
        let (verb, queue, run) = match self {
            Self::Start(start) => (EngineVerb::Start, &start.call.queue, start.call.run),
            Self::Signal { queue, .. } => (EngineVerb::Signal, queue, from),
            Self::Cancel { queue, .. } => (EngineVerb::Cancel, queue, from),
            Self::Terminate { queue, .. } => (EngineVerb::Terminate, queue, from),
            Self::Child { to, .. } => (EngineVerb::Child, &to.queue, to.run),
            Self::External { to, .. } => (EngineVerb::External, &to.queue, to.run),
        };
        subjects.inbox_engine(verb, queue, run, to)
    }

    /// Its body.
    pub(crate) fn payload(&self) -> bytes::Bytes {
        match self {
            Self::Start(start) => wire::encode(start),
            Self::Signal { signal, .. } => wire::encode(signal),
            Self::Cancel { cancel, .. } | Self::Terminate { cancel, .. } => wire::encode(cancel),
            Self::Child { report, .. } => wire::encode(report),
            Self::External { report, .. } => wire::encode(report),
        }
    }

    /// What the sending run learns when it can never be sent; nothing when nobody waits for it.
    pub(crate) fn undelivered(&self, failure: Failure) -> Option<Event> {
        let told = |op: OpId, failure| Some(Event::ExternalClosed { op, failure: Some(failure) });
        match self {
            Self::Start(start) => Some(Event::ChildClosed { op: start.call.op, outcome: Outcome::Failed(failure) }),
            Self::Signal { signal, .. } => told(signal.origin.op, failure),
            Self::Cancel { cancel, .. } => told(cancel.origin.as_ref()?.op, failure),
            Self::Terminate { .. } | Self::Child { .. } | Self::External { .. } => None,
        }
    }

    /// What can be said instead when it is too large to be sent.
    pub(crate) fn shortened(&self, failure: &Failure) -> Option<Self> {
        let Self::Child { to, report } = self else { return None };
        let state = ChildState::Closed(Outcome::Failed(failure.clone()));
        let short = ChildReport { state, ..(**report).clone() };
        (short != **report).then(|| Self::Child { to: to.clone(), report: Box::new(short) })
    }
}

impl Engine {
    /// Sends a message of a run's, behind those that are on their way to the same workflow id.
    pub(super) fn post(&mut self, key: &Key, slot: &mut Slot, run: RunId, to: Key, message: Outgoing) {
        slot.sending += 1;
        if let Some(waiting) = slot.outbox.get_mut(&to) {
            waiting.push_back((run, message));
            return;
        }
        slot.outbox.insert(to.clone(), std::collections::VecDeque::new());
        let send = Send::Message { run, to, message };
        self.actions.push(Action::Send { key: key.clone(), generation: slot.generation, send });
    }

    /// A message is in the other one's inbox, or never will be.
    pub(super) fn posted(&mut self, key: &Key, slot: &mut Slot, run: RunId, to: Key, undelivered: Option<Event>) {
        if let Some(event) = undelivered {
            slot.pending.push_back(Item::Undelivered { run, event });
        }
        let Some((run, message)) = slot.outbox.get_mut(&to).and_then(std::collections::VecDeque::pop_front) else {
            slot.outbox.remove(&to);
            if slot.outbox.is_empty() {
                slot.answering.clear();
            }
            return;
        };
        let send = Send::Message { run, to, message };
        self.actions.push(Action::Send { key: key.clone(), generation: slot.generation, send });
    }

    /// Sends what the code of a run wants other workflows to have, in the order in which it said so.
    pub(super) fn post_externals(
        &mut self,
        key: &Key,
        slot: &mut Slot,
        run: RunId,
        started: &Started,
        calls: impl IntoIterator<Item = ExternalScheduled>,
    ) {
        for call in calls {
            self.post_external(key, slot, origin(run, started, call.op), call);
        }
    }

    fn post_external(&mut self, key: &Key, slot: &mut Slot, origin: Origin, call: ExternalScheduled) {
        let (run, target) = (origin.run, call.target);
        let message = match call.request {
            ExternalRequest::Signal(signal) => {
                let signal = Box::new(RunSignal { origin, run: target.run, signal });
                Outgoing::Signal { queue: target.queue, signal }
            }
            ExternalRequest::Cancel { reason } => {
                let cancel = RunCancel { origin: Some(origin), run: target.run, reason };
                Outgoing::Cancel { queue: target.queue, cancel }
            }
            other => {
                tracing::error!(workflow_id = %key, ?other, "a newer version of this program sends what this one cannot");
                return;
            }
        };
        self.post(key, slot, run, target.workflow_id.to_key(), message);
    }
}

/// An operation of a run, as others name it.
pub(super) fn origin(run: RunId, started: &Started, op: OpId) -> Origin {
    Origin { workflow_id: started.workflow_id.clone(), run, queue: started.queue.clone(), op }
}
