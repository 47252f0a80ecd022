//! What all handles of a memory broker share, and how somebody waits for a change.

use std::sync::{
    Mutex, MutexGuard, OnceLock, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use highwater_protocol::{Timestamp, subject::Subjects};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::{MemoryOptions, clock::Clock, state::State};
use crate::broker::{Bucket, Stream};

/// What somebody waits for a change of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Topic {
    Stream(Stream),
    Bucket(Bucket),
}

/// How many topics there are.
const TOPICS: usize = 9;

/// What a look at the state found.
pub(super) enum Look<T> {
    /// This.
    Found(T),
    /// Nothing: look again after a change, or at this instant.
    Wait(Option<Instant>),
}

/// The broker behind the handles.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) options: MemoryOptions,
    pub(super) subjects: Subjects,
    pub(super) clock: Clock,
    state: Mutex<State>,
    changed: [Notify; TOPICS],
    inboxes: AtomicU64,
    given_up: OnceLock<String>,
    giving_up: Notify,
}

impl Topic {
    fn index(self) -> usize {
        match self {
            Self::Stream(stream) => stream as usize,
            Self::Bucket(bucket) => 5 + bucket as usize,
        }
    }
}

impl Shared {
    pub(super) fn new(options: MemoryOptions) -> Self {
        let subjects = Subjects::new(&options.namespace, options.partitions);
        Self {
            clock: Clock::starting_at(options.start),
            state: Mutex::new(State::new(&subjects, &options)),
            subjects,
            options,
            changed: Default::default(),
            inboxes: AtomicU64::new(0),
            given_up: OnceLock::new(),
            giving_up: Notify::new(),
        }
    }

    /// The state, with what is due by now settled.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under the lock is a bug of this model, and the test that meets it fails anyway.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.settle(self.clock.now(), Instant::now());
        state
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn wake(&self, topic: Topic) {
        self.changed[topic.index()].notify_waiters();
    }

    pub(super) fn wake_all(&self) {
        self.changed.iter().for_each(Notify::notify_waiters);
    }

    /// Looks, and again at every change and whenever something is due, until it is found.
    pub(super) async fn wait<T>(&self, topic: Topic, mut look: impl FnMut(&mut State) -> Look<T>) -> T {
        loop {
            let changed = self.changed[topic.index()].notified();
            tokio::pin!(changed);
            // From here on no change is missed.
            changed.as_mut().enable();
            let until = match look(&mut self.lock()) {
                Look::Found(found) => return found,
                Look::Wait(until) => until,
            };
            tokio::select! {
                () = changed => {}
                () = at(until) => {}
            }
        }
    }

    pub(super) fn give_up(&self, reason: String) {
        // A second reason follows from the first, most likely.
        let _ = self.given_up.set(reason);
        self.giving_up.notify_waiters();
    }

    pub(super) fn given_up(&self) -> Option<&str> {
        self.given_up.get().map(String::as_str)
    }

    /// Whether readers and takers are to wait, whatever there is: nothing is to go on behind the back of a test that
    /// ends.
    pub(super) fn delivers_nothing(&self, state: &State) -> bool {
        state.faults.is_away() || self.given_up().is_some()
    }

    /// Panics where somebody asks who is to be told that the broker was given up.
    pub(super) fn check_hope(&self, attended: bool) {
        if let Some(reason) = self.given_up().filter(|_| attended) {
            panic!("{reason}");
        }
    }

    /// Waits until the broker is given up, and panics.
    pub(super) async fn no_hope(&self) {
        let giving_up = self.giving_up.notified();
        tokio::pin!(giving_up);
        giving_up.as_mut().enable();
        self.check_hope(true);
        giving_up.await;
        self.check_hope(true);
    }

    pub(super) fn next_inbox(&self) -> u64 {
        self.inboxes.fetch_add(1, Ordering::Relaxed)
    }
}

/// Ends at an instant; never without one.
async fn at(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}
