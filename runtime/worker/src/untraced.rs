//! What stands in for the spans of `trace.rs` in a build without OpenTelemetry: nothing. The trace of a
//! run, which is text, goes on through its records and tasks all the same.

use std::future::Future;

use highwater_protocol::{Key, RunId, Started, TypeName, event::Outcome, task::ActivityTask};

/// Code under way that nobody watches.
#[derive(Debug)]
pub(crate) struct Traced;

#[expect(clippy::unused_self, reason = "with spans it is the span's")]
impl Traced {
    pub(crate) fn attempt(_task: &ActivityTask, _attempt: u32) -> Self {
        Self
    }

    pub(crate) fn step(_key: &Key, _run: RunId, _started: Option<&Started>, _name: &TypeName) -> Self {
        Self
    }

    pub(crate) fn around<F: Future>(&self, work: F) -> F {
        work
    }

    pub(crate) fn finish(self, _outcome: &Outcome) {}

    pub(crate) fn abandon(self) {}
}

pub(crate) fn carry<F: Future>(work: F) -> F {
    work
}

pub(crate) fn carry_call<T>(code: impl FnOnce() -> T) -> impl FnOnce() -> T {
    code
}
