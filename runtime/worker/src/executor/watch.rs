//! What a thread that runs code of the user's is at.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use highwater_core::run::Trail;
use highwater_protocol::Key;

use super::{Culprit, Held};

#[derive(Debug, Default)]
pub(super) struct Watch {
    state: Mutex<State>,
    trail: Trail,
}

#[derive(Debug, Default)]
struct State {
    current: Option<Current>,
    /// What the thread does counts no more.
    abandoned: bool,
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
        self.lock().current = Some(Current { run, since: Instant::now() });
        let done = work();
        let mut state = self.lock();
        state.current = None;
        (!state.abandoned).then_some(done)
    }

    /// Abandons the thread if a run's code has kept it for longer than `timeout`, and tells whose.
    pub(super) fn abandon_if_stuck(&self, timeout: Duration) -> Option<Culprit> {
        let mut state = self.lock();
        let Current { run, since } = state.current.as_ref()?;
        let ((key, generation), after) = (run.as_ref()?, since.elapsed());
        let culprit = (after > timeout).then(|| self.culprit(key, *generation, after))?;
        state.abandoned = true;
        Some(culprit)
    }

    /// Abandons the thread if code that is no run's has kept it for longer than `timeout`, and tells whether it did.
    pub(super) fn abandon_long_call(&self, timeout: Duration) -> bool {
        let mut state = self.lock();
        let is_long = |current: &Current| current.run.is_none() && current.since.elapsed() > timeout;
        let abandons = state.current.as_ref().is_some_and(is_long);
        state.abandoned |= abandons;
        abandons
    }

    /// The run held the thread for so long.
    pub(super) fn culprit(&self, key: &Key, generation: u64, after: Duration) -> Culprit {
        Culprit { key: key.clone(), generation, held: Held { after, last: self.trail.last() } }
    }

    /// What the thread does counts no more.
    pub(super) fn abandon(&self) {
        self.lock().abandoned = true;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
