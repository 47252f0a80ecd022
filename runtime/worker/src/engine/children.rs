//! Children: started by the record of one run, begun by that of another, and what each side tells the other.

use std::collections::BTreeMap;

use highwater_core::open::OpenChild;
use highwater_protocol::{
    Event, Failure, FailureKind, Key, OpId, RunId, Started,
    event::{Origin, Outcome, ParentClose},
    rejection::{Code, Rejection},
    request::{Ask, ChildReport, ChildStart, ChildState, ExternalReport, Meant, RunCancel},
};

use super::{
    Engine, RequestItem,
    outgoing::{Outgoing, origin},
    slot::{KnownTip, Slot},
};

impl Engine {
    // The parent's side.

    /// Starts a child.
    pub(super) fn post_child(&mut self, key: &Key, slot: &mut Slot, run: RunId, started: &Started, child: &OpenChild) {
        let call = &child.call;
        let parent = origin(run, started, call.op);
        let start = ChildStart {
            parent,
            call: (**call).clone(),
            headers: call.headers.clone().over(&started.headers),
            trace: started.trace.clone(),
        };
        self.post(key, slot, run, call.workflow_id.to_key(), Outgoing::Start(Box::new(start)));
    }

    /// Asks a child to cancel itself, when the code wants that and nobody has said that the child was told.
    pub(super) fn post_child_cancel(&mut self, key: &Key, slot: &mut Slot, op: OpId) {
        let Some(child) = slot.open.children.get(&op).filter(|child| !child.cancel_delivered) else { return };
        let Some((run, Some(started))) = slot.known().map(|tip| (tip.frame.run, tip.started.clone())) else { return };
        let Some(reason) = child.cancel.clone() else { return };
        let (queue, to) = (child.call.queue.clone(), child.call.workflow_id.to_key());
        let cancel = RunCancel { origin: Some(origin(run, &started, op)), run: Some(child.call.run), reason };
        self.post(key, slot, run, to, Outgoing::Cancel { queue, cancel });
    }

    /// Sends what the events of a stored record say to children: the start first, and what is said to it behind.
    pub(super) fn dispatch_children(&mut self, key: &Key, slot: &mut Slot, events: &[Event]) {
        let Some(tip) = slot.known() else { return };
        // Which children a closed run still begins is decided where it is closed.
        let (run, Some(started), false) = (tip.frame.run, tip.started.clone(), tip.is_closed()) else { return };
        for event in events {
            match event {
                Event::ChildScheduled(call) => {
                    if let Some(child) = slot.open.children.get(&call.op).cloned() {
                        self.post_child(key, slot, run, &started, &child);
                    }
                }
                Event::ChildCancelRequested { op, .. } => self.post_child_cancel(key, slot, *op),
                _ => {}
            }
        }
    }

    /// Sends again all messages of a run that nobody has answered, in the order in which the code made them.
    pub(super) fn post_again(&mut self, key: &Key, slot: &mut Slot) {
        let Some((run, Some(started))) = slot.known().map(|tip| (tip.frame.run, tip.started.clone())) else { return };
        for child in slot.open.children.clone().into_values().filter(|child| !child.started) {
            self.post_child(key, slot, run, &started, &child);
        }
        let externals = slot.unanswered();
        self.post_externals(key, slot, run, &started, externals);
        for op in slot.open.children.keys().copied().collect::<Vec<_>>() {
            self.post_child_cancel(key, slot, op);
        }
    }

    /// Does with the children of a run that has ended what was said when they were started.
    pub(super) fn close_children(
        &mut self,
        key: &Key,
        slot: &mut Slot,
        run: RunId,
        started: &Started,
        children: &BTreeMap<OpId, OpenChild>,
    ) {
        for child in children.values() {
            let (queue, to) = (child.call.queue.clone(), child.call.workflow_id.to_key());
            let reason = format!("run {run} of workflow {}, which started it, has ended", started.workflow_id);
            let cancel = RunCancel { origin: None, run: Some(child.call.run), reason };
            match child.call.options.parent_close {
                ParentClose::Terminate => self.post(key, slot, run, to, Outgoing::Terminate { queue, cancel }),
                ParentClose::RequestCancel => self.post(key, slot, run, to, Outgoing::Cancel { queue, cancel }),
                ParentClose::Abandon => self.leave_child(key, slot, run, started, child, cancel),
            }
        }
    }

