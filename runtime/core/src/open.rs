//! What a run has asked for and not got yet, and what it must not take twice, from its events alone: no code is needed
//! to tell.

use std::collections::{BTreeMap, VecDeque};

use highwater_protocol::{
    Event, OpId, Started, Timestamp, TypeName, UpdateId,
    event::{
        ActivityCancellation, ActivityScheduled, Attributes, ChildScheduled, ExternalScheduled, Outcome, Sender, Signal,
    },
};

/// How many messages of other runs a run remembers to have taken. One that is sent again after as many others counts as
/// a new one.
pub const TAKEN_MAX: usize = 1_024;

/// How many children whose start was refused a run remembers: a repeat of the start may still begin one.
pub const REFUSED_MAX: usize = 128;

/// How many that sent an update again are told its outcome by the owner that read it.
pub const REPEATERS_MAX: usize = 16;

/// What is under way, and what is remembered.
#[derive(Clone, Debug, Default)]
pub struct OpenOperations {
    /// Activities without an outcome, by operation.
    pub activities: BTreeMap<OpId, OpenActivity>,
    /// Timers that have not fired, with when they are due.
    pub timers: BTreeMap<OpId, Timestamp>,
    /// Children that have not ended, by operation; those that nobody waits for included.
    pub children: BTreeMap<OpId, OpenChild>,
    /// Children that ended without a word that they had begun: their start was refused, as far as the code knows.
    /// Oldest first.
    pub refused_children: VecDeque<OpenChild>,
    /// Messages to other workflows that nobody has accepted or refused.
    pub externals: BTreeMap<OpId, Box<ExternalScheduled>>,
    /// Updates that were accepted, those that have an outcome included.
    pub updates: BTreeMap<UpdateId, OpenUpdate>,
    /// What the run can be found by.
    pub attributes: Attributes,
    /// When the code may begin, until it may.
    pub delay: Option<Timestamp>,
    /// The messages of other runs that this one has taken, oldest first.
    taken: VecDeque<Sender>,
    /// Their requests to cancel that it has taken, oldest first.
    taken_cancels: VecDeque<Sender>,
}

/// An activity without an outcome.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenActivity {
    /// The call.
    pub call: Box<ActivityScheduled>,
    /// When it was made.
    pub scheduled_at: Timestamp,
    /// It was asked to cancel, and the code waits until it has ended.
    pub cancelling: bool,
}

/// A child that has not ended.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenChild {
    /// The call.
    pub call: Box<ChildScheduled>,
    /// Its start is on record.
    pub started: bool,
    /// It was asked to cancel, with this reason.
    pub cancel: Option<String>,
    /// That request is in the child's history, or was refused.
    pub cancel_delivered: bool,
}

/// An update that was accepted.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenUpdate {
    /// The handler's name.
    pub name: TypeName,
    reply: Option<String>,
    /// What the handler returned.
    pub outcome: Option<Outcome>,
    /// Where it goes as well: inboxes of those that sent the update again. No history has them.
    also: Vec<String>,
}

impl OpenUpdate {
    /// Somebody sent the update again and wants to hear the outcome, too. Beyond [`REPEATERS_MAX`] nobody is added:
    /// they read the outcome where everybody can.
    pub fn tell_too(&mut self, inbox: &str) {
        if self.also.len() < REPEATERS_MAX && self.told().all(|known| known != inbox) {
            self.also.push(inbox.to_owned());
        }
    }

    /// Where the outcome goes, beside the history.
    pub fn told(&self) -> impl Iterator<Item = &str> {
        self.reply.iter().chain(&self.also).map(String::as_str)
    }
}

