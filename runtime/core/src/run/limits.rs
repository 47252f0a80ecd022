//! Sizes above which something is refused.

use highwater_protocol::{
    Event, Failure, FailureKind, OpId, Payload, Payloads,
    event::{ExternalRequest, Outcome},
};

use super::Conclusion;

/// Sizes above which a command is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest payload, in bytes.
    pub payload_max: usize,
}

impl Limits {
    /// What a record needs beside one payload, in bytes: frame, headers, names and options.
    pub const OVERHEAD: usize = 16 * 1024;

    /// The limits under a server that accepts messages of this size.
    pub fn for_message_max(message_max: usize) -> Self {
        Self { payload_max: message_max.saturating_sub(Self::OVERHEAD).max(message_max / 2) }
    }

    /// Why a payload is refused, if it is.
    pub fn check(&self, what: &str, payload: &Payload) -> Option<Failure> {
        self.check_size(what, payload.data.len())
    }

    fn check_size(self, what: &str, size: usize) -> Option<Failure> {
        (size > self.payload_max).then(|| {
            let max = self.payload_max;
            let text = format!("{what} has {size} bytes, this server's limit for a payload is {max}; pass a reference to the data instead");
            Failure::new(FailureKind::TooLarge, text)
        })
    }

    /// What tells the code that it asked for something which is too large to be recorded, if it did.
    pub(super) fn refusal(self, command: &Event) -> Option<Event> {
        match command {
            Event::ActivityScheduled(call) => {
                let failure =
                    self.check_all(&format!("the input of activity {}", call.name), &call.input, &[&call.headers])?;
                Some(Event::ActivityClosed { op: call.op, attempt: 0, outcome: Outcome::Failed(failure) })
            }
            Event::ChildScheduled(call) => {
                let what = format!("the input of child workflow {}", call.workflow_type);
                let failure = self.check_all(&what, &call.input, &[&call.memo, &call.headers])?;
                Some(Event::ChildClosed { op: call.op, outcome: Outcome::Failed(failure) })
            }
            Event::ExternalScheduled(call) => {
                let ExternalRequest::Signal(signal) = &call.request else { return None };
                let what = format!("the argument of signal {}", signal.name);
                let failure = self.check_all(&what, &signal.input, &[&signal.headers])?;
                Some(Event::ExternalClosed { op: call.op, failure: Some(failure) })
            }
            _ => None,
        }
    }

    /// Why a payload with what goes beside it is refused, if it is.
    fn check_all(self, what: &str, payload: &Payload, beside: &[&Payloads]) -> Option<Failure> {
        let weight: usize = beside.iter().map(|payloads| payloads.weight()).sum();
        if weight == 0 {
            return self.check(what, payload);
        }
        self.check_size(&format!("{what} with its memo and headers"), payload.data.len() + weight)
    }

    /// What can be recorded of a step's outcome.
    pub(crate) fn step_outcome(self, outcome: Outcome) -> Outcome {
        self.outcome("the result of the step", outcome)
    }

    /// What can be recorded of an outcome.
    pub(super) fn outcome(self, what: &str, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Completed(payload) => match self.check(what, &payload) {
                Some(failure) => Outcome::Failed(failure),
                None => Outcome::Completed(payload),
            },
            Outcome::Failed(failure) => Outcome::Failed(self.failure(failure)),
            other => other,
        }
    }

    /// What can be recorded of a conclusion.
    pub(super) fn conclusion(self, conclusion: Conclusion) -> Conclusion {
        let refused = match &conclusion {
            Conclusion::Completed(result) => self.check("the workflow's result", result),
            Conclusion::ContinueAsNew(next) => self.check_all("the input of the next run", &next.input, &[&next.memo]),
            Conclusion::Failed(_) | Conclusion::Cancelled(_) => None,
        };
        match (refused, conclusion) {
            (Some(failure), _) => Conclusion::Failed(failure),
            (None, Conclusion::Failed(failure)) => Conclusion::Failed(self.failure(failure)),
            (None, other) => other,
        }
    }

    /// A failure without the error value, where that is too large; the message stays.
    fn failure(self, mut failure: Failure) -> Failure {
        if failure.details.as_ref().is_some_and(|details| details.data.len() > self.payload_max) {
            failure.details = None;
        }
        failure
    }
}

/// What is recorded of a command that was too large.
pub(super) fn strip(command: &mut Event) {
    match command {
        Event::ActivityScheduled(call) => {
            call.input = Payload::null();
            call.headers = Payloads::default();
        }
        Event::ChildScheduled(call) => {
            call.input = Payload::null();
            call.memo = Payloads::default();
            call.headers = Payloads::default();
        }
        Event::ExternalScheduled(call) => {
            if let ExternalRequest::Signal(signal) = &mut call.request {
                signal.input = Payload::null();
                signal.headers = Payloads::default();
            }
        }
        _ => {}
    }
}

/// Whether a command is on record as one that was too large is.
pub(super) fn may_be_stripped(command: &Event) -> bool {
    let input = match command {
        Event::ActivityScheduled(call) => &call.input,
        Event::ChildScheduled(call) => &call.input,
        Event::ExternalScheduled(call) => match &call.request {
            ExternalRequest::Signal(signal) => &signal.input,
            _ => return false,
        },
        _ => return false,
    };
    *input == Payload::null()
}

/// Which operation an event ends.
pub(super) fn ended(event: &Event) -> Option<OpId> {
    match event {
        Event::ActivityClosed { op, .. } | Event::ChildClosed { op, .. } | Event::ExternalClosed { op, .. } => {
            Some(*op)
        }
        _ => None,
    }
}

/// Which operation an event ends with what [`Limits::refusal`] says, if it does.
pub(super) fn refused(event: &Event) -> Option<OpId> {
    let too_large = |failure: &Failure| failure.kind == FailureKind::TooLarge;
    match event {
        Event::ActivityClosed { op, attempt: 0, .. } => Some(*op),
        Event::ChildClosed { op, outcome: Outcome::Failed(failure) } if too_large(failure) => Some(*op),
        Event::ExternalClosed { op, failure: Some(failure) } if too_large(failure) => Some(*op),
        _ => None,
    }
}
