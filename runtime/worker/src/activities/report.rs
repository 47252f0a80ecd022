//! What is told the run that called an activity.

use highwater_broker::{Error, ErrorKind, Message, Publish};
use highwater_core::run::Limits;
use highwater_protocol::{
    Failure, FailureKind, Headers,
    event::Outcome,
    header,
    rejection::{Code, Rejection},
    subject::EngineVerb,
    task::{ActivityReport, ActivityTask},
    wire,
};

use super::{
    host::Host,
    lease::{GivenUp, Lease},
};
use crate::backoff::Backoff;

/// The partition under which tasks are rejected: what cannot be read tells none.
const REJECTED_PARTITION: u16 = 0;

/// Stores the outcome in the run's inbox, however long that takes.
pub(super) async fn report(host: &Host, task: &ActivityTask, attempt: u32, outcome: Outcome) {
    let name = task.call.name.as_str();
    let mut report = ActivityReport { op: task.call.op, attempt, outcome: fit(host.limits, name, outcome) };
    tracing::debug!(outcome = kind(&report.outcome), "the activity ended");
    let subject = host.broker.subjects().inbox_engine(
        EngineVerb::Activity,
        &task.run_queue,
        task.run,
        &task.workflow_id.to_key(),
    );
    let mut backoff = Backoff::new();
    loop {
        let payload = wire::encode(&report);
        let message = Publish { subject: subject.clone(), payload, ..Publish::default() };
        let Err(error) = host.broker.publish(message).await else { break };
        match error.kind {
            ErrorKind::TooLarge => {
                let text = format!("the outcome of activity {name} is larger than the server accepts: {error}");
                report.outcome = Outcome::Failed(Failure::new(FailureKind::TooLarge, text));
            }
            _ if error.is_retryable() => tracing::warn!(%error, "cannot store an activity's outcome yet"),
            _ => tracing::error!(%error, "the server refuses an activity's outcome; it is held and tried again"),
        }
        backoff.pause().await;
    }
}

/// The outcome, or what says that it is too large.
pub(super) fn fit(limits: Limits, name: &str, outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Completed(payload) => match limits.check(&format!("the result of activity {name}"), &payload) {
            Some(failure) => Outcome::Failed(failure),
            None => Outcome::Completed(payload),
        },
        Outcome::Failed(failure) => Outcome::Failed(bounded(failure, limits.payload_max)),
        Outcome::Cancelled(failure) => Outcome::Cancelled(bounded(failure, limits.payload_max)),
        other => other,
    }
}

/// The failure, without the error value where that takes more than `max` bytes in all; the message stays.
pub(super) fn bounded(mut failure: Failure, max: usize) -> Failure {
    let size = failure.details.as_ref().map_or(0, |details| details.data.len());
    if size > max {
        failure.details = None;
    }
    let left = max.saturating_sub(size);
    failure.cause = failure.cause.map(|cause| Box::new(bounded(*cause, left)));
    failure
}

/// Puts a task that cannot be read where people find it, whole, and ends it.
pub(super) async fn reject(host: &Host, lease: &Lease, message: &Message, error: &wire::Error) {
    tracing::error!(subject = message.subject, %error, "a task cannot be read; it is kept as rejected");
    let reason = format!("the activity task {error}; it may come from a newer version");
    let headers = with(&message.headers, Rejection::new(Code::Unreadable, reason).headers())
        .with(header::SUBJECT, message.subject.clone());
    let subject = host.broker.subjects().rejected(REJECTED_PARTITION, "task");
    let whole = Publish { subject, headers, payload: message.payload.clone(), ..Publish::default() };
    match lease.insist(|| host.broker.publish(whole.clone())).await {
        Ok(_) => lease.done().await,
        Err(GivenUp::Lost) => {}
        Err(GivenUp::Refused(Error { kind: ErrorKind::TooLarge, .. })) => {
            // The headers made it too large. They at least are kept.
            let part = Publish { payload: bytes::Bytes::new(), ..whole };
            if lease.insist(|| host.broker.publish(part.clone())).await.is_ok() {
                lease.done().await;
            }
        }
        Err(GivenUp::Refused(error)) => tracing::error!(%error, "an unreadable task cannot be kept as rejected"),
    }
}

fn with(headers: &Headers, mut more: Headers) -> Headers {
    more.insert_from(headers, |_| true);
    more
}

fn kind(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Completed(_) => "completed",
        Outcome::Cancelled(_) => "cancelled",
        _ => "failed",
    }
}
