//! How much a run's history weighs, as its code may ask.

use highwater_protocol::{
    Event, Failure, Payload,
    event::{ExternalRequest, Outcome, Signal},
};

/// What an event weighs beside the user's data in it, in bytes.
const FIXED: usize = 100;

/// What an event weighs in a history, in bytes: about as much as it takes there.
///
/// Code may decide by the sum of these, and decides the same at every replay. So this depends on the event alone, not
/// on how a version encodes it, and what it gives for an event never changes.
pub fn weight(event: &Event) -> usize {
    FIXED
        + match event {
            Event::Started(started) => {
                let signals: usize = started.signals.iter().map(signal).sum();
                payload(&started.input) + signals + started.memo.weight() + started.headers.weight()
            }
            Event::Signaled(one) => signal(one),
            Event::ActivityClosed { outcome, .. }
            | Event::StepClosed { outcome, .. }
            | Event::ChildClosed { outcome, .. }
            | Event::UpdateClosed { outcome, .. } => self::outcome(outcome),
            Event::UpdateAccepted(update) => payload(&update.input) + update.headers.weight(),
            Event::ExternalClosed { failure: Some(failure), .. }
            | Event::Failed { failure, .. }
            | Event::Cancelled { failure }
            | Event::TimedOut { failure, .. }
            | Event::WorkflowTaskFailed { failure, .. } => self::failure(failure),
            Event::ActivityScheduled(call) => payload(&call.input) + call.headers.weight(),
            Event::ChildScheduled(call) => payload(&call.input) + call.memo.weight() + call.headers.weight(),
            Event::ExternalScheduled(call) => match &call.request {
                ExternalRequest::Signal(one) => signal(one),
                _ => 0,
            },
            Event::Completed { result } => payload(result),
            Event::AttributesUpserted { attributes } => attributes.iter().count() * FIXED,
            // Nothing of the user's, or a few words.
            _ => 0,
        }
}

fn payload(payload: &Payload) -> usize {
    payload.data.len()
}

fn signal(signal: &Signal) -> usize {
    payload(&signal.input) + signal.headers.weight()
}

fn outcome(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Completed(value) => payload(value),
        Outcome::Failed(failure) | Outcome::Cancelled(failure) => self::failure(failure),
        _ => 0,
    }
}

fn failure(failure: &Failure) -> usize {
    let details = failure.details.as_ref().map_or(0, payload);
    let cause = failure.cause.as_ref().map_or(0, |cause| self::failure(cause));
    failure.message.len() + details + cause
}

#[cfg(test)]
mod tests {
    use highwater_protocol::{OpId, TypeName};

    use super::*;

    #[test]
    fn weights_are_frozen() {
        let data = || Payload::json("x".repeat(1_000));
        let closed = |outcome| Event::ActivityClosed { op: OpId(1), attempt: 1, outcome };
        assert_eq!(weight(&closed(Outcome::Completed(data()))), 1_100);
        let mut failure = Failure::application("no").caused_by(Failure::application("money"));
        failure.details = Some(data());
        assert_eq!(weight(&closed(Outcome::Failed(failure))), 1_107);
        assert_eq!(weight(&Event::Signaled(Signal::new(TypeName::new("go").unwrap(), data()))), 1_100);
        assert_eq!(weight(&Event::TimerFired { op: OpId(1) }), 100);
    }
}
