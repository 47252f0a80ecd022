//! Points in time as the server tells them.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// Microseconds since the Unix epoch, by the clock of the NATS server.
///
/// Highwater never uses a worker's wall clock: a timestamp comes from a message's server timestamp, or from such
/// a timestamp plus monotonic time elapsed since.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The Unix epoch; also stands for "not known".
    pub const ZERO: Self = Self(0);

    /// A timestamp from nanoseconds since the epoch, as NATS reports them.
    pub fn from_nanos(nanos: i64) -> Self {
        Self(nanos.div_euclid(1_000))
    }

    /// A timestamp from milliseconds since the epoch.
    pub fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// Whole milliseconds since the epoch, rounded down.
    pub fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// Microseconds since the epoch.
    pub fn as_micros(self) -> i64 {
        self.0
    }

    /// This instant plus `duration`, at most the end of time.
    pub fn after(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(micros))
    }

    /// Time from `earlier` to this instant; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The instant as RFC 3339 in UTC with milliseconds, rounded up so that a schedule made from it is never early.
    /// Instants beyond what a calendar can say become the last one it can.
    pub fn to_rfc3339(self) -> String {
        let millis = self.0.div_euclid(1_000) + i64::from(self.0.rem_euclid(1_000) > 0);
        let last = if millis < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
        let instant = jiff::Timestamp::from_millisecond(millis).unwrap_or(last);
        format!("{instant:.3}")
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_matches_known_instants() {
        assert_eq!(Timestamp::ZERO.to_rfc3339(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp::from_millis(951_782_400_000).to_rfc3339(), "2000-02-29T00:00:00.000Z");
        assert_eq!(Timestamp::from_millis(1_795_392_478_123).to_rfc3339(), "2026-11-23T00:07:58.123Z");
    }

    #[test]
    fn a_schedule_is_rounded_up_so_that_it_is_never_early() {
        assert_eq!(Timestamp(1).to_rfc3339(), "1970-01-01T00:00:00.001Z");
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Timestamp(i64::MAX).after(Duration::MAX), Timestamp(i64::MAX));
        assert_eq!(Timestamp(5).since(Timestamp(9)), Duration::ZERO);
    }
}
