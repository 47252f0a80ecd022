//! Spans of what a worker runs.

use highwater_protocol::{
    Key, OpId, RunId, TypeName,
    event::{Outcome, Trace},
};
use tracing::Span;

/// The span of a local step.
pub(crate) fn step_span(workflow_id: &Key, run: RunId, op: OpId, name: &TypeName, trace: Option<&Trace>) -> Span {
    let _ = trace;
    tracing::info_span!("step", otel.name = %name, highwater.workflow_id = %workflow_id, highwater.run = %run, highwater.op = %op)
}

/// Notes how it ended.
pub(crate) fn finish(span: &Span, outcome: &Outcome) {
    if let Outcome::Failed(failure) | Outcome::Cancelled(failure) = outcome {
        span.in_scope(|| tracing::debug!(%failure, "failed"));
    }
}
