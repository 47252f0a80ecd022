//! When a failed attempt is tried again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How failed attempts follow each other.
///
/// The delay before attempt `n + 1` is `initial_interval × backoff_coefficient^(n-1)`, at most `maximum_interval`,
/// varied by up to `jitter` in both directions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RetryPolicy {
    /// The delay before the second attempt.
    #[serde(with = "crate::wire::millis")]
    pub initial_interval: Duration,
    /// By how much each further delay grows; at least 1.
    pub backoff_coefficient: f64,
    /// The longest delay.
    #[serde(with = "crate::wire::millis")]
    pub maximum_interval: Duration,
    /// How many attempts there may be in all; 0 means no limit.
    pub maximum_attempts: u32,
    /// The part of the delay by which it varies at random, from 0 to 1.
    pub jitter: f64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            initial_interval: Duration::from_secs(1),
            backoff_coefficient: 2.0,
            maximum_interval: Duration::from_secs(100),
            maximum_attempts: 0,
            jitter: 0.1,
        }
    }
}

impl RetryPolicy {
    /// One attempt and no more.
    pub fn none() -> Self {
        Self { maximum_attempts: 1, ..Self::default() }
    }

    /// The delay after failed attempt number `attempt` (the first is 1), or `None` when that was the last one.
    /// `random` is uniform in `0.0..1.0`.
    pub fn delay_after(&self, attempt: u32, random: f64) -> Option<Duration> {
        if self.maximum_attempts != 0 && attempt >= self.maximum_attempts {
            return None;
        }
        let longest = self.maximum_interval.as_secs_f64();
        let growth =
            self.backoff_coefficient.max(1.0).powi(i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX));
        let delay = (self.initial_interval.as_secs_f64() * growth).min(longest);
        let varied = delay * (1.0 + self.jitter.clamp(0.0, 1.0) * (2.0 * random - 1.0));
        Some(Duration::try_from_secs_f64(varied.min(longest).max(0.0)).unwrap_or(self.maximum_interval))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_the_maximum_and_end() {
        let policy =
            RetryPolicy { maximum_attempts: 4, maximum_interval: Duration::from_secs(3), ..RetryPolicy::default() };
        let delays: Vec<_> = (1..=4).map(|n| policy.delay_after(n, 0.5).map(|d| d.as_secs_f64())).collect();
        assert_eq!(delays, [Some(1.0), Some(2.0), Some(3.0), None]);
    }

    #[test]
    fn jitter_stays_within_its_part() {
        let policy = RetryPolicy { jitter: 0.5, ..RetryPolicy::default() };
        assert_eq!(policy.delay_after(1, 0.0), Some(Duration::from_millis(500)));
        assert!(policy.delay_after(1, 0.999).unwrap() < Duration::from_millis(1_500));
    }

    #[test]
    fn a_huge_attempt_number_does_not_overflow() {
        assert!(RetryPolicy::default().delay_after(u32::MAX, 0.9).unwrap() <= Duration::from_secs(100));
    }
}
