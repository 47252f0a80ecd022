//! Events as JSON.

use highwater_protocol::{
    Event, Failure, Payloads, Timestamp,
    event::{ExternalRequest, Outcome},
};
use serde_json::{Map, Value, json};

use crate::output::payload_value;

/// What an event says beside its name.
pub(super) fn details(event: &Event) -> Value {
    match event {
        Event::Started(started) => json!({
            "workflow_id": started.workflow_id,
            "workflow_type": started.workflow_type,
            "queue": started.queue,
            "input": payload_value(&started.input),
            "run_timeout_ms": started.run_timeout.map(|timeout| timeout.as_millis() as u64),
            "prior_record": started.prior,
            "continued_from": started.continued_from.map(|run| run.to_string()),
            "attempt": started.attempt,
            "signals": started.signals.iter().map(|signal| json!({ "name": signal.name, "input": payload_value(&signal.input) })).collect::<Vec<_>>(),
            "parent": started.parent.as_ref().map(|parent| json!({ "id": parent.workflow_id, "run": parent.run.to_string(), "op": parent.op })),
            "delay_until": started.delay_until.map(Timestamp::to_rfc3339),
            "deadline": started.deadline.map(Timestamp::to_rfc3339),
            "memo": payloads_value(&started.memo),
            "attributes": started.attributes,
        }),
        Event::Signaled(signal) => json!({ "name": signal.name, "input": payload_value(&signal.input) }),
        Event::CancelRequested { reason, .. } | Event::Terminated { reason } => json!({ "reason": reason }),
        Event::ActivityClosed { op, attempt, outcome } => {
            with(outcome_value(outcome), json!({ "op": op, "attempt": attempt }))
        }
        Event::StepClosed { op, name, attempt, outcome } => {
            with(outcome_value(outcome), json!({ "op": op, "name": name, "attempt": attempt }))
        }
        Event::ActivityScheduled(call) => json!({
            "op": call.op,
            "name": call.name,
            "queue": call.queue,
            "input": payload_value(&call.input),
        }),
        Event::TimerFired { op } | Event::TimerCancelled { op } | Event::ActivityCancelRequested { op } => {
            json!({ "op": op })
        }
        Event::TimerStarted { op, fire_at } => json!({ "op": op, "fire_at": fire_at.to_rfc3339() }),
        Event::Completed { result } => json!({ "result": payload_value(result) }),
        Event::Cancelled { failure } => json!({ "failure": failure_value(failure) }),
        Event::Failed { failure, next } | Event::TimedOut { failure, next } => {
            json!({ "failure": failure_value(failure), "next": next.map(|run| run.to_string()) })
        }
        Event::ContinueAsNewSuggested { events, bytes } => json!({ "events": events, "bytes": bytes }),
        Event::ContinuedAsNew { run } => json!({ "run": run.to_string() }),
        Event::WorkflowTaskFailed { failure, attempt, retry_at } => json!({
            "failure": failure_value(failure),
            "attempt": attempt,
            "retry_at": retry_at.to_rfc3339(),
        }),
        Event::UpdateAccepted(update) => {
            json!({ "id": update.id, "name": update.name, "input": payload_value(&update.input) })
        }
        Event::UpdateClosed { id, outcome } => with(outcome_value(outcome), json!({ "id": id })),
        Event::ChildScheduled(call) => json!({
            "op": call.op,
            "workflow_id": call.workflow_id,
            "workflow_type": call.workflow_type,
            "queue": call.queue,
            "run": call.run.to_string(),
            "input": payload_value(&call.input),
            "memo": payloads_value(&call.memo),
            "attributes": call.attributes,
        }),
        Event::ChildStarted { op, run } => json!({ "op": op, "run": run.to_string() }),
        Event::ChildCancelRequested { op, reason } => json!({ "op": op, "reason": reason }),
        Event::ChildClosed { op, outcome } => with(outcome_value(outcome), json!({ "op": op })),
        Event::ExternalScheduled(call) => with(
            request_value(&call.request),
            json!({
                "op": call.op,
                "workflow_id": call.target.workflow_id,
                "queue": call.target.queue,
                "run": call.target.run.map(|run| run.to_string()),
            }),
        ),
        Event::ExternalClosed { op, failure } => {
            json!({ "op": op, "failure": failure.as_ref().map(failure_value) })
        }
        Event::Patched { id, deprecated } => json!({ "id": id, "deprecated": deprecated }),
        Event::AttributesUpserted { attributes } => json!({ "attributes": attributes }),
        // One that this command is older than: its text is all there is.
        other => json!({ "text": other.to_string() }),
    }
}

fn with(mut value: Value, more: Value) -> Value {
    if let (Value::Object(fields), Value::Object(more)) = (&mut value, more) {
        fields.extend(more);
    }
    value
}

fn outcome_value(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Completed(result) => json!({ "result": payload_value(result) }),
        Outcome::Failed(failure) | Outcome::Cancelled(failure) => json!({ "failure": failure_value(failure) }),
        other => json!({ "text": format!("{other:?}") }),
    }
}

/// A failure as JSON.
pub(crate) fn failure_value(failure: &Failure) -> Value {
    json!({
        "message": failure.message,
        "kind": failure.kind,
        "details": failure.details.as_ref().map(payload_value),
        "cause": failure.cause.as_ref().map(|cause| failure_value(cause)),
    })
}

fn request_value(request: &ExternalRequest) -> Value {
    match request {
        ExternalRequest::Signal(signal) => json!({ "signal": signal.name, "input": payload_value(&signal.input) }),
        ExternalRequest::Cancel { reason } => json!({ "reason": reason }),
        other => json!({ "text": format!("{other:?}") }),
    }
}

/// Several payloads by name as JSON.
pub(crate) fn payloads_value(payloads: &Payloads) -> Value {
    payloads.iter().map(|(name, payload)| (name.to_owned(), payload_value(payload))).collect::<Map<_, _>>().into()
}
