//! What all durable operations share: a number, a scope, and that dropping cancels.

use std::{fmt, rc::Rc, task::Context};

use highwater_protocol::{Event, Failure, OpId, TypeName, event::Outcome};

use crate::run::{Kind, Making, OnCancel, Resolution, Scope, Shared};

/// A run, seen from one of its scopes: where operations are made.
#[derive(Clone)]
pub(super) struct Scoped {
    pub(super) shared: Rc<Shared>,
    pub(super) scope: Rc<Scope>,
}

impl fmt::Debug for Scoped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scoped").field("run", &self.shared.run).field("scope", &self.scope).finish()
    }
}

impl Scoped {
    /// Makes an operation. In a cancelled scope it has ended already and nothing is issued.
    #[track_caller]
    pub(super) fn make(
        &self,
        kind: Kind,
        name: TypeName,
        on_cancel: OnCancel,
        issue: impl FnOnce(OpId) -> Option<Event>,
    ) -> Operation {
        let op = self.shared.open(Making { kind, name, scope: &self.scope, on_cancel }, issue);
        Operation { shared: Rc::clone(&self.shared), op, open: true }
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.scope.is_cancelled()
    }
}

/// An operation under way.
pub(super) struct Operation {
    shared: Rc<Shared>,
    op: OpId,
    open: bool,
}

impl Operation {
    pub(super) fn op(&self) -> OpId {
        self.op
    }

    /// Whether the end was taken or given up.
    pub(super) fn is_done(&self) -> bool {
        !self.open
    }

    /// Takes the end, once it is there.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Option<Resolution> {
        if !self.open {
            return None;
        }
        let resolution = self.shared.take_resolution(self.op, cx.waker())?;
        self.open = false;
        Some(resolution)
    }

    /// Ends it here and now: it could not even begin.
    pub(super) fn fail(&self, kind: Kind, failure: Failure) {
        self.end(kind, Resolution::Outcome(1, Outcome::Failed(failure)));
    }

    /// Ends it here and now.
    pub(super) fn end(&self, kind: Kind, resolution: Resolution) {
        // One that was cancelled from the start has ended already.
        let _ = self.shared.resolve(self.op, kind, None, resolution);
    }

    /// Lets it go on without anybody waiting.
    pub(super) fn detach(mut self) {
        self.open = false;
        self.shared.detach(self.op);
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        if self.open {
            self.shared.abandon(self.op);
        }
    }
}

/// The parts that the futures of all operations have: `Unpin`, a number, and a way to let them go on.
macro_rules! operation_future {
    ($name:ident $(<$($parameter:ident),+>)?) => {
        impl$(<$($parameter),+>)? $name$(<$($parameter),+>)? {
            /// Lets it go on when this future is dropped: its end will then concern nobody.
            pub fn detach(self) {
                self.operation.detach();
            }

            /// The number of the operation in its run.
            pub fn op(&self) -> highwater_protocol::OpId {
                self.operation.op()
            }
        }

        impl$(<$($parameter),+>)? Unpin for $name$(<$($parameter),+>)? {}

        impl$(<$($parameter),+>)? std::fmt::Debug for $name$(<$($parameter),+>)? {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{} #{}", stringify!($name), self.operation.op())
            }
        }
    };
}
pub(super) use operation_future;
