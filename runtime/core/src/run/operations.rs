//! The operations of a run: made by its code, ended by events.

use std::{fmt, task::Waker};

use highwater_protocol::{Event, OpId, TypeName, event::Outcome};

use super::Shared;
use crate::activity::BoxFuture;

/// A local step to be run.
pub struct StepRun {
    /// Which operation.
    pub op: OpId,
    /// Its name.
    pub name: TypeName,
    /// The work, for the async runtime.
    pub work: BoxFuture<'static, Outcome>,
}

impl fmt::Debug for StepRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepRun").field("op", &self.op).field("name", &self.name).finish_non_exhaustive()
    }
}

/// The kinds of operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Activity,
    Step,
    Timer,
}

/// How an operation ended.
#[derive(Clone, Debug)]
pub(crate) enum Resolution {
    Outcome(Outcome),
    Fired,
    Cancelled,
}

pub(super) struct Op {
    kind: Kind,
    name: TypeName,
    shielded: bool,
    detached: bool,
    resolution: Option<Resolution>,
    waker: Option<Waker>,
}

impl Shared {
    /// Makes an operation. Under a cancelled run it is cancelled from the start and never issued.
    #[track_caller]
    pub(crate) fn open(
        &self,
        kind: Kind,
        name: TypeName,
        shielded: bool,
        issue: impl FnOnce(OpId) -> Option<Event>,
    ) -> OpId {
        self.refuse_in_query("an operation was made");
        let op = OpId(self.next_op.replace(self.next_op.get() + 1));
        let refused = !shielded && self.cancel_requested();
        let resolution = refused.then_some(Resolution::Cancelled);
        self.ops.borrow_mut().insert(op, Op { kind, name, shielded, detached: false, resolution, waker: None });
        if !refused && let Some(command) = issue(op) {
            self.commands.borrow_mut().push(command);
        }
        op
    }

    /// Hands a step's work over, unless the step was cancelled from the start.
    pub(crate) fn run_step(&self, op: OpId, name: TypeName, work: BoxFuture<'static, Outcome>) {
        if self.is_pending(op, Kind::Step) {
            self.steps.borrow_mut().push(StepRun { op, name, work });
        }
    }

    pub(crate) fn is_pending(&self, op: OpId, kind: Kind) -> bool {
        self.ops.borrow().get(&op).is_some_and(|o| o.kind == kind && o.resolution.is_none())
    }

    /// Takes an operation's end, or leaves the waker for it.
    pub(crate) fn take_resolution(&self, op: OpId, waker: &Waker) -> Option<Resolution> {
        let waker = waker.clone();
        let mut ops = self.ops.borrow_mut();
        let entry = ops.get_mut(&op)?;
        if entry.resolution.is_some() {
            let entry = ops.remove(&op);
            drop(ops);
            return entry.and_then(|entry| entry.resolution);
        }
        let before = entry.waker.replace(waker);
        // A waker is somebody else's code; it is dropped when nothing is borrowed any more.
        drop(ops);
        drop(before);
        None
    }

    /// The code no longer wants it.
    pub(crate) fn abandon(&self, op: OpId) {
        if self.muted.get() || self.answering.get() {
            return;
        }
        let entry = self.ops.borrow_mut().remove(&op);
        let Some(entry) = entry else { return };
        if entry.resolution.is_none() {
            self.issue_cancel(op, entry.kind);
        }
    }

    /// The code no longer waits for it, but wants it to go on.
    pub(crate) fn detach(&self, op: OpId) {
        let mut ops = self.ops.borrow_mut();
        let ended = ops.get_mut(&op).is_some_and(|entry| {
            entry.detached = true;
            entry.resolution.is_some()
        });
        let entry = if ended { ops.remove(&op) } else { None };
        drop(ops);
        drop(entry);
    }

    fn issue_cancel(&self, op: OpId, kind: Kind) {
        let command = match kind {
            Kind::Activity => Event::ActivityCancelRequested { op },
            Kind::Timer => Event::TimerCancelled { op },
            Kind::Step => return self.drop_step(op),
        };
        self.commands.borrow_mut().push(command);
    }

    /// A step that was not handed over yet is not needed any more.
    fn drop_step(&self, op: OpId) {
        let mut steps = self.steps.borrow_mut();
        let step = steps.iter().position(|step| step.op == op).map(|at| steps.remove(at));
        // What the step captured may run code when it is dropped.
        drop(steps);
        drop(step);
    }

    /// Ends an operation; an error says what the code has under this number instead.
    pub(crate) fn resolve(
        &self,
        op: OpId,
        kind: Kind,
        name: Option<&TypeName>,
        resolution: Resolution,
    ) -> Result<(), String> {
        let mut detached = None;
        let waker = {
            let mut ops = self.ops.borrow_mut();
            let Some(entry) = ops.get_mut(&op) else { return Err(format!("has no operation #{op} under way")) };
            if entry.kind != kind || name.is_some_and(|name| *name != entry.name) {
                return Err(format!("made operation #{op} as {} {}", entry.kind.word(), entry.name));
            }
            if entry.resolution.is_some() {
                return Err(format!("has operation #{op} ended already"));
            }
            if entry.detached {
                detached = ops.remove(&op);
                None
            } else {
                entry.resolution = Some(resolution);
                entry.waker.take()
            }
        };
        drop(detached);
        if kind == Kind::Step {
            self.drop_step(op);
        }
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    pub(crate) fn cancel_requested(&self) -> bool {
        self.cancel.borrow().is_some()
    }

    pub(crate) fn cancel_reason(&self) -> Option<String> {
        self.cancel.borrow().clone()
    }

    /// The run is asked to cancel: everything that is not shielded ends as cancelled, in the order in which it was made.
    pub(crate) fn cancel(&self, reason: &str) {
        self.cancel.replace(Some(reason.to_owned()));
        let pending: Vec<(OpId, Kind)> = self
            .ops
            .borrow()
            .iter()
            .filter(|(_, op)| op.resolution.is_none() && !op.shielded && !op.detached)
            .map(|(id, op)| (*id, op.kind))
            .collect();
        for (op, kind) in pending {
            self.issue_cancel(op, kind);
            let waker = self.ops.borrow_mut().get_mut(&op).and_then(|entry| {
                entry.resolution = Some(Resolution::Cancelled);
                entry.waker.take()
            });
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    pub(crate) fn pending(&self) -> Vec<String> {
        let ops = self.ops.borrow();
        let open = ops.iter().filter(|(_, op)| op.resolution.is_none());
        let open = open.map(|(id, op)| format!("{} {} (#{id})", op.kind.word(), op.name));
        open.chain(self.tasks.handlers()).collect()
    }
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Activity => "activity",
            Self::Step => "step",
            Self::Timer => "timer",
        }
    }
}
