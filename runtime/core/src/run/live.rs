//! A run whose code is under way.

use std::rc::Rc;

use highwater_protocol::Event;

use super::{Kind, Resolution, Shared};

/// A run whose code is under way.
pub(super) struct Live {
    pub(super) shared: Rc<Shared>,
}

impl Live {
    /// Whether an event would change the run.
    pub(super) fn accepts(&self, event: &Event) -> bool {
        match event {
            Event::ActivityClosed { op, .. } => self.shared.is_pending(*op, Kind::Activity),
            Event::StepClosed { op, .. } => self.shared.is_pending(*op, Kind::Step),
            Event::TimerFired { op } => self.shared.is_pending(*op, Kind::Timer),
            Event::CancelRequested { .. } => !self.shared.cancel_requested(),
            Event::Signaled(_) => true,
            Event::UpdateAccepted(update) => !self.shared.has_accepted(&update.id),
            Event::ChildStarted { op, .. } => self.shared.is_starting(*op),
            Event::ChildClosed { op, .. } => self.shared.is_pending(*op, Kind::Child),
            Event::ExternalClosed { op, .. } => {
                self.shared.is_pending(*op, Kind::External) || self.shared.is_being_told(*op)
            }
            Event::DelayPassed => self.shared.is_delayed(),
            Event::ContinueAsNewSuggested { .. } => !self.shared.continue_as_new_suggested(),
            _ => false,
        }
    }

    /// Applies an inbound event other than `Started`; an error says what the code had instead.
    pub(super) fn apply(&self, event: &Event) -> Result<(), String> {
        match event {
            Event::Signaled(signal) => self.shared.signal(signal),
            Event::UpdateAccepted(update) => self.shared.accept(update)?,
            Event::CancelRequested { reason, .. } => self.shared.cancel(&self.shared.scope, reason),
            Event::ActivityClosed { op, attempt, outcome } => {
                self.shared.resolve(*op, Kind::Activity, None, Resolution::Outcome(*attempt, outcome.clone()))?;
            }
            Event::StepClosed { op, name, attempt, outcome } => {
                self.shared.resolve(*op, Kind::Step, Some(name), Resolution::Outcome(*attempt, outcome.clone()))?;
            }
            Event::TimerFired { op } => self.shared.resolve(*op, Kind::Timer, None, Resolution::Fired)?,
            Event::DelayPassed if !self.shared.is_delayed() => return Err("has begun already".to_owned()),
            Event::DelayPassed => self.shared.end_delay(),
            Event::ContinueAsNewSuggested { .. } => self.shared.suggest_continue_as_new(),
            Event::ChildStarted { op, run } => self.shared.child_started(*op, *run)?,
            Event::ChildClosed { op, outcome } => {
                self.shared.resolve(*op, Kind::Child, None, Resolution::Outcome(1, outcome.clone()))?;
            }
            // The answer to a request to cancel comes under the number of the child.
            Event::ExternalClosed { op, .. } if self.shared.is_being_told(*op) => self.shared.told(*op),
            Event::ExternalClosed { op, failure } => {
                self.shared.resolve(*op, Kind::External, None, Resolution::Delivered(failure.clone()))?;
            }
            other => unreachable!("{other} is not inbound"),
        }
        Ok(())
    }
}