    /// Lets a child of a run that has ended live on: it has to be there for that, and to hear what the run said to it
    /// last.
    fn leave_child(
        &mut self,
        key: &Key,
        slot: &mut Slot,
        run: RunId,
        started: &Started,
        child: &OpenChild,
        cancel: RunCancel,
    ) {
        if !child.started {
            self.post_child(key, slot, run, started, child);
        }
        if let Some(reason) = child.cancel.clone().filter(|_| !child.cancel_delivered) {
            let (queue, to) = (child.call.queue.clone(), child.call.workflow_id.to_key());
            self.post(key, slot, run, to, Outgoing::Cancel { queue, cancel: RunCancel { reason, ..cancel } });
        }
    }

    /// A child has begun that should not have: a start was sent again by an owner that did not know yet that the run
    /// had ended, or that the child was refused.
    pub(super) fn end_stray(&mut self, key: &Key, slot: &mut Slot, of: RunId, report: &ChildReport) {
        let Some((run, Some(started))) = slot.known().map(|tip| (tip.frame.run, tip.started.clone())) else { return };
        let closed = slot.known().is_some_and(KnownTip::is_closed);
        let refused = slot.open.refused_children.iter().find(|child| child.call.op == report.op);
        let child = slot.open.children.get(&report.op).filter(|_| closed).or(refused).cloned();
        let Some(mut child) = child.filter(|child| child.call.run == report.child) else { return };
        if of != run || !is_start(report) {
            return;
        }
        child.started = true;
        if refused.is_some() {
            // The code was told that there is none.
            child.call.options.parent_close = ParentClose::Terminate;
        }
        self.close_children(key, slot, run, &started, &BTreeMap::from([(report.op, child)]));
    }

    /// What a report of a child's means to the run that started it.
    pub(super) fn child_event(slot: &Slot, report: &ChildReport) -> Option<Event> {
        let child = slot.open.children.get(&report.op).filter(|child| child.call.run == report.child)?;
        match &report.state {
            ChildState::Started if child.started => None,
            ChildState::Started => Some(Event::ChildStarted { op: report.op, run: report.child }),
            ChildState::Closed(outcome) => Some(Event::ChildClosed { op: report.op, outcome: outcome.clone() }),
        }
    }

    /// What the answer to a message means to the run that sent it.
    pub(super) fn external_event(slot: &Slot, report: &ExternalReport) -> Option<Event> {
        let event = Event::ExternalClosed { op: report.op, failure: report.failure.clone() };
        waits_to_hear(slot, report.op).then_some(event)
    }

    /// What it means that a message can never be sent. It may have been sent before all the same, by an owner that
    /// could not say so any more, and be answered.
    pub(super) fn undelivered_event(slot: &Slot, event: &Event) -> Option<Event> {
        let waits = match event {
            Event::ChildClosed { op, .. } => slot.open.children.get(op).is_some_and(|child| !child.started),
            Event::ExternalClosed { op, .. } => waits_to_hear(slot, *op),
            _ => false,
        };
        waits.then(|| event.clone())
    }

    // The child's side.

    /// Tells the run that started this one, as its child, that it is under way. Runs that follow it have no need to.
    pub(super) fn report_started(&mut self, key: &Key, slot: &mut Slot, run: RunId, started: &Started) {
        if let Some(to) = started.parent.clone().filter(|_| started.continued_from.is_none()) {
            self.report_child(key, slot, run, to, run, ChildState::Started);
        }
    }

    fn report_child(&mut self, key: &Key, slot: &mut Slot, run: RunId, to: Origin, child: RunId, state: ChildState) {
        let report = Box::new(ChildReport { op: to.op, child, state });
        self.post(key, slot, run, to.workflow_id.to_key(), Outgoing::Child { to, report });
    }

    // Answers to messages of other runs.

