//! Going through a history: the code must issue what is on record.

use highwater_protocol::{
    Event, FailureKind, RunId, Timestamp,
    event::{Class, ExternalRequest},
};

use super::{Conclusion, Due, Run, TaskFailure, Transition, beside::Beside, limits};

impl Run {
    /// Goes through one record of the history, whose transition happened at `time`.
    pub fn replay(&mut self, id: RunId, events: &[Event], time: Timestamp) -> Result<(), TaskFailure> {
        self.rest(false);
        let before = self.event_number;
        let replayed = self.replay_record(id, events, time);
        self.rest(true);
        match replayed {
            Ok(()) => self.beside.passed(events),
            Err(failure) => return Err(self.beside.show(failure, before, events, &self.unmatched)),
        }
        Ok(())
    }

    fn replay_record(&mut self, id: RunId, events: &[Event], time: Timestamp) -> Result<(), TaskFailure> {
        let failed_task = matches!(events.last(), Some(Event::WorkflowTaskFailed { .. }));
        self.patches.look_ahead(events);
        if self.due == Due::Deferred || self.due == Due::Poll && !failed_task {
            // The events of a failed task were taken when it was tried again: by themselves, before all that came
            // later, and at their own time, since nothing tells when that was.
            self.poll()?;
        }
        self.set_time(time);
        let mut rest = events;
        while let Some(first) = rest.first() {
            let inbound = rest.iter().take_while(|event| event.class() == Class::Inbound).count();
            if inbound > 0 {
                if !failed_task {
                    // What a failed task left undone comes with the try that succeeds, behind these.
                    self.nothing_unmatched(first)?;
                }
                for event in &rest[..inbound] {
                    self.note(event);
                    // A failed task left no time to sort out what does not concern the run any more.
                    if !failed_task || self.accepts(event) {
                        if !failed_task && matches!(event, Event::UpdateAccepted(_)) {
                            self.poll_before_update()?;
                        }
                        self.replay_inbound(id, event, time)?;
                    }
                }
                self.due = Due::Poll;
                rest = &rest[inbound..];
                if rest.is_empty() {
                    // What the code asked for then is in the next record, or was never recorded. A change that it went
                    // with is there too, so the poll waits for it.
                    self.due = Due::Deferred;
                } else if !failed_task {
                    self.poll()?;
                }
            }
            let outbound = rest.iter().take_while(|event| event.class() != Class::Inbound).count();
            for event in &rest[..outbound] {
                self.note(event);
                self.compare(event)?;
            }
            rest = &rest[outbound..];
        }
        Ok(())
    }

    /// After the last record of the history: what the code has asked for and nobody has recorded yet, because its
    /// worker ended in between. Steps without a result are in it, to be run again.
    pub fn finish_replay(&mut self, time: Timestamp) -> Result<Transition, TaskFailure> {
        self.rest(false);
        self.patches.reach_end();
        if self.due == Due::Deferred {
            // The code has most likely been here already, and what it logs was logged.
            self.poll()?;
        }
        // What the code went through now was told when it came.
        self.tell_unhandled()?;
        if let Some(live) = &self.live {
            live.shared.go_live();
        }
        if self.due == Due::Poll {
            self.poll()?;
        }
        self.set_time(time);
        let mut transition = Transition::default();
        self.collect(&mut transition)?;
        self.rest(true);
        self.beside = Beside::default();
        self.release_room();
        Ok(transition)
    }

    fn replay_inbound(&mut self, id: RunId, event: &Event, time: Timestamp) -> Result<(), TaskFailure> {
        if let Some(op) = limits::ended(event) {
            self.refusals.retain(|refusal| limits::ended(refusal) != Some(op));
        }
        self.apply(id, event, time, true)
    }

    /// The history goes on with an inbound event: everything the code issued before must have been on record.
    fn nothing_unmatched(&self, next: &Event) -> Result<(), TaskFailure> {
        match self.unmatched.front() {
            Some(command) => {
                Err(self.nondeterminism_at(self.event_number + 1, &next.to_string(), &format!("issued {command}")))
            }
            None if self.conclusion.is_some() && limits::refused(next).is_none() => {
                Err(self.nondeterminism_at(self.event_number + 1, &next.to_string(), "had ended"))
            }
            // A call that was too large is answered even when the code has ended with it.
            None => Ok(()),
        }
    }

