//! The broker's clock.

use highwater_protocol::Timestamp;
use tokio::time::Instant;

/// Server time, counted from a first instant by tokio's clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    origin: Instant,
    start: Timestamp,
}

impl Clock {
    pub(super) fn starting_at(start: Timestamp) -> Self {
        Self { origin: Instant::now(), start }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.start.after(self.origin.elapsed())
    }

    /// When the clock will show `at`; nothing when that is further away than instants reach.
    pub(super) fn instant(&self, at: Timestamp) -> Option<Instant> {
        self.origin.checked_add(at.since(self.start))
    }
}
