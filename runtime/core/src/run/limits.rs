//! Sizes above which something is refused.

use highwater_protocol::{
    Event, Failure, FailureKind, Payload,
    event::{ActivityScheduled, Outcome},
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
        let size = payload.data.len();
        (size > self.payload_max).then(|| {
            let max = self.payload_max;
            let text = format!("{what} has {size} bytes, this server's limit for a payload is {max}; pass a reference to the data instead");
            Failure::new(FailureKind::TooLarge, text)
        })
    }

    /// What tells the code that a call is too large to be recorded, if it is.
    pub(super) fn refusal(self, call: &ActivityScheduled) -> Option<Event> {
        let failure = self.check(&format!("the input of activity {}", call.name), &call.input)?;
        Some(Event::ActivityClosed { op: call.op, attempt: 0, outcome: Outcome::Failed(failure) })
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
            Conclusion::ContinueAsNew(input) => self.check("the input of the next run", input),
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
