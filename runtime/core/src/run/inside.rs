//! While the user's code runs: which run it belongs to, and what it leaves behind when it waits.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use tracing::{Dispatch, dispatcher::with_default};

use super::{Shared, trail::Trail};
use crate::panic;

thread_local! {
    /// The waits of the run whose code this thread is in.
    static WAITS: RefCell<Option<Rc<Cell<usize>>>> = const { RefCell::new(None) };
}

/// Counts as a wait for another task of the same run, from when it is made until it is dropped.
///
/// What waits so has no operation that could be looked up, and without a count it could not be told from a wait for
/// something that is not of the run and that nothing ever ends.
#[derive(Debug)]
pub(crate) struct LocalWait {
    /// Absent outside of a run's code.
    waits: Option<Rc<Cell<usize>>>,
}

impl LocalWait {
    /// Begins to wait in the run whose code this thread is in.
    pub(crate) fn begin() -> Self {
        let waits = WAITS.with_borrow(Clone::clone);
        if let Some(waits) = &waits {
            waits.set(waits.get() + 1);
        }
        Self { waits }
    }
}

impl Drop for LocalWait {
    fn drop(&mut self) {
        if let Some(waits) = &self.waits {
            waits.set(waits.get() - 1);
        }
    }
}

impl Shared {
    /// Runs code of the user's that belongs to this run; a panic comes back as its text.
    ///
    /// What it tells to `tracing` stands under a span with the run's ids, and while the code only goes through its
    /// history, nobody hears it: it was told when it happened. That holds for every subscriber, as it is this thread
    /// that has none then.
    pub(super) fn run_code<T>(&self, code: impl FnOnce() -> T) -> Result<T, String> {
        Trail::leave(self.last_made.borrow().as_ref());
        let outer = WAITS.replace(Some(Rc::clone(&self.local_waits)));
        let result = panic::catch(|| {
            if self.is_replaying() { with_default(&Dispatch::none(), code) } else { self.span.in_scope(code) }
        });
        WAITS.set(outer);
        result
    }
}
