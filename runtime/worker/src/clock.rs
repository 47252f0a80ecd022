//! The server's clock, as a worker knows it.

use std::time::Duration;

use highwater_protocol::Timestamp;
use tokio::time::Instant;

/// Estimates the server's time from timestamps that the server gave, and from monotonic time elapsed since.
///
/// A timestamp is read some time after the server made it, so every one tells how late it is *at least*; the latest
/// estimate wins. Estimates are forgotten after a while, so that a server's clock that was set back is followed; the
/// time told never goes back.
#[derive(Debug)]
pub(crate) struct ServerClock {
    origin: Instant,
    /// Server time minus monotonic time, in µs: the best of this window and of the one before.
    current: Option<i64>,
    before: Option<i64>,
    window: Duration,
    told: Timestamp,
}

/// How long an estimate counts.
const WINDOW: Duration = Duration::from_mins(1);

impl ServerClock {
    /// A clock that knows one server time, read at `at`.
    pub(crate) fn new(server: Timestamp, at: Instant) -> Self {
        Self {
            origin: at,
            current: Some(server.as_micros()),
            before: None,
            window: Duration::ZERO,
            told: Timestamp::ZERO,
        }
    }

    /// The server's clock showed `server` at `at` or before.
    pub(crate) fn observe(&mut self, server: Timestamp, at: Instant) {
        let elapsed = at.saturating_duration_since(self.origin);
        if elapsed >= self.window + WINDOW {
            self.before = self.current.take();
            self.window = elapsed;
        }
        let estimate = server.as_micros() - elapsed.as_micros() as i64;
        self.current = Some(self.current.map_or(estimate, |known| known.max(estimate)));
    }

    /// The server's time at `at`.
    pub(crate) fn now(&mut self, at: Instant) -> Timestamp {
        let elapsed = at.saturating_duration_since(self.origin).as_micros() as i64;
        let best = self.current.max(self.before).unwrap_or_default();
        self.told = self.told.max(Timestamp(best + elapsed));
        self.told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_timestamps_do_not_set_the_clock_back() {
        let start = Instant::now();
        let mut clock = ServerClock::new(Timestamp(1_000_000), start);
        let later = start + Duration::from_secs(1);
        clock.observe(Timestamp(1_200_000), later);
        assert_eq!(clock.now(later), Timestamp(2_000_000));
        clock.observe(Timestamp(2_500_000), later);
        assert_eq!(clock.now(later), Timestamp(2_500_000));
    }

    #[test]
    fn a_clock_set_back_is_followed_without_going_back() {
        let start = Instant::now();
        let mut clock = ServerClock::new(Timestamp(100_000_000), start);
        let mut told = clock.now(start);
        for second in 1..=300u64 {
            let at = start + Duration::from_secs(second);
            clock.observe(Timestamp(second as i64 * 1_000_000), at);
            let now = clock.now(at);
            assert!(now >= told, "went back at {second} s");
            told = now;
        }
        assert_eq!(told, Timestamp(300_000_000));
    }
}
