//! The operations of a run: made by its code, ended by events.
//!
//! ```text
//! made ──▶ open, wanted ──▶ its end is on record ──▶ taken by the code, and gone
//!              │  └─ cancelled ──▶ Tell:    ended at once, and gone from the record too
//!              │                   Wait:    asked to cancel; goes on as it was
//!              │                   Abandon: ended for the code; open on record
//!              └─ dropped ──▶ Tell: gone    Wait, Abandon, detached: open, not wanted, until its end is on record
//! ```

use std::{fmt, panic::Location, rc::Rc, task::Waker};

use highwater_protocol::{Event, OpId, RetryPolicy, TypeName, event::Outcome};

use super::{
    Shared,
    scope::Scope,
    trail::{Made, Trail},
};
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

/// The kinds of operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Activity,
    Step,
    Timer,
}

/// What cancelling or dropping an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnCancel {
    /// It is told, and the code goes on as if it had ended.
    Tell,
    /// It is told, and the code goes on when it has ended.
    Wait,
    /// It is not told; the code goes on.
    Abandon,
}

/// What the code makes.
#[derive(Debug)]
pub(crate) struct Making<'a> {
    pub(crate) kind: Kind,
    pub(crate) name: TypeName,
    pub(crate) scope: &'a Rc<Scope>,
    pub(crate) on_cancel: OnCancel,
}

/// How an operation ended.
#[derive(Clone, Debug)]
pub(crate) enum Resolution {
    /// At this attempt, so.
    Outcome(u32, Outcome),
    Fired,
    Cancelled,
}

pub(super) struct Op {
    kind: Kind,
    name: TypeName,
    scope: Rc<Scope>,
    on_cancel: OnCancel,
    /// Where in the user's code it was made.
    made_at: &'static Location<'static>,
    /// No event has ended it.
    open: bool,
    /// It was asked to cancel, and is open still.
    cancelling: bool,
    /// Somebody in the code holds it.
    wanted: bool,
    resolution: Option<Resolution>,
    waker: Option<Waker>,
}

impl Op {
    /// Whether the code holds it and has not been told its end.
    fn is_awaited(&self) -> bool {
        self.open && self.wanted && self.resolution.is_none()
    }
}

impl Shared {
    /// Makes an operation. In a cancelled scope it is cancelled from the start and never issued.
    #[track_caller]
    pub(crate) fn open(&self, making: Making<'_>, issue: impl FnOnce(OpId) -> Option<Event>) -> OpId {
        self.refuse_in_query("an operation was made");
        let Making { kind, name, scope, on_cancel } = making;
        let op = OpId(self.next_op.replace(self.next_op.get() + 1));
        let at = Location::caller();
        let made = Made { op, kind, name: name.clone(), at };
        Trail::leave(Some(&made));
        self.last_made.replace(Some(made));
        let refused = scope.is_cancelled();
        let entry = Op {
            kind,
            name,
            scope: Rc::clone(scope),
            on_cancel,
            made_at: at,
            open: !refused,
            cancelling: false,
            wanted: true,
            resolution: refused.then_some(Resolution::Cancelled),
            waker: None,
        };
        self.ops.borrow_mut().insert(op, entry);
        if !refused && let Some(command) = issue(op) {
            self.commands.borrow_mut().push(command);
        }
        op
    }

    /// Hands a step's work over, unless the step was cancelled from the start.
    pub(crate) fn run_step(&self, op: OpId, name: TypeName, retry: RetryPolicy, work: StepWork) {
        if self.is_pending(op, Kind::Step) {
            self.steps.borrow_mut().push(StepRun { op, name, retry, work });
        }
    }

    /// Whether an end of it would be taken.
    pub(crate) fn is_pending(&self, op: OpId, kind: Kind) -> bool {
        self.ops.borrow().get(&op).is_some_and(|o| o.kind == kind && o.open)
    }

