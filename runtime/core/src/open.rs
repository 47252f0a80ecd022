//! What a run has asked for and not got yet, from its events alone: no code is needed to tell.

use std::collections::BTreeMap;

use highwater_protocol::{Event, OpId, Timestamp, event::ActivityScheduled};

/// Activities and timers under way.
#[derive(Clone, Debug, Default)]
pub struct OpenOperations {
    /// Activities without an outcome, by operation.
    pub activities: BTreeMap<OpId, OpenActivity>,
    /// Timers that have not fired, with when they are due.
    pub timers: BTreeMap<OpId, Timestamp>,
}

/// An activity without an outcome.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenActivity {
    /// The call.
    pub call: Box<ActivityScheduled>,
    /// When it was made.
    pub scheduled_at: Timestamp,
}

impl OpenOperations {
    /// Takes one more event, of a transition at `time`.
    #[expect(clippy::match_same_arms, reason = "every event of this version is looked at")]
    pub fn apply(&mut self, event: &Event, time: Timestamp) {
        match event {
            Event::ActivityScheduled(call) => {
                self.activities.insert(call.op, OpenActivity { call: call.clone(), scheduled_at: time });
            }
            Event::ActivityClosed { op, .. } | Event::ActivityCancelRequested { op } => {
                self.activities.remove(op);
            }
            Event::TimerStarted { op, fire_at } => {
                self.timers.insert(*op, *fire_at);
            }
            Event::TimerFired { op } | Event::TimerCancelled { op } => {
                self.timers.remove(op);
            }
            Event::Started(_) => *self = Self::default(),
            Event::Signaled(_)
            | Event::CancelRequested { .. }
            | Event::StepClosed { .. }
            | Event::Completed { .. }
            | Event::Failed { .. }
            | Event::Cancelled { .. }
            | Event::Terminated { .. }
            | Event::TimedOut { .. }
            | Event::ContinuedAsNew { .. }
            | Event::WorkflowTaskFailed { .. } => {}
            // A later version's event: replay reports it, nothing is known of it here.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use highwater_protocol::OpId;

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
}