impl OpenOperations {
    /// Takes one more event, of a transition at `time`.
    #[expect(clippy::match_same_arms, reason = "every event of this version is looked at")]
    pub fn apply(&mut self, event: &Event, time: Timestamp) {
        match event {
            Event::Started(started) => self.start(started),
            Event::Signaled(signal) => self.signaled(signal),
            Event::ActivityScheduled(call) => {
                let activity = OpenActivity { call: call.clone(), scheduled_at: time, cancelling: false };
                self.activities.insert(call.op, activity);
            }
            Event::ActivityCancelRequested { op } => self.cancel_activity(*op),
            Event::ActivityClosed { op, .. } => {
                self.activities.remove(op);
            }
            Event::TimerStarted { op, fire_at } => {
                self.timers.insert(*op, *fire_at);
            }
            Event::TimerFired { op } | Event::TimerCancelled { op } => {
                self.timers.remove(op);
            }
            Event::ChildScheduled(call) => {
                let child = OpenChild { call: call.clone(), started: false, cancel: None, cancel_delivered: false };
                self.children.insert(call.op, child);
            }
            Event::ChildStarted { op, .. } => self.change_child(*op, |child| child.started = true),
            Event::ChildCancelRequested { op, reason } => {
                self.change_child(*op, |child| child.cancel = Some(reason.clone()));
            }
            Event::ChildClosed { op, .. } => self.child_closed(*op),
            Event::ExternalScheduled(call) => {
                self.externals.insert(call.op, call.clone());
            }
            Event::ExternalClosed { op, .. } => {
                self.externals.remove(op);
                self.change_child(*op, |child| child.cancel_delivered = true);
            }
            Event::UpdateAccepted(update) => {
                let open = OpenUpdate {
                    name: update.name.clone(),
                    reply: update.reply.clone(),
                    outcome: None,
                    also: Vec::new(),
                };
                self.updates.insert(update.id.clone(), open);
            }
            Event::UpdateClosed { id, outcome } => {
                if let Some(update) = self.updates.get_mut(id) {
                    update.outcome = Some(outcome.clone());
                }
            }
            Event::AttributesUpserted { attributes } => self.attributes.upsert(attributes),
            Event::DelayPassed => self.delay = None,
            Event::CancelRequested { from, .. } => self.cancel_requested(*from),
            Event::StepClosed { .. }
            | Event::Patched { .. }
            | Event::Completed { .. }
            | Event::Failed { .. }
            | Event::Cancelled { .. }
            | Event::Terminated { .. }
            | Event::TimedOut { .. }
            | Event::ContinuedAsNew { .. }
            | Event::ContinueAsNewSuggested { .. }
            | Event::WorkflowTaskFailed { .. } => {}
            // A later version's event: replay reports it, nothing is known of it here.
            _ => {}
        }
    }

    /// Whether a message of another run has been taken already.
    pub fn has_taken(&self, sender: Sender) -> bool {
        self.taken.contains(&sender)
    }

    /// The messages of other runs that were taken, for the run that follows this one.
    pub fn taken(&self) -> Vec<Sender> {
        self.taken.iter().copied().collect()
    }

    /// Whether a request of another run to cancel has been taken already.
    pub fn has_taken_cancel(&self, sender: Sender) -> bool {
        self.taken_cancels.contains(&sender)
    }

    /// The requests of other runs to cancel that were taken, for the run that follows this one.
    pub fn taken_cancels(&self) -> Vec<Sender> {
        self.taken_cancels.iter().copied().collect()
    }

    fn start(&mut self, started: &Started) {
        *self = Self {
            attributes: started.attributes.clone(),
            delay: started.delay_until,
            taken: started.taken.iter().copied().collect(),
            taken_cancels: started.taken_cancels.iter().copied().collect(),
            ..Self::default()
        };
        // That it was started is a message too, and one that may be sent again when the run has long ended.
        if let Some(parent) = started.parent.as_ref().filter(|_| started.continued_from.is_none()) {
            remember(&mut self.taken, Sender { run: parent.run, op: parent.op });
        }
    }

    fn signaled(&mut self, signal: &Signal) {
        if let Some(sender) = signal.from {
            remember(&mut self.taken, sender);
        }
    }

    fn cancel_requested(&mut self, from: Option<Sender>) {
        if let Some(sender) = from {
            remember(&mut self.taken_cancels, sender);
        }
    }

    fn cancel_activity(&mut self, op: OpId) {
        let waits = |activity: &OpenActivity| activity.call.options.cancellation == ActivityCancellation::Wait;
        match self.activities.get_mut(&op) {
            Some(activity) if waits(activity) => activity.cancelling = true,
            _ => {
                self.activities.remove(&op);
            }
        }
    }

    fn child_closed(&mut self, op: OpId) {
        let Some(child) = self.children.remove(&op).filter(|child| !child.started) else { return };
        if self.refused_children.len() >= REFUSED_MAX {
            self.refused_children.pop_front();
        }
        self.refused_children.push_back(child);
    }

    fn change_child(&mut self, op: OpId, change: impl FnOnce(&mut OpenChild)) {
        if let Some(child) = self.children.get_mut(&op) {
            change(child);
        }
    }
}

