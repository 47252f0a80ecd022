//! Heartbeats, and the activity's way to its worker.

use std::{
    convert::Infallible,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use highwater_core::activity::{ActivityPort, BoxFuture};
use highwater_protocol::Payload;
use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::state::StateEntry;

/// Details are written at most this often, or more often when the heartbeat timeout is short.
const WRITE_INTERVAL: Duration = Duration::from_secs(1);
/// Details are written at least this many times within the heartbeat timeout.
const WRITES_PER_TIMEOUT: u32 = 3;

/// What an activity's context talks to.
#[derive(Debug)]
pub(super) struct Port {
    beats: Mutex<Beats>,
    beaten: Notify,
    cancel: CancellationToken,
    details_max: usize,
}

#[derive(Debug)]
struct Beats {
    last: Instant,
    /// The latest details, and which they are.
    details: Option<Payload>,
    count: u64,
    /// The latest that were written.
    written: u64,
}

impl Port {
    /// Details may have up to `details_max` bytes.
    pub(super) fn new(cancel: CancellationToken, details_max: usize) -> Self {
        let beats = Beats { last: Instant::now(), details: None, count: 0, written: 0 };
        Self { beats: Mutex::new(beats), beaten: Notify::new(), cancel, details_max }
    }

    fn beats(&self) -> MutexGuard<'_, Beats> {
        self.beats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The run has asked for cancellation.
    pub(super) fn cancel(&self) {
        self.cancel.cancel();
    }

    /// Details that are not written yet.
    pub(super) fn unwritten(&self) -> Option<(u64, Payload)> {
        let beats = self.beats();
        let details = beats.details.clone().filter(|_| beats.count > beats.written)?;
        Some((beats.count, details))
    }

    /// Waits until there was no heartbeat for `timeout`.
    pub(super) async fn silence(&self, timeout: Duration) {
        loop {
            let due = self.beats().last + timeout;
            if Instant::now() >= due {
                return;
            }
            sleep_until(due).await;
        }
    }

    /// Writes details to the activity's entry as they come: the first at once, later ones in intervals.
    pub(super) async fn write_beats(&self, entry: &StateEntry, timeout: Option<Duration>) -> Infallible {
        let interval = timeout.map_or(WRITE_INTERVAL, |timeout| (timeout / WRITES_PER_TIMEOUT).min(WRITE_INTERVAL));
        let mut written = None;
        loop {
            self.beaten.notified().await;
            let Some((count, details)) = self.unwritten() else { continue };
            if written.as_ref() == Some(&details) {
                self.beats().written = count;
                continue;
            }
            let value = details.clone();
            match entry.update(move |state| state.heartbeat = Some(value.clone())).await {
                Ok(state) => {
                    self.beats().written = count;
                    written = Some(details);
                    if state.cancel_requested {
                        self.cancel();
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "cannot write heartbeat details");
                    self.beaten.notify_one();
                }
            }
            sleep(interval).await;
        }
    }
}

impl ActivityPort for Port {
    fn heartbeat(&self, details: Payload) {
        let mut beats = self.beats();
        beats.last = Instant::now();
        let size = details.data.len();
        if size > self.details_max {
            drop(beats);
            let max = self.details_max;
            tracing::error!(size, max, "heartbeat details are too large; the heartbeat counts without them");
            return;
        }
        beats.details = Some(details);
        beats.count += 1;
        drop(beats);
        self.beaten.notify_one();
    }

    fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    fn cancelled(&self) -> BoxFuture<'static, ()> {
        Box::pin(self.cancel.clone().cancelled_owned())
    }
}
