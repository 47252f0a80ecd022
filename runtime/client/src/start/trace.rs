//! The trace that a run is started in. Nothing else in this crate names OpenTelemetry; without the feature of that name
//! `untraced.rs` stands in for this.

use highwater_protocol::trace::{Trace, TraceParent};
use opentelemetry::{
    Context, KeyValue, global,
    trace::{SpanContext, SpanKind, Status, TraceContextExt, Tracer},
};

use super::{Plan, StartError};

/// What is current where a start is awaited.
pub(super) struct Caller(Context);

/// A start under way, with a span of its own where the caller has none.
pub(super) struct Traced(Option<Context>);

impl Caller {
    pub(super) fn here() -> Self {
        Self(Context::current())
    }
}

impl Traced {
    /// Gives the plan a trace, unless it has one: the caller's, or else that of a span which lasts as long as the
    /// start.
    pub(super) fn start(caller: &Caller, plan: &mut Plan) -> Self {
        if plan.request.trace.is_some() {
            return Self(None);
        }
        plan.request.trace = trace(caller.0.span().span_context());
        if plan.request.trace.is_some() {
            return Self(None);
        }
        let tracer = global::tracer(env!("CARGO_PKG_NAME"));
        let span = tracer
            .span_builder(format!("start {}", plan.request.workflow_type))
            .with_kind(SpanKind::Producer)
            .with_attributes([
                KeyValue::new("highwater.workflow_id", plan.id.to_string()),
                KeyValue::new("highwater.workflow_type", plan.request.workflow_type.to_string()),
                KeyValue::new("highwater.queue", plan.queue.to_string()),
            ]);
        let context = caller.0.with_span(tracer.build_with_context(span, &caller.0));
        // A program without a tracer makes spans without ids.
        plan.request.trace = trace(context.span().span_context());
        Self(Some(context))
    }

    pub(super) fn finish(self, error: Option<&StartError>) {
        let Some(context) = self.0 else { return };
        if let Some(error) = error {
            context.span().set_status(Status::error(error.to_string()));
        }
        context.span().end();
    }
}

fn trace(span: &SpanContext) -> Option<Trace> {
    let parent = TraceParent {
        trace_id: span.trace_id().to_bytes(),
        span_id: span.span_id().to_bytes(),
        flags: span.trace_flags().to_u8(),
    };
    Trace::new(parent, Some(&span.trace_state().header()))
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanId, TraceFlags, TraceId, TraceState};

    use super::*;

    #[test]
    fn a_span_is_told_as_its_headers() {
        let state = TraceState::from_key_value([("vendor", "x")]).unwrap();
        let (trace_id, span_id) = (TraceId::from_bytes([1; 16]), SpanId::from_bytes([2; 8]));
        let span = SpanContext::new(trace_id, span_id, TraceFlags::SAMPLED, false, state);
        let trace = trace(&span).unwrap();
        assert_eq!(trace.parent, format!("00-{}-{}-01", "01".repeat(16), "02".repeat(8)));
        assert_eq!(trace.state.as_deref(), Some("vendor=x"));
    }

    #[test]
    fn a_span_without_ids_is_no_trace() {
        assert_eq!(trace(&SpanContext::empty_context()), None);
    }
}
