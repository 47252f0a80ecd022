//! What a run waits for, by its events.

use std::collections::BTreeMap;

use highwater_protocol::{Event, OpId, QueueName, Timestamp, TypeName};

use crate::history::HistoryEvent;

/// An activity that was called and has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PendingActivity {
    /// Which operation of the run.
    pub op: OpId,
    /// The activity's type.
    pub name: TypeName,
    /// The queue whose workers run it.
    pub queue: QueueName,
    /// When it was called.
    pub scheduled_at: Timestamp,
    /// Whether it has been asked to cancel.
    pub cancel_requested: bool,
}

/// A timer that was started and has not fired.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PendingTimer {
    /// Which operation of the run.
    pub op: OpId,
    /// When it is due.
    pub fire_at: Timestamp,
}

pub(super) fn of(events: &[HistoryEvent]) -> (Vec<PendingActivity>, Vec<PendingTimer>) {
    let mut activities = BTreeMap::new();
    let mut timers = BTreeMap::new();
    for HistoryEvent { event, time, .. } in events {
        match event {
            Event::ActivityScheduled(call) => {
                let activity = PendingActivity {
                    op: call.op,
                    name: call.name.clone(),
                    queue: call.queue.clone(),
                    scheduled_at: *time,
                    cancel_requested: false,
                };
                activities.insert(call.op, activity);
            }
            Event::ActivityCancelRequested { op } => {
                if let Some(activity) = activities.get_mut(op) {
                    activity.cancel_requested = true;
                }
            }
            Event::ActivityClosed { op, .. } => {
                activities.remove(op);
            }
            Event::TimerStarted { op, fire_at } => {
                timers.insert(*op, PendingTimer { op: *op, fire_at: *fire_at });
            }
            Event::TimerFired { op } | Event::TimerCancelled { op } => {
                timers.remove(op);
            }
            // The rest neither begins nor ends anything that is waited for across records. An event of a newer version
            // does not get here: its record cannot be read.
            _ => {}
        }
    }
    (activities.into_values().collect(), timers.into_values().collect())
}

#[cfg(test)]
mod tests {
    use highwater_protocol::{Payload, event::ActivityScheduled, event::Outcome};

    use super::*;

    fn history(events: Vec<Event>) -> Vec<HistoryEvent> {
        (1..)
            .zip(events)
            .map(|(number, event)| HistoryEvent { number, record: number, time: Timestamp(number as i64), event })
            .collect()
    }

    fn scheduled(op: u64) -> Event {
        Event::ActivityScheduled(Box::new(ActivityScheduled {
            op: OpId(op),
            name: TypeName::new("charge").unwrap(),
            queue: QueueName::new("q").unwrap(),
            input: Payload::null(),
            options: Default::default(),
        }))
    }

    #[test]
    fn what_was_begun_and_has_not_ended_is_pending() {
        let events = history(vec![
            scheduled(1),
            scheduled(2),
            scheduled(3),
            Event::TimerStarted { op: OpId(4), fire_at: Timestamp(90) },
            Event::TimerStarted { op: OpId(5), fire_at: Timestamp(91) },
            Event::TimerStarted { op: OpId(6), fire_at: Timestamp(92) },
            Event::ActivityClosed { op: OpId(1), attempt: 1, outcome: Outcome::Completed(Payload::null()) },
            Event::ActivityCancelRequested { op: OpId(3) },
            Event::TimerFired { op: OpId(4) },
            Event::TimerCancelled { op: OpId(6) },
        ]);
        let (activities, timers) = of(&events);
        let activities: Vec<_> = activities.iter().map(|a| (a.op.0, a.scheduled_at.0, a.cancel_requested)).collect();
        assert_eq!(activities, [(2, 2, false), (3, 3, true)]);
        assert_eq!(timers, [PendingTimer { op: OpId(5), fire_at: Timestamp(91) }]);
    }
}
