//! Local steps on their way to be run.

use std::fmt;

use highwater_protocol::{OpId, RetryPolicy, TypeName, event::Outcome};

use super::{Kind, Shared};
use crate::activity::BoxFuture;

/// A local step to be run.
pub struct StepRun {
    /// Which operation.
    pub op: OpId,
    /// Its name.
    pub name: TypeName,
    /// How failed attempts follow each other: one attempt, unless the code says otherwise.
    pub retry: RetryPolicy,
    /// Makes an attempt, by its number from 1, for the async runtime.
    pub work: StepWork,
}

/// Makes an attempt of a step, by its number from 1. There is no second one unless the retry policy allows it.
pub type StepWork = Box<dyn FnMut(u32) -> BoxFuture<'static, Outcome> + Send>;

impl fmt::Debug for StepRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepRun").field("op", &self.op).field("name", &self.name).finish_non_exhaustive()
    }
}

impl Shared {
    /// Hands a step's work over, unless the step was cancelled from the start.
    pub(crate) fn run_step(&self, op: OpId, name: TypeName, retry: RetryPolicy, work: StepWork) {
        if self.is_pending(op, Kind::Step) {
            self.steps.borrow_mut().push_back(StepRun { op, name, retry, work });
        }
    }

    /// A step that was not handed over yet is not needed any more.
    pub(super) fn drop_step(&self, op: OpId) {
        let mut steps = self.steps.borrow_mut();
        let step = steps.iter().position(|step| step.op == op).and_then(|at| steps.remove(at));
        // What the step captured may run code when it is dropped.
        drop(steps);
        drop(step);
    }
}
