//! Writing workflows and activities.

pub use highwater_core::{
    activity::{ActivityContext, ActivityInfo, ActivityName, ActivityPort, ActivitySet, FreeActivities, Work},
    context::{
        ActivityCall, ActivityCancellation, CancelRequested, CancelScope, Ctx, PendingActivity, PendingStep, Received,
        Signals, Sleep, StepCall, StepContext, Timeout, WaitUntil,
    },
    definition::{Activity, ActivityDefaults, ActivityItem, Workflow, WorkflowItem, WorkflowRun},
    fault::{CallError, Cancelled, Elapsed, Exit, Fault},
    join::{JoinAll, TryJoinAll, join_all, try_join_all},
};
pub use highwater_macros::{activities, activity, join, select, try_join, workflow};
pub use highwater_protocol::{
    Failure, FailureKind, OpId, Payload, QueueName, RetryPolicy, RunId, TimeoutKind, Timestamp, TypeName, WorkflowId,
    event::Outcome,
};
