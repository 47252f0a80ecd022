//! Whether the engine's thread is at code of the user's, and for how long.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

/// How long the code between two turns may keep the thread before another one takes the engine's turns.
const HOLD_MAX: Duration = Duration::from_millis(20);
/// How often is looked.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// After so many looks that found the thread without work, the next ones wait for work to begin.
const IDLE_LOOKS: u32 = 30;

#[derive(Debug)]
pub(super) struct Busy {
    base: Instant,
    /// Nanoseconds after `base`; 0 when the thread is not at code.
    since: AtomicU64,
    /// Whoever looks waits for work to begin.
    asleep: AtomicBool,
    looker: OnceLock<Thread>,
}

impl Busy {
    pub(super) fn new() -> Self {
        Self { base: Instant::now(), since: AtomicU64::new(0), asleep: AtomicBool::new(false), looker: OnceLock::new() }
    }

    /// The thread begins with code.
    pub(super) fn begin(&self) {
        // Ordered against `asleep`: either this sees that the looker sleeps, or that one sees the work.
        self.since.store(self.now() | 1, Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst) {
            self.wake();
        }
    }

    /// It is done.
    pub(super) fn end(&self) {
        self.since.store(0, Ordering::Release);
    }

    /// The present thread is the one that looks.
    pub(super) fn look_here(&self) {
        let _ = self.looker.set(thread::current());
    }

    /// Has the looker look at once.
    pub(super) fn wake(&self) {
        if let Some(looker) = self.looker.get() {
            looker.unpark();
        }
    }

    /// Whether code keeps the thread.
    pub(super) fn is_long(&self) -> bool {
        let since = self.since.load(Ordering::SeqCst);
        since != 0 && self.now().saturating_sub(since) > HOLD_MAX.as_nanos() as u64
    }

    /// Waits until code keeps the thread; `false` when there is nothing to wait for any more.
    pub(super) fn wait_until_long(&self, has_ended: impl Fn() -> bool) -> bool {
        let mut idle = 0;
        loop {
            if has_ended() {
                return false;
            }
            if self.is_long() {
                return true;
            }
            idle = if self.since.load(Ordering::SeqCst) == 0 { idle + 1 } else { 0 };
            if idle < IDLE_LOOKS {
                thread::park_timeout(LOOK_EVERY);
                continue;
            }
            self.asleep.store(true, Ordering::SeqCst);
            if self.since.load(Ordering::SeqCst) == 0 && !has_ended() {
                thread::park();
            }
            self.asleep.store(false, Ordering::SeqCst);
            idle = 0;
        }
    }

    fn now(&self) -> u64 {
        self.base.elapsed().as_nanos() as u64
    }
}