    /// Tells the run that sent a request what came of it.
    pub(super) fn answer_origin(&mut self, slot: &mut Slot, item: &RequestItem, refused: Option<&Rejection>) {
        let Some(to) = item.request.origin.clone() else { return };
        slot.answering.insert(item.message.seq);
        let key = item.request.key.clone();
        let run = slot.known().map_or(to.run, |tip| tip.frame.run);
        match (&item.request.ask, refused) {
            (Ask::Start(start), Some(rejection)) => {
                let child = start.run.unwrap_or(run);
                let outcome = Outcome::Failed(failure(rejection, true));
                self.report_child(&key, slot, run, to, child, ChildState::Closed(outcome));
            }
            // A child that is on has told so with its first record, and tells it once more to whoever asks once more.
            (Ask::Start(_), None) => {
                let started = slot.known().and_then(|tip| tip.started.clone());
                let child = started.and_then(|started| started.first_run).unwrap_or(run);
                self.report_child(&key, slot, run, to, child, ChildState::Started);
                self.report_end(&key, slot);
            }
            (_, refused) => {
                let report = ExternalReport { op: to.op, failure: refused.map(|rejection| failure(rejection, false)) };
                self.post(&key, slot, run, to.workflow_id.to_key(), Outgoing::External { to, report });
            }
        }
    }

    /// Tells the run that started this one that it has ended, if it has and nothing follows it.
    pub(super) fn report_end(&mut self, key: &Key, slot: &mut Slot) {
        let Some(tip) = slot.known() else { return };
        let (run, closing) = (tip.frame.run, tip.closing.clone());
        if let (Some(started), Some(closing)) = (tip.started.clone(), closing) {
            self.report_end_of(key, slot, run, &started, &closing);
        }
    }

    /// Does once more what the end of an earlier run asked for: whoever was to do it may have ended before it did.
    pub(super) fn close_left(&mut self, key: &Key, slot: &mut Slot) {
        let Some(left) = slot.left.take() else { return };
        self.post_externals(key, slot, left.run, &left.started, left.externals);
        self.close_children(key, slot, left.run, &left.started, &left.children);
        if let Some(closing) = &left.closing {
            self.report_end_of(key, slot, left.run, &left.started, closing);
        }
    }

    fn report_end_of(&mut self, key: &Key, slot: &mut Slot, run: RunId, started: &Started, closing: &Event) {
        if let (Some(outcome), Some(to)) = (outcome(closing), started.parent.clone()) {
            let child = started.first_run.unwrap_or(run);
            self.report_child(key, slot, run, to, child, ChildState::Closed(outcome));
        }
    }
}

/// Whether a run has no answer yet to a message, or to a request that a child cancels itself.
fn waits_to_hear(slot: &Slot, op: OpId) -> bool {
    let told = slot.open.children.get(&op).is_some_and(|child| child.cancel.is_some() && !child.cancel_delivered);
    told || slot.open.externals.contains_key(&op)
}

/// How a run ended, for the one that started it; nothing when another run follows it.
fn outcome(closing: &Event) -> Option<Outcome> {
    Some(match closing {
        Event::Completed { result } => Outcome::Completed(result.clone()),
        Event::Failed { failure, next: None } | Event::TimedOut { failure, next: None } => {
            Outcome::Failed(failure.clone())
        }
        Event::Cancelled { failure } => Outcome::Cancelled(failure.clone()),
        Event::Terminated { reason } => Outcome::Failed(Failure::new(FailureKind::Terminated, reason.clone())),
        _ => return None,
    })
}

/// A rejection, as the run that asked gets it.
fn failure(rejection: &Rejection, of_start: bool) -> Failure {
    let kind = match rejection.code {
        Code::AlreadyRunning | Code::AlreadyUsed | Code::Conflict if of_start => FailureKind::AlreadyExists,
        Code::NotFound => FailureKind::NotFound,
        Code::Closed => FailureKind::Closed,
        Code::TooLarge => FailureKind::TooLarge,
        _ => FailureKind::Refused,
    };
    Failure::new(kind, rejection.reason.clone())
}

/// Whether a report says that a child is under way.
pub(super) fn is_start(report: &ChildReport) -> bool {
    report.state == ChildState::Started
}

/// Whether a request that is meant for a certain run is for the one at `tip`. Other runs know a child by its first run,
/// and mean whichever of its chain goes on.
pub(super) fn is_meant(tip: &KnownTip, item: &RequestItem, meant: RunId) -> bool {
    is_of(tip, if item.internal { Meant::Chain(meant) } else { Meant::Run(meant) })
}

/// Whether the run is the one that is meant, or one of those. Of a chain only a run whose start is known can tell.
pub(super) fn is_of(tip: &KnownTip, meant: Meant) -> bool {
    let first = || tip.started.as_ref().and_then(|started| started.first_run);
    meant.run() == tip.frame.run || matches!(meant, Meant::Chain(first_run) if first() == Some(first_run))
}
