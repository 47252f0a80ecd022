//! How long histories become: who is warned, who is told, and what ends when nothing helps.
//!
//! The figures are of the records and nothing else, so every owner of a run finds the same ones. That the code was told
//! is an event, so it is told once, and every replay tells it at the same place.

use highwater_core::run::weight;
use highwater_protocol::{
    Event, Failure, FailureKind, Key, Status,
    record::{FRAME_MIN, Frame},
};

use super::{
    Engine,
    slot::{Batch, Slot},
};
use crate::history_limits::HistorySize;

/// About how many bytes the headers of a record take.
const HEADERS: u64 = 250;

/// How long the history of a run is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Length {
    size: HistorySize,
    /// The code was told that it should continue as new.
    suggested: bool,
}

impl Length {
    /// The length with one more record.
    pub(super) fn with(mut self, frame: &Frame, events: &[Event]) -> Self {
        let weights: usize = events.iter().map(weight).sum();
        self.size.events += events.len() as u64;
        self.size.bytes += (FRAME_MIN + size_of_val(frame.back.as_slice()) + weights) as u64 + HEADERS;
        self.suggested |= events.iter().any(|event| matches!(event, Event::ContinueAsNewSuggested { .. }));
        self
    }
}

impl Engine {
    /// A record was stored: warns when the history has become long by it.
    pub(super) fn lengthen(&self, key: &Key, slot: &mut Slot, begins: bool, events: &[Event]) {
        let Some(tip) = slot.known() else { return };
        let before = if begins { Length::default() } else { slot.length };
        let after = before.with(&tip.frame, events);
        let warning = self.history_limits.warning;
        if after.size.reaches(warning) && !before.size.reaches(warning) && !tip.is_closed() {
            let (size, maximum) = (after.size, self.history_limits.maximum);
            let workflow_type = tip.workflow_type.as_ref().map(ToString::to_string).unwrap_or_default();
            tracing::warn!(
                workflow_id = %key,
                workflow_type,
                run = %tip.frame.run,
                events = size.events,
                bytes = size.bytes,
                "the history of a run gets long; have its code return `ctx.continue_as_new(…)` when \
                 `ctx.continue_as_new_suggested()`: it fails at {} events or {} bytes",
                maximum.events,
                maximum.bytes,
            );
        }
        slot.length = after;
    }

    /// Tells the code of a long history, together with what it is given now.
    pub(super) fn suggest_continue_as_new(&self, slot: &Slot, batch: &mut Batch) {
        let Length { size, suggested } = slot.length;
        if !suggested && size.reaches(self.history_limits.suggestion) {
            let HistorySize { events, bytes } = size;
            batch.events.insert(0, Event::ContinueAsNewSuggested { events, bytes });
        }
    }

    /// Ends an open run whose history is too long, and says whether it is one. Its code was told before, unless it
    /// takes nothing. No other run follows by the retry policy: it would most likely do the same again.
    pub(super) fn fail_too_long(&mut self, key: &Key, slot: &mut Slot) -> bool {
        let Length { size, suggested } = slot.length;
        let maximum = self.history_limits.maximum;
        let Some(tip) = slot.known() else { return false };
        let was_told = suggested || tip.status == Status::Blocked;
        if tip.is_closed() || !was_told || !size.reaches(maximum) {
            return false;
        }
        let workflow_type = tip.workflow_type.as_ref().map(ToString::to_string).unwrap_or_default();
        let text = format!(
            "the history of run {} of workflow {key}, of type {workflow_type}, has {} events and about {} bytes; this \
             worker ends runs at {} events or {} bytes. Have the code return `ctx.continue_as_new(…)` when \
             `ctx.continue_as_new_suggested()`, or raise the limit with `WorkerBuilder::history_limits`, and start the \
             workflow again",
            tip.frame.run, size.events, size.bytes, maximum.events, maximum.bytes
        );
        let failure = Failure::new(FailureKind::HistoryTooLong, text);
        tracing::error!(workflow_id = %key, %failure, "a run ends, as its history is too long");
        self.close_from_outside(key, slot, Vec::new(), Event::Failed { failure, next: None }, None);
        true
    }
}
