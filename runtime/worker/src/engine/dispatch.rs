//! What records ask for: tasks, timers, cancellations. Sent after the commit, and again when nobody knows whether it
//! was.

use std::time::Duration;

use highwater_core::open::OpenActivity;
use highwater_protocol::{
    Event, Key, OpId, QueueName, RunId, Status, Timestamp, event::ActivityCancellation, task::ActivityTask,
    timer::TimerId,
};

use super::{
    Action, Engine, Item, Send, Sent,
    chain::RunEnd,
    slot::{KnownTip, Slot, Stage},
};

/// A timer that is due later than this is worth deleting when it is not needed; a nearer one just fires into nothing.
pub(super) const FAR: Duration = Duration::from_mins(1);

/// A timer that is due within this is also set on this process's clock, which is more precise than the server's tick.
const NEAR: Duration = Duration::from_mins(10);

impl Engine {
    pub(super) fn send(&mut self, key: &Key, slot: &mut Slot, send: Send) {
        slot.sending += 1;
        self.actions.push(Action::Send { key: key.clone(), generation: slot.generation, send });
    }

    /// Something was sent, or cannot be.
    pub(super) fn sent(&mut self, key: &Key, slot: &mut Slot, sent: Sent) {
        slot.sending = slot.sending.saturating_sub(1);
        match sent {
            Sent::Posted { run, to, undelivered } => self.posted(key, slot, run, to, undelivered),
            Sent::Done => {}
            Sent::Cancelled => slot.cancelling = slot.cancelling.saturating_sub(1),
            Sent::Waits { run, op, seq } => slot.verify.push((seq, run, op)),
            Sent::Refused { run, op, failure } => slot.pending.push_back(Item::Refused { run, op, failure }),
        }
        if slot.stage == Stage::Appending && slot.batch.appending.is_none() {
            self.append_next(key, slot);
        }
    }

    /// Sends what the events of a stored record ask for, and keeps count of what is open.
    pub(super) fn dispatch(&mut self, key: &Key, slot: &mut Slot, events: &[Event], time: Timestamp) {
        let Some((run, retry)) = slot.known().map(|tip| (tip.frame.run, TimerId::TaskRetry(tip.frame.ordinal))) else {
            return;
        };
        let mut asked = Vec::new();
        for event in events {
            match event {
                Event::ActivityCancelRequested { op } | Event::ActivityClosed { op, .. } => {
                    self.end_activity(
                        key,
                        slot,
                        run,
                        *op,
                        matches!(event, Event::ActivityCancelRequested { .. }),
                        time,
                    );
                }
                Event::TimerCancelled { op } => {
                    let far = slot.open.timers.get(op).is_some_and(|at| at.since(time) > FAR);
                    if far {
                        self.send(key, slot, Send::DeleteTimer { run, timer: TimerId::Sleep(*op) });
                    }
                }
                Event::ActivityScheduled(call) => asked.push(call.op),
                Event::ExternalScheduled(call) => asked.push(call.op),
                Event::UpdateClosed { id, outcome } => self.update_closed(key, slot, run, id, outcome),
                Event::TimerStarted { op, .. } => asked.push(*op),
                Event::WorkflowTaskFailed { retry_at, .. } => self.arm(key, slot, run, retry, *retry_at, time),
                Event::Started(started) if !slot.known().is_some_and(KnownTip::is_closed) => {
                    self.arm_limits(key, slot, run, RunEnd::of(started, time), started.delay_until, time);
                    self.report_started(key, slot, run, started);
                }
                Event::Started(started) => self.report_started(key, slot, run, started),
                _ => {}
            }
            slot.open.apply(event, time);
        }
        let mut externals = Vec::new();
        for op in asked {
            // What was asked for and given up within one record is not sent at all.
            if let Some(activity) = slot.open.activities.get(&op).cloned() {
                self.schedule(key, slot, run, &activity, None, time);
            } else if let Some(at) = slot.open.timers.get(&op).copied() {
                self.arm(key, slot, run, TimerId::Sleep(op), at, time);
            } else if let Some(call) = slot.open.externals.get(&op) {
                externals.push((**call).clone());
            }
        }
        if let Some(started) = slot.known().and_then(|tip| tip.started.clone()) {
            self.post_externals(key, slot, run, &started, externals);
        }
        self.dispatch_children(key, slot, events);
    }

