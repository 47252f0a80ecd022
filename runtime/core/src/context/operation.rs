//! What all durable operations share: a number, and that dropping cancels.

use std::{rc::Rc, task::Context};

use highwater_protocol::OpId;

use crate::run::{Resolution, Shared};

/// An operation under way.
pub(super) struct Operation {
    shared: Rc<Shared>,
    op: OpId,
    open: bool,
}

impl Operation {
    pub(super) fn new(shared: Rc<Shared>, op: OpId) -> Self {
        Self { shared, op, open: true }
    }

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
