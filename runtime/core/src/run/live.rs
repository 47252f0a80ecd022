//! A run whose code is under way.

use std::{
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Wake,
};

use highwater_protocol::{Event, Started, event::Signal};

use super::{Kind, Resolution, Shared, factory::Instance};

/// A run whose code is under way.
pub(super) struct Live {
    pub(super) started: Box<Started>,
    pub(super) shared: Rc<Shared>,
    pub(super) instance: Instance,
}

/// Whether the code asked to be polled again.
#[derive(Default)]
pub(super) struct Wakeup(pub(super) AtomicBool);

impl Wake for Wakeup {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
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
            _ => false,
        }
    }

    /// Applies an inbound event other than `Started`; an error says what the code had instead.
    pub(super) fn apply(&self, event: &Event) -> Result<(), String> {
        match event {
            Event::Signaled(signal) => self.signal(signal),
            Event::CancelRequested { reason } => self.shared.cancel(&self.shared.scope, reason),
            Event::ActivityClosed { op, attempt, outcome } => {
                self.shared.resolve(*op, Kind::Activity, None, Resolution::Outcome(*attempt, outcome.clone()))?;
            }
            Event::StepClosed { op, name, attempt, outcome } => {
                self.shared.resolve(*op, Kind::Step, Some(name), Resolution::Outcome(*attempt, outcome.clone()))?;
            }
            Event::TimerFired { op } => self.shared.resolve(*op, Kind::Timer, None, Resolution::Fired)?,
            other => unreachable!("{other} is not inbound"),
        }
        Ok(())
    }

    pub(super) fn signal(&self, signal: &Signal) {
        match self.instance.signal(signal.name.as_str(), &signal.input) {
            Some(Ok(())) => {}
            Some(Err(error)) => {
                tracing::error!(
                    workflow_id = %self.started.workflow_id, signal = %signal.name, %error,
                    "a signal's argument does not fit its handler; it stays in the history and changes nothing"
                );
            }
            None => self.shared.push_signal(signal),
        }
    }
}
