//! Runs that follow each other: one that continues as new, and one that tries again what the one before failed in. The
//! record that ends the one begins the other.

use std::sync::Arc;

use highwater_core::run::{Conclusion, NextRun};
use highwater_protocol::{
    Event, Failure, FailureKind, Key, RunId, Started, Status, TimeoutKind, Timestamp,
    event::{Attributes, Signal},
    wire,
};

use super::{
    Action, Engine, Item,
    advance::Next,
    slot::{Batch, KnownTip, Slot, Stage, Starting},
};
use crate::executor::Job;

/// When a run is to have ended, and which of its two limits that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RunEnd {
    pub(super) at: Timestamp,
    pub(super) kind: TimeoutKind,
}

impl RunEnd {
    /// The limits of a run that began at `started_at`. The wait before its code begins does not count as time that the
    /// run takes, but it does as time that the whole chain takes.
    pub(super) fn of(started: &Started, started_at: Timestamp) -> Option<Self> {
        let begins = started.delay_until.map_or(started_at, |until| until.max(started_at));
        let run = started.run_timeout.map(|timeout| Self { at: begins.after(timeout), kind: TimeoutKind::Run });
        let chain = started.deadline.map(|at| Self { at, kind: TimeoutKind::Execution });
        // At the same instant it is the chain's: nothing is tried again then.
        [chain, run].into_iter().flatten().min_by_key(|end| end.at)
    }

    fn failure(self) -> Failure {
        let text = match self.kind {
            TimeoutKind::Execution => "the workflow did not end within its execution timeout",
            _ => "the run did not end within its run timeout",
        };
        Failure::timeout(self.kind, text)
    }
}

impl Engine {
    /// Adds the closing event of a run whose code has ended. Tells the run that takes its place, if one does.
    pub(super) fn conclude(
        slot: &Slot,
        events: &mut Vec<Event>,
        time: Timestamp,
        conclusion: Option<Conclusion>,
        signals: Vec<Signal>,
    ) -> Option<Starting> {
        match conclusion? {
            Conclusion::Completed(result) => events.push(Event::Completed { result }),
            Conclusion::Cancelled(failure) => events.push(Event::Cancelled { failure }),
            Conclusion::Failed(failure) => {
                let next = retry(slot, events, time, &failure, signals);
                events.push(Event::Failed { failure, next: next.as_ref().map(|next| next.run) });
                return next;
            }
            Conclusion::ContinueAsNew(next) => {
                let next = continued(slot, events, time, *next, signals)?;
                events.push(Event::ContinuedAsNew { run: next.run });
                return Some(next);
            }
        }
        None
    }

    /// Ends a run whose time is up. If another one follows, that is to have the signals that this one has not taken.
    pub(super) fn time_out(&mut self, key: &Key, slot: &mut Slot, item: Item) -> Next {
        let (failure, time) = (timed_out(slot), self.time());
        if retry(slot, &[], time, &failure, Vec::new()).is_none() {
            self.end_in_time(key, slot, item, Vec::new());
            return Next::Wait;
        }
        let is_blocked = slot.known().is_some_and(|tip| tip.status == Status::Blocked);
        if slot.live {
            slot.batch = Batch { items: vec![item], ..Batch::default() };
            slot.stage = Stage::Running;
            self.actions.push(Action::Job(Job::Signals { key: key.clone(), generation: slot.generation }));
            return Next::Wait;
        }
        if slot.history.is_empty() {
            slot.pending.push_front(item);
            (slot.must_load, slot.must_load_all) = (true, true);
            return Next::Again;
        }
        if is_blocked {
            // Its code cannot say which of them it has taken.
            let signals = signals(slot);
            self.end_in_time(key, slot, item, signals);
            return Next::Wait;
        }
        slot.pending.push_front(item);
        self.rebuild_run(key, slot);
        Next::Wait
    }

    /// The code of a run whose time is up has handed out the signals that it has not taken.
    pub(super) fn signals_taken(&mut self, key: &Key, slot: &mut Slot, signals: Vec<Signal>) {
        if slot.stage != Stage::Running {
            return;
        }
        if let Some(item) = slot.batch.items.pop() {
            self.end_in_time(key, slot, item, signals);
        }
    }

    fn end_in_time(&mut self, key: &Key, slot: &mut Slot, item: Item, mut signals: Vec<Signal>) {
        let (failure, time) = (timed_out(slot), self.time());
        let mut size = 0;
        let mut fits = |signal: &Signal| {
            size += wire::encode(signal).len();
            size <= self.limits.payload_max / 2
        };
        let kept = signals.iter().take_while(|signal| fits(signal)).count();
        if kept < signals.len() {
            let lost = signals.len() - kept;
            tracing::error!(workflow_id = %key, lost, "a run that timed out had more signals than the first record of the next one takes");
            signals.truncate(kept);
        }
        let next = retry(slot, &[], time, &failure, signals);
        let event = Event::TimedOut { failure, next: next.as_ref().map(|next| next.run) };
        self.close_from_outside(key, slot, vec![item], event, next);
    }

    /// What the run can be found by once these events are on record.
    pub(super) fn attributes(slot: &Slot, begins: Option<&Started>, events: &[Event]) -> Attributes {
        let mut attributes = begins.map_or_else(|| slot.open.attributes.clone(), |started| started.attributes.clone());
        for event in events {
            if let Event::AttributesUpserted { attributes: more } = event {
                attributes.upsert(more);
            }
        }
        attributes
    }
}