    /// Sends everything that is open once more: the owner before may have ended before it did. What is there already is
    /// left alone by the conditions under which it is sent.
    pub(super) fn send_again(&mut self, key: &Key, slot: &mut Slot) {
        let Some(tip) = slot.known() else { return };
        let (run, closed, seen) = (tip.frame.run, tip.is_closed(), tip.frame.marks.inbox.seq);
        let (status, started_at) = (tip.status, tip.started_at);
        let started = tip.started.clone();
        let end = started.as_ref().and_then(|started| RunEnd::of(started, started_at));
        self.close_left(key, slot);
        self.repeat_last(key, slot, run, status);
        if closed {
            if let Some(started) = started {
                self.report_started(key, slot, run, &started);
                let externals = slot.unanswered();
                self.post_externals(key, slot, run, &started, externals);
            }
            if slot.is_wanted_anew() {
                // Its starter heard of the end long ago, or reads of it: an answer now could be taken for the next
                // run's.
                self.wind_up(key, slot);
            } else {
                self.announce(key, slot);
            }
            return;
        }
        let now = self.time();
        self.arm_limits(key, slot, run, end, slot.open.delay, now);
        for (op, activity) in slot.open.activities.clone() {
            if activity.cancelling {
                // Whoever has it hears of it again; if nobody has it, nobody is to get it.
                let queue = activity.call.queue.clone();
                self.send(key, slot, Send::CancelActivity { run, op, queue, wait: true });
            } else {
                self.schedule(key, slot, run, &activity, Some(seen), activity.scheduled_at);
            }
        }
        for (op, at) in slot.open.timers.clone() {
            self.arm(key, slot, run, TimerId::Sleep(op), at, now);
        }
        if let Some(started) = started {
            self.report_started(key, slot, run, &started);
        }
        self.post_again(key, slot);
    }

    /// Sends again what the last record asked for and what is not open any more. No record is made before the
    /// cancellations of the one before are sent, so there is no need to look further back.
    fn repeat_last(&mut self, key: &Key, slot: &mut Slot, run: RunId, status: Status) {
        let now = self.time();
        let last = slot.history.iter().rev().find(|(_, events)| !events.is_empty());
        let (ordinal, last_events) =
            last.map(|(record, events)| (record.frame.ordinal, events.clone())).unwrap_or_default();
        for event in &last_events {
            match event {
                Event::WorkflowTaskFailed { retry_at, .. } if status == Status::Blocked => {
                    self.arm(key, slot, run, TimerId::TaskRetry(ordinal), *retry_at, now);
                }
                Event::ActivityCancelRequested { op } if !slot.open.activities.contains_key(op) => {
                    let call = slot.history.iter().flat_map(|(_, events)| events).find_map(|event| match event {
                        Event::ActivityScheduled(call) if call.op == *op => Some(call.queue.clone()),
                        _ => None,
                    });
                    if let Some(queue) = call {
                        self.cancel_activity(key, slot, run, *op, queue);
                    }
                }
                Event::UpdateClosed { id, outcome } => self.update_closed(key, slot, run, id, outcome),
                _ => {}
            }
        }
    }

    /// Tells whoever has an activity, or takes it later, that it is not wanted. Nothing is known of that once the next
    /// record stands behind, so that one waits.
    pub(super) fn cancel_activity(&mut self, key: &Key, slot: &mut Slot, run: RunId, op: OpId, queue: QueueName) {
        slot.cancelling += 1;
        self.send(key, slot, Send::CancelActivity { run, op, queue, wait: false });
    }

    /// Looks again at activities whose task was gone while outcomes waited in the inbox, once those are consumed.
    pub(super) fn verify_again(&mut self, key: &Key, slot: &mut Slot) {
        if slot.verify.is_empty() {
            return;
        }
        let Some((run, mark)) = slot.known().map(|tip| (tip.frame.run, tip.frame.marks.inbox.seq)) else { return };
        // A run that continued as this one numbered its operations for itself.
        slot.verify.retain(|(_, of, _)| *of == run);
        // An outcome that changed nothing leaves no mark, and one that the owner before was done with does not come
        // again.
        let waits = slot.pending.iter().any(|item| matches!(item, Item::Request(_)));
        if !waits && let Some(unit) = self.units.get(&slot.unit) {
            let passed = slot.verify.iter().map(|(seq, ..)| *seq).filter(|seq| unit.inbox.has_passed(*seq)).max();
            slot.seen_inbox = slot.seen_inbox.max(passed.unwrap_or(0));
        }
        let seen = mark.max(slot.seen_inbox);
        let (ready, waiting): (Vec<_>, Vec<_>) = slot.verify.drain(..).partition(|(seq, ..)| *seq <= seen);
        slot.verify = waiting;
        for (_, _, op) in ready {
            if let Some(activity) = slot.open.activities.get(&op).cloned() {
                let at = activity.scheduled_at;
                self.schedule(key, slot, run, &activity, Some(seen), at);
            }
        }
    }

