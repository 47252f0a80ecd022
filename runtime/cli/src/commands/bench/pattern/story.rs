//! Which messages are sent for what.

use super::BODY;

/// What is done, and with which messages.
///
/// All begin alike. A *start* is published to the public subject of the inbox and acknowledged (the engine's client
/// asks for that only when the answer is late, and has one subscription for all answers, where this has one for each);
/// the owner of the run, who reads the inbox in order, appends a *record* to the run's history under the condition that
/// it is the next one, and waits for the acknowledgement. An *answer* is a plain message. Every record waits for the
/// one before it; what came in meanwhile goes into the next one together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Story {
    /// A start, a record, an answer.
    NoOp,
    /// As a no-op, with so many bytes in the start, twice (as input and as result) in the record, and in the answer.
    Payload(usize),
    /// A start, a record, then a record for each step, an answer.
    Steps(u64),
    /// A start and a record; then, for each call, a task in the work queue, which somebody takes, whose outcome is
    /// published to the inbox and which is acknowledged, and a record. An answer. All tasks have one subject, and
    /// nobody sees to it that a task is sent once; the engine's have one each and a condition, so the pattern has the
    /// cheaper ones.
    Activities(u64),
    /// The same, with all tasks sent at once.
    Parallel(u64),
    /// A start and a record; the start of the child in the inbox, the child's record, its report in the inbox, a record
    /// of the parent's, an answer.
    Child,
    /// To a run that is there: a request to the public subject, acknowledged, a record, an answer. A signal is that,
    /// and so is an update that is accepted and done at once.
    Request,
    /// To a run that is there: a plain request that its owner answers from memory.
    Query,
    /// A message that is stored and acknowledged, and that nobody reads: the least that can be made durable.
    Publish,
}

impl Story {
    /// Whether tasks are sent.
    pub(super) fn has_activities(self) -> bool {
        matches!(self, Self::Activities(_) | Self::Parallel(_))
    }

    /// Whether those who ask keep a run each, and ask that.
    pub(super) fn is_of_one_run(self) -> bool {
        matches!(self, Self::Request | Self::Query)
    }

    /// How many bytes a start has, and an answer.
    pub(super) fn payload(self) -> usize {
        if let Self::Payload(bytes) = self { bytes } else { 0 }
    }

    /// How many bytes the record has that takes this many messages of those that came in, the run's start among them or
    /// not.
    ///
    /// The engine's hold what came in and what the code asked for next. With one of each they have the size of any
    /// body; the record that asks for many calls at the same time, or takes many outcomes together, is larger.
    pub(super) fn record(self, taken: u64, is_first: bool) -> usize {
        let asked = if let (Self::Parallel(calls), true) = (self, is_first) { calls } else { 1 };
        let held = usize::try_from(asked + taken).unwrap_or(usize::MAX);
        held.saturating_mul(BODY / 2) + 2 * self.payload()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_grows_with_what_it_holds() {
        assert_eq!(Story::NoOp.record(1, true), BODY);
        assert_eq!(Story::Payload(1_000).record(1, true), BODY + 2_000);
        assert_eq!(Story::Activities(10).record(1, false), BODY);
        assert_eq!(Story::Parallel(99).record(1, true), 50 * BODY);
        assert_eq!(Story::Parallel(99).record(99, false), 50 * BODY);
    }
}