fn remember(taken: &mut VecDeque<Sender>, sender: Sender) {
    if taken.len() >= TAKEN_MAX {
        taken.pop_front();
    }
    taken.push_back(sender);
}

#[cfg(test)]
mod tests {
    use highwater_protocol::{
        Failure, FailureKind, Payload, Payloads, QueueName, RunId, WorkflowId,
        event::{ChildOptions, Origin},
    };

    use super::*;

    #[test]
    fn a_timer_is_open_until_it_fires_or_is_cancelled() {
        let mut open = OpenOperations::default();
        for op in [1, 2, 3] {
            open.apply(&Event::TimerStarted { op: OpId(op), fire_at: Timestamp(5) }, Timestamp(0));
        }
        open.apply(&Event::TimerFired { op: OpId(1) }, Timestamp(5));
        open.apply(&Event::TimerCancelled { op: OpId(3) }, Timestamp(5));
        assert_eq!(open.timers.keys().collect::<Vec<_>>(), [&OpId(2)]);
    }

    #[test]
    fn messages_of_other_runs_are_remembered_up_to_a_limit() {
        let mut open = OpenOperations::default();
        let run = RunId::generate();
        let sender = |op: usize| Sender { run, op: OpId(op as u64) };
        let name = TypeName::new("go").unwrap();
        for op in 0..=TAKEN_MAX {
            let signal = Signal { from: Some(sender(op)), ..Signal::new(name.clone(), Payload::null()) };
            open.apply(&Event::Signaled(signal), Timestamp(0));
        }
        assert!(!open.has_taken(sender(0)));
        assert!(open.has_taken(sender(1)) && open.has_taken(sender(TAKEN_MAX)));
        assert_eq!(open.taken().len(), TAKEN_MAX);
    }

    #[test]
    fn a_child_that_takes_its_start_has_not_taken_a_request_to_cancel_under_the_same_number() {
        let sender = Sender { run: RunId::generate(), op: OpId(3) };
        let mut open = OpenOperations::default();
        remember(&mut open.taken, sender);
        assert!(!open.has_taken_cancel(sender));
        open.apply(&Event::CancelRequested { reason: String::new(), from: Some(sender) }, Timestamp(0));
        assert!(open.has_taken_cancel(sender));
        assert_eq!((open.taken(), open.taken_cancels()), (vec![sender], vec![sender]));
    }

    #[test]
    fn the_children_that_were_refused_last_are_remembered() {
        let mut open = OpenOperations::default();
        // A run may give its children up in another order than it called them.
        let ops: Vec<u64> = (0..=REFUSED_MAX as u64).rev().collect();
        for op in &ops {
            let failure = Failure::new(FailureKind::AlreadyExists, "taken");
            open.apply(&Event::ChildScheduled(Box::new(child(*op))), Timestamp(0));
            open.apply(&Event::ChildClosed { op: OpId(*op), outcome: Outcome::Failed(failure) }, Timestamp(0));
        }
        let kept: Vec<u64> = open.refused_children.iter().map(|child| child.call.op.0).collect();
        assert_eq!(kept, ops[1..]);
    }

    fn child(op: u64) -> ChildScheduled {
        ChildScheduled {
            op: OpId(op),
            workflow_id: WorkflowId::new("child").unwrap(),
            workflow_type: TypeName::new("t").unwrap(),
            queue: QueueName::new("q").unwrap(),
            run: RunId::generate(),
            input: Payload::null(),
            options: ChildOptions::default(),
            memo: Payloads::default(),
            attributes: Attributes::default(),
            headers: Payloads::default(),
        }
    }

    #[test]
    fn that_it_was_started_is_a_message_that_a_child_has_taken() {
        let parent = Origin {
            workflow_id: WorkflowId::new("parent").unwrap(),
            run: RunId::generate(),
            queue: QueueName::new("q").unwrap(),
            op: OpId(3),
        };
        let sender = Sender { run: parent.run, op: parent.op };
        let started = Started {
            parent: Some(parent),
            ..Started::new(
                WorkflowId::new("child").unwrap(),
                TypeName::new("t").unwrap(),
                QueueName::new("q").unwrap(),
                Payload::null(),
            )
        };
        let mut open = OpenOperations::default();
        open.apply(&Event::Started(Box::new(started)), Timestamp(0));
        assert!(open.has_taken(sender));
        assert_eq!(open.taken(), [sender]);
    }
}