    fn compare(&mut self, recorded: &Event) -> Result<(), TaskFailure> {
        match recorded.class() {
            Class::Engine | Class::Inbound => Ok(()),
            // It was looked for before the code ran, which may not ask for it any more.
            Class::Command if matches!(recorded, Event::Patched { .. }) => Ok(()),
            Class::Closing => self.compare_closing(recorded),
            Class::Command => match self.unmatched.pop_front() {
                Some(command) if same_command(recorded, &command) => {
                    self.expect_refusal(recorded, &command);
                    Ok(())
                }
                Some(command) => Err(self.nondeterminism(recorded, &format!("issued {command}"))),
                None if self.conclusion.is_some() => Err(self.nondeterminism(recorded, "had ended")),
                None => {
                    let step = self.live.as_ref().and_then(|live| live.shared.open_step());
                    let code = step.map_or_else(
                        || "issued nothing more".into(),
                        |step| format!("began step {step}, and issued nothing more"),
                    );
                    Err(self.nondeterminism(recorded, &code))
                }
            },
        }
    }

    /// A call that was too large is on record without its input; its answer should follow, and is given by
    /// [`Self::finish_replay`] if the record with it was never written.
    fn expect_refusal(&mut self, recorded: &Event, issued: &Event) {
        if limits::may_be_stripped(recorded) {
            self.refusals.extend(self.limits.refusal(issued));
        }
    }

    fn compare_closing(&mut self, recorded: &Event) -> Result<(), TaskFailure> {
        self.closed = true;
        if came_from_outside(recorded) {
            // It came from outside, whatever the code was about to do.
            self.unmatched.clear();
            return Ok(());
        }
        if let Some(command) = self.unmatched.pop_front() {
            return Err(self.nondeterminism(recorded, &format!("issued {command}")));
        }
        let same = matches!(
            (recorded, &self.conclusion),
            (Event::Completed { .. }, Some(Conclusion::Completed(_)))
                // What was too large to be recorded is on record as a failure, and the limit may be another one now.
                | (
                    Event::Failed { .. },
                    Some(Conclusion::Failed(_) | Conclusion::Completed(_) | Conclusion::ContinueAsNew(_)),
                )
                | (Event::Cancelled { .. }, Some(Conclusion::Cancelled(_)))
                | (Event::ContinuedAsNew { .. }, Some(Conclusion::ContinueAsNew(_)))
        );
        match &self.conclusion {
            _ if same => Ok(()),
            Some(other) => Err(self.nondeterminism(recorded, &format!("ended with {other}"))),
            None => Err(self.nondeterminism(recorded, "goes on")),
        }
    }
}

/// Whether it is not the code that ended the run. Blocked code may have ended it too, once it could go on.
fn came_from_outside(closing: &Event) -> bool {
    match closing {
        Event::Terminated { .. } | Event::TimedOut { .. } => true,
        Event::Failed { failure, .. } => failure.kind == FailureKind::HistoryTooLong,
        _ => false,
    }
}

/// Whether the code issued what is on record. Inputs and times may differ: they may depend on data that a deploy
/// changed, and what is on record counts.
fn same_command(recorded: &Event, issued: &Event) -> bool {
    match (recorded, issued) {
        (Event::ActivityScheduled(a), Event::ActivityScheduled(b)) => a.op == b.op && a.name == b.name,
        (Event::TimerStarted { op: a, .. }, Event::TimerStarted { op: b, .. })
        | (Event::TimerCancelled { op: a }, Event::TimerCancelled { op: b })
        | (Event::ActivityCancelRequested { op: a }, Event::ActivityCancelRequested { op: b })
        | (Event::ChildCancelRequested { op: a, .. }, Event::ChildCancelRequested { op: b, .. }) => a == b,
        (Event::UpdateClosed { id: a, .. }, Event::UpdateClosed { id: b, .. }) => a == b,
        (Event::AttributesUpserted { .. }, Event::AttributesUpserted { .. }) => true,
        (Event::ChildScheduled(a), Event::ChildScheduled(b)) => {
            a.op == b.op && a.workflow_type == b.workflow_type && a.workflow_id == b.workflow_id
        }
        (Event::ExternalScheduled(a), Event::ExternalScheduled(b)) => {
            let same_request = match (&a.request, &b.request) {
                (ExternalRequest::Signal(a), ExternalRequest::Signal(b)) => a.name == b.name,
                (ExternalRequest::Cancel { .. }, ExternalRequest::Cancel { .. }) => true,
                _ => false,
            };
            a.op == b.op && a.target.workflow_id == b.target.workflow_id && same_request
        }
        _ => false,
    }
}
