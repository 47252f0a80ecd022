//! What a run waits for.

use highwater_core::open::{OpenActivity, OpenChild, OpenOperations};
use highwater_protocol::{OpId, QueueName, RunId, Timestamp, TypeName, UpdateId, WorkflowId, event::ExternalRequest};

use super::Description;

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
}

impl PendingActivity {
    fn of(open: OpenActivity) -> Self {
        let OpenActivity { call, scheduled_at, cancelling: _ } = open;
        Self { op: call.op, name: call.name, queue: call.queue, scheduled_at }
    }
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

/// A child that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PendingChild {
    /// Which operation of the run.
    pub op: OpId,
    /// The child's id.
    pub workflow_id: WorkflowId,
    /// Its type.
    pub workflow_type: TypeName,
    /// Its queue.
    pub queue: QueueName,
    /// Its first run.
    pub run: RunId,
    /// Whether it is known to be under way.
    pub started: bool,
    /// Whether it was asked to cancel.
    pub cancelling: bool,
}

/// Something sent to another workflow that has neither taken nor refused it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PendingExternal {
    /// Which operation of the run.
    pub op: OpId,
    /// To whom.
    pub workflow_id: WorkflowId,
    /// The name of the signal; a request to cancel has none.
    pub signal: Option<TypeName>,
}

/// An update that was accepted and not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PendingUpdate {
    /// What its sender calls it.
    pub id: UpdateId,
    /// The handler's name.
    pub name: TypeName,
}

impl PendingChild {
    fn of(open: OpenChild) -> Self {
        let OpenChild { call, started, cancel, cancel_delivered: _ } = open;
        Self {
            op: call.op,
            workflow_id: call.workflow_id,
            workflow_type: call.workflow_type,
            queue: call.queue,
            run: call.run,
            started,
            cancelling: cancel.is_some(),
        }
    }
}

impl Description {
    /// Adds what a run that goes on waits for.
    pub(super) fn add_pending(&mut self, open: OpenOperations) {
        self.delay_until = open.delay;
        self.pending_activities = open.activities.into_values().map(PendingActivity::of).collect();
        self.pending_timers = open.timers.into_iter().map(|(op, fire_at)| PendingTimer { op, fire_at }).collect();
        self.pending_children = open.children.into_values().map(PendingChild::of).collect();
        let external = |(op, call): (OpId, Box<highwater_protocol::event::ExternalScheduled>)| PendingExternal {
            op,
            workflow_id: call.target.workflow_id,
            signal: match call.request {
                ExternalRequest::Signal(signal) => Some(signal.name),
                _ => None,
            },
        };
        self.pending_externals = open.externals.into_iter().map(external).collect();
        let updates = open.updates.into_iter().filter(|(_, update)| update.outcome.is_none());
        self.pending_updates = updates.map(|(id, update)| PendingUpdate { id, name: update.name }).collect();
    }
}
