//! The span of an attempt.

use highwater_protocol::task::ActivityTask;
use tracing::{Span, info_span};

/// What everything that an attempt logs stands under.
pub(super) fn attempt_span(task: &ActivityTask, attempt: u32) -> Span {
    info_span!(
        "activity",
        otel.name = %task.call.name,
        highwater.workflow_id = %task.workflow_id,
        highwater.workflow_type = %task.workflow_type,
        highwater.run = %task.run,
        highwater.op = %task.call.op,
        highwater.attempt = attempt,
    )
}