    /// Takes an operation's end, or leaves the waker for it.
    pub(crate) fn take_resolution(&self, op: OpId, waker: &Waker) -> Option<Resolution> {
        let waker = waker.clone();
        let mut ops = self.ops.borrow_mut();
        let entry = ops.get_mut(&op)?;
        if let Some(resolution) = entry.resolution.take() {
            entry.wanted = false;
            let gone = if entry.open { None } else { ops.remove(&op) };
            drop(ops);
            drop(gone);
            return Some(resolution);
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
        let (tell, kind, gone) = {
            let mut ops = self.ops.borrow_mut();
            let Some(entry) = ops.get_mut(&op) else { return };
            let tell = entry.is_awaited() && !entry.cancelling && entry.on_cancel != OnCancel::Abandon;
            let kind = entry.kind;
            entry.wanted = false;
            entry.cancelling |= tell;
            let stays = entry.open && entry.on_cancel != OnCancel::Tell;
            (
                tell,
                kind,
                if stays {
                    entry.waker.take();
                    None
                } else {
                    ops.remove(&op)
                },
            )
        };
        drop(gone);
        if tell {
            self.issue_cancel(op, kind);
        }
    }

    /// The code no longer waits for it, but wants it to go on.
    pub(crate) fn detach(&self, op: OpId) {
        let mut ops = self.ops.borrow_mut();
        let ended = ops.get_mut(&op).is_some_and(|entry| {
            entry.wanted = false;
            !entry.open
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
        let mut gone = None;
        let waker = {
            let mut ops = self.ops.borrow_mut();
            let Some(entry) = ops.get_mut(&op) else { return Err(format!("has no operation #{op} under way")) };
            if entry.kind != kind || name.is_some_and(|name| *name != entry.name) {
                return Err(format!("made operation #{op} as {} {}", entry.kind.word(), entry.name));
            }
            if !entry.open {
                return Err(format!("has operation #{op} ended already"));
            }
            entry.open = false;
            if entry.wanted {
                // Who was told already that it is cancelled hears nothing else.
                entry.resolution.get_or_insert(resolution);
                entry.waker.take()
            } else {
                gone = ops.remove(&op);
                None
            }
        };
        drop(gone);
        if kind == Kind::Step {
            self.drop_step(op);
        }
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    /// Whether the run was asked to cancel.
    pub(crate) fn cancel_requested(&self) -> bool {
        self.scope.is_cancelled()
    }

    /// A scope is cancelled: everything in it that is waited for is told and ends, in the order in which it was made.
    pub(crate) fn cancel(&self, scope: &Scope, reason: &str) {
        if !scope.cancel(reason) {
            return;
        }
        let awaited = |op: &Op| op.is_awaited() && !op.cancelling && op.scope.is_cancelled();
        let ops: Vec<OpId> = self.ops.borrow().iter().filter(|(_, op)| awaited(op)).map(|(id, _)| *id).collect();
        for op in ops {
            let mut told = None;
            let waker = self.ops.borrow_mut().get_mut(&op).and_then(|entry| {
                told = (entry.on_cancel != OnCancel::Abandon).then_some(entry.kind);
                entry.cancelling = true;
                if entry.on_cancel == OnCancel::Wait {
                    return None;
                }
                entry.open = entry.on_cancel == OnCancel::Abandon;
                entry.resolution = Some(Resolution::Cancelled);
                entry.waker.take()
            });
            if let Some(kind) = told {
                self.issue_cancel(op, kind);
            }
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    /// Whether the code waits for something that an event ends.
    pub(super) fn waits_for_events(&self) -> bool {
        self.has_waiters() || self.ops.borrow().values().any(|op| op.is_awaited() && op.waker.is_some())
    }

    /// What the code waits for, in words, with the place where it was made.
    pub(crate) fn pending(&self) -> Vec<String> {
        let ops = self.ops.borrow();
        let open = ops.iter().filter(|(_, op)| op.is_awaited());
        let open = open.map(|(id, op)| format!("{} {} (#{id}, at {})", op.kind.word(), op.name, op.made_at));
        open.chain(self.tasks.handlers()).collect()
    }
}

impl Kind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Activity => "activity",
            Self::Step => "step",
            Self::Timer => "timer",
        }
    }
}
