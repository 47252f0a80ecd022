//! Runs that have ended: what they leave behind, and who is to know.

use highwater_core::open::OpenActivity;
use highwater_protocol::{
    Event, Failure, FailureKind, Key, RunId, Started, Status, Timestamp,
    event::{ActivityCancellation, ExternalScheduled, ParentClose},
    reply::{Closed, Reply},
    timer::TimerId,
};

use super::{Action, Engine, Send, chain::RunEnd, dispatch::FAR, slot::Slot};

impl Engine {
    /// Does what the end of the run asks for, and tells the run that started it.
    pub(super) fn wind_up(&mut self, key: &Key, slot: &mut Slot) {
        let Some((run, started)) = slot.known().map(|tip| (tip.frame.run, tip.started.clone())) else { return };
        self.close_operations(key, slot, run, started.as_deref());
        self.report_end(key, slot);
    }

    /// Winds the run up, and tells everybody who waits that it has ended.
    pub(super) fn announce(&mut self, key: &Key, slot: &mut Slot) {
        self.wind_up(key, slot);
        let Some(started) = slot.known().map(|tip| tip.started.clone()) else { return };
        let closed = slot.known().and_then(|tip| closed(tip.closing.as_ref()?, tip.frame.run, tip.status));
        let Some(closed) = closed else { return };
        let to = started.as_ref().and_then(|started| started.reply.clone());
        let reply = Reply::Closed(closed);
        // Whoever started the run waits for it, most likely; whether anybody else does is not known.
        self.reply(to.as_deref(), reply.clone());
        self.actions.push(Action::Announce { key: key.clone(), reply });
    }

    /// The last events of a run that another one takes the place of. What it asked for its own sake in them is not sent
    /// any more; what is for others is.
    pub(super) fn end_with(
        &mut self,
        key: &Key,
        slot: &mut Slot,
        (run, started): (RunId, Option<&Started>),
        events: &[Event],
        time: Timestamp,
    ) {
        let mut said = Vec::new();
        for event in events {
            match event {
                Event::UpdateClosed { id, outcome } => self.update_closed(key, slot, run, id, outcome),
                Event::Started(started) => self.report_started(key, slot, run, started),
                Event::ChildScheduled(call) if call.options.parent_close == ParentClose::Abandon => {}
                Event::ExternalScheduled(call) => said.push(call.op),
                Event::UpdateAccepted(_)
                | Event::ChildClosed { .. }
                | Event::ChildCancelRequested { .. }
                | Event::ExternalClosed { .. } => {}
                _ => continue,
            }
            slot.open.apply(event, time);
        }
        if let Some(started) = started {
            // An owner before may have ended before it sent what earlier records say.
            let is_new = |call: &ExternalScheduled| !slot.confirmed || said.contains(&call.op);
            let externals: Vec<_> = slot.unanswered().into_iter().filter(is_new).collect();
            self.post_externals(key, slot, run, started, externals);
        }
        self.accept_items(slot, run);
        self.close_operations(key, slot, run, started);
    }

    /// Ends everything that a closed run leaves behind.
    fn close_operations(&mut self, key: &Key, slot: &mut Slot, run: RunId, started: Option<&Started>) {
        let now = self.time();
        let abandoned = |open: &OpenActivity| open.call.options.cancellation == ActivityCancellation::Abandon;
        let activities: Vec<_> = slot.open.activities.iter().map(|(op, open)| (*op, !abandoned(open))).collect();
        for (op, cancel) in activities {
            self.end_activity(key, slot, run, op, cancel, now);
        }
        for (op, at) in std::mem::take(&mut slot.open.timers) {
            if at.since(now) > FAR {
                self.send(key, slot, Send::DeleteTimer { run, timer: TimerId::Sleep(op) });
            }
        }
        slot.open.activities.clear();
        self.close_updates(key, slot, run);
        if let Some(started) = started {
            let children = slot.open.children.clone();
            self.close_children(key, slot, run, started, &children);
        }
        // A run that ended in its first transition is not known yet, and has no timers.
        let tip = slot.known().filter(|tip| tip.frame.run == run);
        let end =
            tip.and_then(|tip| RunEnd::of(tip.started.as_ref()?, tip.started_at)).map(|end| (TimerId::Run, end.at));
        let delay = slot.open.delay.take().map(|until| (TimerId::Delay, until));
        for (timer, at) in end.into_iter().chain(delay) {
            if at.since(now) > FAR {
                self.send(key, slot, Send::DeleteTimer { run, timer });
            }
        }
    }
}

/// The answer that a run gives whose last event this is.
pub(super) fn closed(last: &Event, run: RunId, status: Status) -> Option<Closed> {
    let outcome = match last {
        Event::Completed { result } => Ok(result.clone()),
        Event::Failed { failure, next: None }
        | Event::Cancelled { failure }
        | Event::TimedOut { failure, next: None } => Err(failure.clone()),
        Event::Terminated { reason } => Err(Failure::new(FailureKind::Terminated, reason.clone())),
        _ => return None,
    };
    Some(Closed { run, status, outcome })
}
