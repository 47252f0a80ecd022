//! Writing workflows and activities.

pub use highwater_core::{
    activity::{ActivityContext, ActivityInfo, ActivityName, ActivityPort, ActivitySet, FreeActivities, Work},
    context::{
        ActivityCall, ActivityCancellation, CancelRequested, CancelScope, Child, ChildCall, ChildCancellation,
        ChildResult, ChildType, ContinueAsNew, Ctx, ExternalError, ExternalWorkflow, IdReuse, Info, Named, ParentClose,
        PendingActivity, PendingStep, Random, Received, Registered, Sent, Signals, Sleep, StartingChild, StepCall,
        StepContext, Task, Timeout, WaitUntil, accept,
    },
    definition::{
        Activity, ActivityDefaults, ActivityItem, NoError, QueryPort, SignalPort, UpdatePort, Workflow, WorkflowCode,
        WorkflowItem, WorkflowRun,
    },
    fault::{CallError, Cancelled, Elapsed, Exit, Fault, Recordable},
    join::{Buffered, JoinAll, TryJoinAll, buffered, for_each_concurrent, join_all, try_join_all},
    run::Unhandled,
    sync,
};
pub use highwater_macros::{activities, activity, join, select, try_join, workflow};
pub use highwater_protocol::{
    Failure, FailureKind, OpId, Payload, Payloads, QueueName, RetryPolicy, RunId, TimeoutKind, Timestamp, TypeName,
    WorkflowId,
    event::{AttributeValue, Attributes, InvalidAttributes, Origin, Outcome},
};
