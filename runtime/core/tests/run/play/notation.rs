//! The notation of scripts.

use highwater_core::{Transition, run::Conclusion};
use highwater_protocol::{
    Event, Failure, FailureKind, OpId, Payload, Payloads, TimeoutKind, TypeName, UpdateId,
    event::{Class, ExternalRequest, Outcome, Signal, Update},
};

use super::{CHILD, Play};

/// What a script gives, as an event.
pub(crate) fn parse(play: &mut Play, given: &str) -> Event {
    let (verb, rest) = given.split_once(' ').unwrap_or((given, ""));
    let (first, second) = rest.split_once(' ').unwrap_or((rest, ""));
    let op = || OpId(first.parse().unwrap_or_else(|_| panic!("{given}: a number is missing")));
    match verb {
        "start" => play.started(if rest.is_empty() { "null" } else { rest }),
        "activity" => {
            let (ended, attempt) = second.rsplit_once(" at ").unwrap_or((second, "1"));
            let attempt = attempt.parse().unwrap_or_else(|_| panic!("{given}: the attempt is no number"));
            Event::ActivityClosed { op: op(), attempt, outcome: outcome(ended) }
        }
        "step" => play.execute(op().0),
        "child" if second == "started" => Event::ChildStarted { op: op(), run: CHILD },
        "child" => Event::ChildClosed { op: op(), outcome: outcome(second) },
        "sent" => Event::ExternalClosed { op: op(), failure: refusal(second) },
        "fire" => Event::TimerFired { op: op() },
        "signal" => {
            let input = Payload::json(if second.is_empty() { "null".to_owned() } else { second.to_owned() });
            Event::Signaled(Signal::new(TypeName::new(first).unwrap(), input))
        }
        "update" => {
            let (id, input) = second.split_once(' ').unwrap_or((second, "null"));
            Event::UpdateAccepted(Box::new(Update {
                id: UpdateId::new(id).unwrap(),
                name: TypeName::new(first).unwrap(),
                input: Payload::json(input.to_owned()),
                headers: Payloads::default(),
                reply: None,
            }))
        }
        "begin" => Event::DelayPassed,
        "suggest" => Event::ContinueAsNewSuggested { events: 3, bytes: 1_000 },
        "cancel" => Event::CancelRequested { reason: rest.to_owned(), from: None },
        other => panic!("a script cannot give {other}"),
    }
}

fn outcome(text: &str) -> Outcome {
    match text.split_once(' ').unwrap_or((text, "null")) {
        ("ok", value) => Outcome::Completed(Payload::json(value.to_owned())),
        ("error", value) => {
            let mut failure = Failure::application(value.trim_matches('"'));
            failure.details = Some(Payload::json(value.to_owned()));
            Outcome::Failed(failure)
        }
        ("cancelled", _) => Outcome::Cancelled(Failure::new(FailureKind::Cancelled, "it was asked to")),
        ("terminated", _) => Outcome::Failed(Failure::new(FailureKind::Terminated, "by the script")),
        ("exists", _) => Outcome::Failed(Failure::new(FailureKind::AlreadyExists, "by the script")),
        ("timeout", _) => Outcome::Failed(Failure::timeout(TimeoutKind::StartToClose, "too slow")),
        (other, _) => panic!("an activity cannot end with {other}"),
    }
}

/// Why a message to another workflow was refused, if a script says that it was.
fn refusal(word: &str) -> Option<Failure> {
    let kind = match word {
        "" => return None,
        "not-found" => FailureKind::NotFound,
        "closed" => FailureKind::Closed,
        "refused" => FailureKind::Refused,
        other => panic!("a message cannot be {other}"),
    };
    Some(Failure::new(kind, "by the script"))
}

/// What a run answered.
pub(crate) fn answers(transition: &Transition) -> Vec<String> {
    let mut lines = Vec::new();
    let mut first = true;
    for event in &transition.events {
        first &= event.class() == Class::Inbound;
        if !first {
            lines.push(line(event));
        }
    }
    lines.extend(transition.refused.iter().map(|(id, why)| format!("refused {id} as {}: {}", why.code, why.reason)));
    lines.extend(transition.steps.iter().map(|step| format!("step #{} {}", step.op, step.name)));
    lines.extend(transition.conclusion.as_ref().map(|conclusion| match conclusion {
        Conclusion::Completed(result) => format!("completed {}", result.begin()),
        Conclusion::Failed(failure) => format!("failed {failure}"),
        Conclusion::Cancelled(_) => "cancelled".to_owned(),
        Conclusion::ContinueAsNew(next) => format!("continue {} {}", next.workflow_type, next.input.begin()),
    }));
    lines
}

fn line(event: &Event) -> String {
    match event {
        Event::ActivityScheduled(call) => format!("run #{} {} {}", call.op, call.name, call.input.begin()),
        Event::ActivityCancelRequested { op } => format!("cancel activity #{op}"),
        Event::TimerStarted { op, fire_at } => format!("sleep #{op} until {}", fire_at.as_millis() / 1_000),
        Event::TimerCancelled { op } => format!("cancel timer #{op}"),
        Event::ChildScheduled(call) => {
            let id = if call.workflow_id.as_str() == call.run.to_string() { "-" } else { call.workflow_id.as_str() };
            format!("child #{} {} {id} {}", call.op, call.workflow_type, call.input.begin())
        }
        Event::ChildCancelRequested { op, reason } => format!("cancel child #{op}: {reason}"),
        Event::ExternalScheduled(call) => match &call.request {
            ExternalRequest::Signal(signal) => {
                let (op, to) = (call.op, &call.target.workflow_id);
                format!("signal #{op} {} {} to {to}", signal.name, signal.input.begin())
            }
            ExternalRequest::Cancel { reason } => {
                format!("cancel workflow #{} {}: {reason}", call.op, call.target.workflow_id)
            }
            other => panic!("nothing sends {other:?}"),
        },
        Event::UpdateClosed { id, outcome: Outcome::Completed(value) } => format!("updated {id} {}", value.begin()),
        Event::UpdateClosed { id, outcome: Outcome::Failed(failure) } => format!("update {id} failed {failure}"),
        other => other.to_string(),
    }
}
