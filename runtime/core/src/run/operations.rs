//! The operations of a run: made by its code, ended by events.
//!
//! ```text
//! made ──▶ open, wanted ──▶ its end is on record ──▶ taken by the code, and gone
//!              │  └─ cancelled ──▶ Tell:         ended at once, and gone from the record too
//!              │                   TellAndLeave: asked to cancel; ended for the code; open on record
//!              │                   Wait:         asked to cancel; goes on as it was
//!              │                   WaitTold:     the same, and ended for the code when that is delivered
//!              │                   Abandon:      ended for the code; open on record
//!              └─ dropped ──▶ Tell: gone    others, detached: open, not wanted, until its end is on record
//! ```

mod cancel;
mod child;
mod step;

use std::{panic::Location, rc::Rc, task::Waker};

use highwater_protocol::{Event, Failure, InvalidId, OpId, TypeName, event::Outcome};

use super::{
    Shared,
    scope::Scope,
    trail::{Made, Trail},
};
use cancel::Told;
use child::ChildState;

pub(crate) use child::ChildView;
pub use step::{StepRun, StepWork};

/// The kinds of operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Activity,
    Step,
    Timer,
    Child,
    External,
}

/// What cancelling or dropping an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnCancel {
    /// It is told, and the code goes on as if it had ended.
    Tell,
    /// It is told, and the code goes on as if it had ended, which it has not.
    TellAndLeave,
    /// It is told, and the code goes on when it has ended.
    Wait,
    /// It is told, and the code goes on when that has arrived.
    WaitTold,
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
    /// It was accepted, or refused for this reason.
    Delivered(Option<Failure>),
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
    /// The scope that it is in was cancelled.
    cancelling: bool,
    told: Told,
    /// Somebody in the code holds it.
    wanted: bool,
    resolution: Option<Resolution>,
    waker: Option<Waker>,
    /// What more there is to a child workflow.
    child: Option<Box<ChildState>>,
}

impl Op {
    /// Whether it is open and somebody is woken when anything happens to it.
    fn will_wake(&self) -> bool {
        self.open && (self.waker.is_some() || self.child.as_ref().is_some_and(|child| child.is_looked_at()))
    }

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
        let (op, issued) = self.make(making, Location::caller());
        if issued && let Some(command) = issue(op) {
            self.commands.borrow_mut().push(command);
        }
        op
    }

    /// Makes an operation, and tells whether it is to be issued.
    fn make(&self, making: Making<'_>, at: &'static Location<'static>) -> (OpId, bool) {
        let Making { kind, name, scope, on_cancel } = making;
        let op = OpId(self.next_op.replace(self.next_op.get() + 1));
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
            told: Told::No,
            wanted: true,
            resolution: refused.then_some(Resolution::Cancelled),
            waker: None,
            child: (kind == Kind::Child).then(Box::default),
        };
        self.ops.borrow_mut().insert(op, Box::new(entry));
        (op, !refused)
    }

    /// A name for what the code makes. Code in a loop names the same thing again and again.
    pub(crate) fn name(&self, name: &str) -> Result<TypeName, InvalidId> {
        match &*self.last_made.borrow() {
            Some(last) if last.name.as_str() == name => Ok(last.name.clone()),
            _ => TypeName::try_from(name),
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
        let (tell, gone) = {
            let mut ops = self.ops.borrow_mut();
            let Some(entry) = ops.get_mut(&op) else { return };
            let tell = entry.is_awaited() && entry.tell();
            let tell = tell.then_some(entry.kind);
            entry.wanted = false;
            let before = entry.waker.take();
            let gone = if entry.open && entry.on_cancel != OnCancel::Tell { None } else { ops.remove(&op) };
            (tell, (before, gone))
        };
        drop(gone);
        if let Some(kind) = tell {
            self.issue_cancel(op, kind, "the workflow that asked for it no longer wants it");
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
        self.wake_child(op);
        Ok(())
    }

    /// Whether the code waits for something that an event ends.
    pub(super) fn waits_for_events(&self) -> bool {
        self.has_waiters() || self.ops.borrow().values().any(|op| op.will_wake())
    }

    /// What the code waits for, in words, with the place where it was made.
    pub(crate) fn pending(&self) -> Vec<String> {
        let ops = self.ops.borrow();
        let open = ops.iter().filter(|(_, op)| op.is_awaited());
        let open = open.map(|(id, op)| format!("{} {} (#{id}, at {})", op.kind.word(), op.name, op.made_at));
        let delay = self.is_delayed().then(|| "the start delay".to_owned());
        open.chain(self.waited_for()).chain(self.tasks.handlers()).chain(delay).collect()
    }
}

impl Kind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Activity => "activity",
            Self::Step => "step",
            Self::Timer => "timer",
            Self::Child => "child workflow",
            Self::External => "message",
        }
    }
}
