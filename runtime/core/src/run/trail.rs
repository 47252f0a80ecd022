//! Where the code is: for messages about code that does not come back.

use std::{
    cell::RefCell,
    fmt,
    panic::Location,
    sync::{Arc, Mutex, PoisonError},
};

use highwater_protocol::{OpId, TypeName};

use super::Kind;

thread_local! {
    static INSTALLED: RefCell<Option<Trail>> = const { RefCell::new(None) };
}

/// An operation that the code made, and where.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(super) op: OpId,
    pub(super) kind: Kind,
    pub(super) name: TypeName,
    pub(super) at: &'static Location<'static>,
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} (#{}, at {})", self.kind.word(), self.name, self.op, self.at)
    }
}

/// The last operation that the code on a thread made, as another thread sees it while the code does not come back.
#[derive(Clone, Debug, Default)]
pub struct Trail(Arc<Mutex<Option<Made>>>);

impl Trail {
    /// A trail of nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// From here on this thread's runs leave their trail here.
    pub fn install(&self) {
        INSTALLED.set(Some(self.clone()));
    }

    /// The last operation of the run whose code is, or was last, on the thread, with the line that made it:
    /// `activity charge (#3, at src/order.rs:12:9)`.
    pub fn last(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(Made::to_string)
    }

    /// Leaves an operation on this thread's trail, if it has one.
    pub(super) fn leave(made: Option<&Made>) {
        INSTALLED.with_borrow(|trail| {
            if let Some(trail) = trail {
                *trail.0.lock().unwrap_or_else(PoisonError::into_inner) = made.cloned();
            }
        });
    }
}