/// What a run fails with whose time is up.
fn timed_out(slot: &Slot) -> Failure {
    let end = slot.known().and_then(|tip| RunEnd::of(tip.started.as_ref()?, tip.started_at));
    end.unwrap_or(RunEnd { at: Timestamp::ZERO, kind: TimeoutKind::Run }).failure()
}

/// All signals that the run was given, by its history.
fn signals(slot: &Slot) -> Vec<Signal> {
    let given = |event: &Event| match event {
        Event::Started(started) => started.signals.clone(),
        Event::Signaled(signal) => vec![signal.clone()],
        _ => Vec::new(),
    };
    slot.history.iter().flat_map(|(_, events)| events).flat_map(given).collect()
}

/// The run that tries again what failed so, by the retry policy.
fn retry(slot: &Slot, events: &[Event], time: Timestamp, failure: &Failure, signals: Vec<Signal>) -> Option<Starting> {
    let started = started(slot)?;
    let policy = started.retry.as_ref()?;
    let may_help = failure.is_retryable() || failure.kind == FailureKind::Timeout(TimeoutKind::Run);
    if !may_help {
        return None;
    }
    let run = RunId::generate();
    let at = time.after(policy.delay_after(started.attempt, uniform(run))?);
    if started.deadline.is_some_and(|deadline| at >= deadline) {
        return None;
    }
    let next = Started {
        attempt: started.attempt + 1,
        last_failure: Some(failure.clone()),
        delay_until: Some(at),
        ..follower(slot, &started, events, time, signals)?
    };
    Some(Starting { run, started: Arc::new(next), expect: 0 })
}

/// The run that a run continues as.
fn continued(slot: &Slot, events: &[Event], time: Timestamp, next: NextRun, signals: Vec<Signal>) -> Option<Starting> {
    let started = started(slot)?;
    let mut follower = follower(slot, &started, events, time, signals)?;
    follower.attributes.upsert(&next.attributes);
    let next = Started {
        workflow_type: next.workflow_type,
        input: next.input,
        memo: next.memo.over(&started.memo),
        attempt: 1,
        last_failure: None,
        delay_until: None,
        ..follower
    };
    Some(Starting { run: RunId::generate(), started: Arc::new(next), expect: 0 })
}

/// What a run that takes the place of another has of it: all but its beginning, which `started` tells, and what it did.
fn follower(
    slot: &Slot,
    started: &Arc<Started>,
    events: &[Event],
    time: Timestamp,
    signals: Vec<Signal>,
) -> Option<Started> {
    let from = slot.batch_run()?;
    let mut open = slot.open.clone();
    for event in events {
        open.apply(event, time);
    }
    Some(Started {
        prior: None,
        continued_from: Some(from),
        first_run: Some(started.first_run.unwrap_or(from)),
        signals,
        taken: open.taken(),
        taken_cancels: open.taken_cancels(),
        attributes: open.attributes,
        ..(**started).clone()
    })
}

/// The first event of the run that the code is at.
pub(super) fn started(slot: &Slot) -> Option<Arc<Started>> {
    let starting = slot.batch.starting.as_ref().map(|starting| &starting.started);
    starting.or_else(|| slot.known().and_then(|tip: &KnownTip| tip.started.as_ref())).cloned()
}

/// A number from 0 to 1 that is as random as the run's id.
fn uniform(run: RunId) -> f64 {
    f64::from(run.0.as_u128() as u32) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use highwater_protocol::{Payload, QueueName, TypeName, WorkflowId};

    use super::*;

    fn end(change: impl FnOnce(&mut Started)) -> Option<(i64, TimeoutKind)> {
        let mut started = Started::new(
            WorkflowId::new("w").unwrap(),
            TypeName::new("t").unwrap(),
            QueueName::new("q").unwrap(),
            Payload::null(),
        );
        change(&mut started);
        RunEnd::of(&started, Timestamp(100)).map(|end| (end.at.as_micros(), end.kind))
    }

    #[test]
    fn a_run_ends_at_whichever_limit_comes_first() {
        let micros = Duration::from_micros;
        assert_eq!(end(|_| ()), None);
        assert_eq!(end(|s| s.run_timeout = Some(micros(10))), Some((110, TimeoutKind::Run)));
        let both = |deadline| end(|s| (s.run_timeout, s.deadline) = (Some(micros(10)), Some(Timestamp(deadline))));
        assert_eq!(both(109), Some((109, TimeoutKind::Execution)));
        assert_eq!(both(110), Some((110, TimeoutKind::Execution)));
        assert_eq!(both(111), Some((110, TimeoutKind::Run)));
    }

    #[test]
    fn the_time_of_a_run_begins_behind_its_delay_and_that_of_the_chain_does_not() {
        let delayed = end(|s| (s.run_timeout, s.delay_until) = (Some(Duration::from_micros(10)), Some(Timestamp(150))));
        assert_eq!(delayed, Some((160, TimeoutKind::Run)));
        let chain = end(|s| (s.deadline, s.delay_until) = (Some(Timestamp(120)), Some(Timestamp(150))));
        assert_eq!(chain, Some((120, TimeoutKind::Execution)));
    }
}