    fn schedule(
        &mut self,
        key: &Key,
        slot: &mut Slot,
        run: RunId,
        activity: &OpenActivity,
        verify: Option<u64>,
        time: Timestamp,
    ) {
        let Some((started, mark)) =
            slot.known().and_then(|tip| Some((tip.started.clone()?, tip.frame.marks.inbox.seq)))
        else {
            return;
        };
        let call = &activity.call;
        let task = ActivityTask {
            workflow_id: started.workflow_id.clone(),
            workflow_type: started.workflow_type.clone(),
            run,
            run_queue: started.queue.clone(),
            call: (**call).clone(),
            attempt: 1,
            scheduled_at: activity.scheduled_at,
            trace: started.trace.clone(),
            headers: call.headers.clone().over(&started.headers),
        };
        let seen = verify.unwrap_or_else(|| mark.max(slot.seen_inbox));
        self.send(key, slot, Send::Task { task: Box::new(task), seen, verify: verify.is_some() });
        if let Some(timeout) = call.options.schedule_to_start {
            self.arm(key, slot, run, TimerId::ScheduleToStart(call.op), activity.scheduled_at.after(timeout), time);
        }
        if let Some(timeout) = call.options.schedule_to_close {
            self.arm(key, slot, run, TimerId::ScheduleToClose(call.op), activity.scheduled_at.after(timeout), time);
        }
    }

    /// An activity needs its timers no more, and when it is cancelled its worker is told.
    pub(super) fn end_activity(
        &mut self,
        key: &Key,
        slot: &mut Slot,
        run: RunId,
        op: OpId,
        cancel: bool,
        time: Timestamp,
    ) {
        let Some(activity) = slot.open.activities.get(&op).cloned() else { return };
        let options = &activity.call.options;
        let timers = [
            (TimerId::ScheduleToStart(op), options.schedule_to_start),
            (TimerId::ScheduleToClose(op), options.schedule_to_close),
        ];
        for (timer, timeout) in timers {
            if timeout.is_some_and(|timeout| activity.scheduled_at.after(timeout).since(time) > FAR) {
                self.send(key, slot, Send::DeleteTimer { run, timer });
            }
        }
        if cancel {
            let wait =
                options.cancellation == ActivityCancellation::Wait && !slot.known().is_some_and(KnownTip::is_closed);
            let queue = activity.call.queue.clone();
            if wait {
                self.send(key, slot, Send::CancelActivity { run, op, queue, wait });
            } else {
                self.cancel_activity(key, slot, run, op, queue);
            }
        }
    }

    /// Sets the timers that a run has from its beginning.
    fn arm_limits(
        &mut self,
        key: &Key,
        slot: &mut Slot,
        run: RunId,
        end: Option<RunEnd>,
        delay: Option<Timestamp>,
        now: Timestamp,
    ) {
        let end = end.map(|end| (TimerId::Run, end.at));
        let delay = delay.map(|until| (TimerId::Delay, until));
        for (timer, at) in end.into_iter().chain(delay) {
            self.arm(key, slot, run, timer, at, now);
        }
    }

    /// Sets a timer: durably, and when it is near also on this process's clock.
    fn arm(&mut self, key: &Key, slot: &mut Slot, run: RunId, timer: TimerId, at: Timestamp, now: Timestamp) {
        let unit = slot.unit;
        self.send(key, slot, Send::Timer { unit, run, timer, at });
        if at.since(now) <= NEAR {
            // The record that sets it took its time to be stored.
            let now = self.time();
            self.actions.push(Action::LocalTimer { key: key.clone(), run, timer, at, now });
        }
    }
}
