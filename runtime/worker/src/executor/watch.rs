//! What a thread that runs code of the user's is at.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use highwater_core::run::Trail;
use highwater_protocol::Key;

use super::{Culprit, Held};

#[derive(Debug, Default)]
pub(super) struct Watch {
    current: Mutex<Option<Current>>,
    trail: Trail,
    abandoned: AtomicBool,
}

#[derive(Debug)]
struct Current {
    /// The run and its generation; none in a call.
    run: Option<(Key, u64)>,
    since: Instant,
}

impl Watch {
    /// The present thread is the one to be watched.
    pub(super) fn install(&self) {
        self.trail.install();
    }

    /// Has the thread do this. Nothing comes of it when the thread has been abandoned meanwhile.
    ///
    /// `run` is whose job it is, with its generation; none for a call.
    pub(super) fn during<T>(&self, run: Option<(Key, u64)>, work: impl FnOnce() -> T) -> Option<T> {
        *self.lock() = Some(Current { run, since: Instant::now() });
        let done = work();
        *self.lock() = None;
        (!self.abandoned.load(Ordering::Acquire)).then_some(done)
    }

    /// Whose code has kept the thread for longer than `timeout`, if any run's has.
    pub(super) fn stuck_since(&self, timeout: Duration) -> Option<Culprit> {
        let current = self.lock();
        let Current { run, since } = current.as_ref()?;
        let ((key, generation), after) = (run.as_ref()?, since.elapsed());
        (after > timeout).then(|| self.culprit(key, *generation, after))
    }

    /// Whether code that is no run's has kept it for longer than `timeout`.
    pub(super) fn call_is_longer_than(&self, timeout: Duration) -> bool {
        self.lock().as_ref().is_some_and(|current| current.run.is_none() && current.since.elapsed() > timeout)
    }

    /// The run held the thread for so long.
    pub(super) fn culprit(&self, key: &Key, generation: u64, after: Duration) -> Culprit {
        Culprit { key: key.clone(), generation, held: Held { after, last: self.trail.last() } }
    }

    /// What the thread does counts no more.
    pub(super) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Current>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
