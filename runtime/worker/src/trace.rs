//! Spans of what a worker runs: attempts of activities, and local steps. Nothing else in this crate names
//! OpenTelemetry; without the feature of that name `untraced.rs` stands in for this.
//!
//! Whether spans are exported, and where to, is up to the program: without a tracer provider of its own all of this
//! does nothing but hand the run's trace on.

use std::future::Future;

use highwater_protocol::{Key, RunId, Started, Trace, TypeName, event::Outcome, task::ActivityTask};
use opentelemetry::{
    Context, KeyValue, SpanId, TraceFlags, TraceId, global,
    trace::{FutureExt, Span, SpanContext, SpanKind, Status, TraceContextExt, TraceState, Tracer},
};

/// The longest text of a failure that a span shows. A history holds all of it.
const STATUS_MAX: usize = 1024;

/// Code under way whose duration and end somebody may want to see.
#[derive(Debug)]
pub(crate) struct Traced {
    context: Context,
}

impl Traced {
    /// An attempt of an activity begins.
    pub(crate) fn attempt(task: &ActivityTask, attempt: u32) -> Self {
        let name = || format!("activity {}", task.call.name);
        Self::begin(name, SpanKind::Consumer, task.trace.as_ref(), task.run).with(|| {
            vec![
                KeyValue::new("highwater.workflow_id", task.workflow_id.to_string()),
                KeyValue::new("highwater.run_id", task.run.to_string()),
                KeyValue::new("highwater.workflow_type", task.workflow_type.to_string()),
                KeyValue::new("highwater.queue", task.call.queue.to_string()),
                KeyValue::new("highwater.activity", task.call.name.to_string()),
                KeyValue::new("highwater.attempt", i64::from(attempt)),
            ]
        })
    }

    /// A local step begins. `started` is the first event of its run, where it is known.
    pub(crate) fn step(key: &Key, run: RunId, started: Option<&Started>, name: &TypeName) -> Self {
        let trace = started.and_then(|started| started.trace.as_ref());
        Self::begin(|| format!("step {name}"), SpanKind::Internal, trace, run).with(|| {
            let id = started.map_or_else(|| key.to_string(), |started| started.workflow_id.to_string());
            let mut attributes = vec![
                KeyValue::new("highwater.workflow_id", id),
                KeyValue::new("highwater.run_id", run.to_string()),
                KeyValue::new("highwater.step", name.to_string()),
            ];
            if let Some(started) = started {
                attributes.push(KeyValue::new("highwater.workflow_type", started.workflow_type.to_string()));
                attributes.push(KeyValue::new("highwater.queue", started.queue.to_string()));
            }
            attributes
        })
    }

    fn begin(name: impl FnOnce() -> String, kind: SpanKind, trace: Option<&Trace>, run: RunId) -> Self {
        let parent = trace.and_then(span_context).or_else(|| span_context(&Trace::of_run(run)));
        // The parent is never what is current here: whatever this worker does besides is none of the run's business.
        let parent = parent.map_or_else(Context::new, |parent| Context::new().with_remote_span_context(parent));
        let tracer = global::tracer(env!("CARGO_PKG_NAME"));
        let span = tracer.build_with_context(tracer.span_builder(name()).with_kind(kind), &parent);
        // Without a tracer provider the span is a copy of its parent, which is there already. One that a sampler leaves
        // out has an id of its own.
        let is_parent = !span.is_recording() && span.span_context() == parent.span().span_context();
        Self { context: if is_parent { parent } else { parent.with_span(span) } }
    }

    /// Attributes are made only when somebody sees them: steps can be many.
    fn with(self, attributes: impl FnOnce() -> Vec<KeyValue>) -> Self {
        let span = self.context.span();
        if span.is_recording() {
            span.set_attributes(attributes());
        }
        self
    }

    /// The future, with the span as the current one whenever it is polled.
    pub(crate) fn around<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        work.with_context(self.context.clone())
    }

    /// The code ended.
    pub(crate) fn finish(self, outcome: &Outcome) {
        match outcome {
            Outcome::Completed(_) => {}
            // Somebody asked for it, so it is no error.
            Outcome::Cancelled(_) => self.context.span().set_attribute(KeyValue::new("highwater.cancelled", true)),
            Outcome::Failed(failure) => self.fail(failure.to_string()),
            other => self.fail(format!("{other:?}")),
        }
        self.context.span().end();
    }

    /// The worker gave the code up before it ended.
    pub(crate) fn abandon(self) {
        self.fail("the worker stopped; the attempt is left to another worker".into());
        self.context.span().end();
    }

    fn fail(&self, mut text: String) {
        text.truncate(text.floor_char_boundary(STATUS_MAX));
        self.context.span().set_status(Status::error(text));
    }
}

/// The future, with what is current here as the current context wherever it is polled.
pub(crate) fn carry<F: Future>(work: F) -> impl Future<Output = F::Output> + use<F> {
    work.with_current_context()
}

/// The same for code that blocks a thread.
pub(crate) fn carry_call<T>(code: impl FnOnce() -> T) -> impl FnOnce() -> T {
    let context = Context::current();
    move || {
        let _current = context.attach();
        code()
    }
}

fn span_context(trace: &Trace) -> Option<SpanContext> {
    let parent = trace.parent()?;
    let state = trace.state.as_deref().and_then(|state| state.parse::<TraceState>().ok()).unwrap_or_default();
    let (trace_id, span_id) = (TraceId::from_bytes(parent.trace_id), SpanId::from_bytes(parent.span_id));
    Some(SpanContext::new(trace_id, span_id, TraceFlags::new(parent.flags), true, state))
}
