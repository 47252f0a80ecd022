//! The span of an attempt.

use highwater_protocol::task::ActivityTask;
use tracing::{Span, info_span};

/// What everything that an attempt logs stands under.
pub(super) fn attempt_span(task: &ActivityTask, attempt: u32) -> Span {
    info_span!(
        "activity",
        activity = %task.call.name,
        workflow_id = %task.workflow_id,
        workflow_type = %task.workflow_type,
        run = %task.run,
        op = %task.call.op,
        attempt,
    )
}
