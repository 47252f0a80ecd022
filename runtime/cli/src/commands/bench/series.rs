//! Units of work of one kind, and how long they took.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::usage::Usage;
use crate::exit::Error;

/// The longest time that is told apart, in µs.
const LONGEST_US: u64 = 600_000_000;

/// Units of work of one kind, done one after the other and beside each other.
#[derive(Debug)]
pub(crate) struct Series {
    /// How long each took, in µs.
    pub(crate) times: Histogram<u64>,
    /// What was done slice by slice.
    pub(crate) slices: Vec<SliceOf>,
    /// What the worker used meanwhile, where that can be told.
    pub(crate) worker: Option<Usage>,
    /// What NATS used meanwhile, where that can be told.
    pub(crate) nats: Option<Usage>,
    /// What this process used meanwhile, where that can be told: the load, and with the pattern everything but NATS.
    pub(crate) load: Option<Usage>,
    /// How much longer the histories got with each, in bytes.
    pub(crate) kept: Option<f64>,
}

/// A part of a series.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SliceOf {
    pub(crate) count: u64,
    /// How many were done, with the parts of those that were under way at its edges.
    pub(crate) work: f64,
    pub(crate) elapsed: Duration,
    /// The times within which half, 99 % and 99.9 % of them were done, in seconds.
    within: [f64; 3],
    /// CPU seconds of the worker and of NATS for each.
    cpu: [Option<f64>; 2],
}

/// The parts of the units whose times are told.
const PARTS: [f64; 3] = [0.5, 0.99, 0.999];

impl SliceOf {
    /// A slice: how long each unit took that ended in this time, how many were done in it, and what CPU time of the
    /// worker and of NATS that took.
    pub(crate) fn new(times: &[Duration], work: f64, elapsed: Duration, cpu: [Option<Duration>; 2]) -> Self {
        let mut seconds: Vec<f64> = times.iter().map(Duration::as_secs_f64).collect();
        seconds.sort_by(f64::total_cmp);
        let within = PARTS.map(|part| rank(&seconds, part).unwrap_or_default());
        let cpu = cpu.map(|cpu| cpu.filter(|_| work > 0.0).map(|cpu| cpu.as_secs_f64() / work));
        Self { count: times.len() as u64, work, elapsed, within, cpu }
    }

    fn rate(&self) -> f64 {
        self.work / self.elapsed.as_secs_f64()
    }
}

/// The one within which this part of all lie, of values in order.
pub(crate) fn rank(sorted: &[f64], part: f64) -> Option<f64> {
    let at = (sorted.len() as f64 * part).ceil() as usize;
    sorted.get(at.saturating_sub(1)).or(sorted.last()).copied()
}

impl Series {
    /// Nothing yet.
    pub(crate) fn new() -> Result<Self, Error> {
        let times = Histogram::new_with_bounds(1, LONGEST_US, 3).map_err(Error::failed)?;
        Ok(Self { times, slices: Vec::new(), worker: None, nats: None, load: None, kept: None })
    }

    /// Adds a slice, in which units took these times.
    pub(crate) fn add(&mut self, times: &[Duration], slice: SliceOf) {
        for time in times {
            self.times.saturating_record(u64::try_from(time.as_micros()).unwrap_or(LONGEST_US));
        }
        self.slices.push(slice);
    }

    /// How many ended.
    pub(crate) fn count(&self) -> u64 {
        self.slices.iter().map(|slice| slice.count).sum()
    }

    fn work(&self) -> f64 {
        self.slices.iter().map(|slice| slice.work).sum()
    }

    /// How long it took in all.
    pub(crate) fn elapsed(&self) -> Duration {
        self.slices.iter().map(|slice| slice.elapsed).sum()
    }

    /// How many were done in a second.
    pub(crate) fn rate(&self) -> f64 {
        self.work() / self.elapsed().as_secs_f64()
    }

    /// The time within which this part of them was done.
    pub(crate) fn within(&self, quantile: f64) -> Duration {
        Duration::from_micros(self.times.value_at_quantile(quantile))
    }

    /// How far the slices' rates lie apart; see [`spread`].
    pub(crate) fn rate_spread(&self) -> Option<f64> {
        spread(self.slices.iter().map(SliceOf::rate).collect())
    }

    /// How far the slices' times lie apart within which the parts of [`PARTS`] were done; see [`spread`].
    fn times_spread(&self, part: usize) -> Option<f64> {
        spread(self.slices.iter().map(|slice| slice.within[part]).collect())
    }

    /// How far the slices' CPU times lie apart, of the worker or of NATS; see [`spread`].
    fn cpu_spread(&self, of: usize) -> Option<f64> {
        spread(self.slices.iter().map(|slice| slice.cpu[of]).collect::<Option<_>>()?)
    }

    /// CPU seconds for a thousand of them.
    pub(crate) fn cpu_per_thousand(&self, used: Option<Usage>) -> Option<f64> {
        self.each(used?.cpu.as_secs_f64()).map(|cpu| cpu * 1_000.0)
    }

    /// Bytes that NATS had the system write, for each.
    pub(crate) fn written(&self) -> Option<f64> {
        self.each(self.nats?.written? as f64)
    }

    fn each(&self, sum: f64) -> Option<f64> {
        (self.work() > 0.0).then(|| sum / self.work())
    }

    /// All of it, for programs. What is not known is null.
    pub(crate) fn json(&self) -> Value {
        let us = |quantile| self.times.value_at_quantile(quantile);
        json!({
            "count": self.count(),
            "seconds": self.elapsed().as_secs_f64(),
            "per_second": self.rate(),
            "per_second_spread": self.rate_spread(),
            "per_second_of_slices": self.slices.iter().map(SliceOf::rate).collect::<Vec<_>>(),
            "p50_us": us(PARTS[0]),
            "p50_spread": self.times_spread(0),
            "p99_us": us(PARTS[1]),
            "p99_spread": self.times_spread(1),
            "p99_9_us": us(PARTS[2]),
            "p99_9_spread": self.times_spread(2),
            "max_us": self.times.max(),
            "worker_cpu_seconds_per_1000": self.cpu_per_thousand(self.worker),
            "worker_cpu_spread": self.cpu_spread(0),
            "nats_cpu_seconds_per_1000": self.cpu_per_thousand(self.nats),
            "nats_cpu_spread": self.cpu_spread(1),
            "load_cpu_seconds_per_1000": self.cpu_per_thousand(self.load),
            "bytes_written_each": self.written(),
            "bytes_kept_each": self.kept,
            "worker_rss_bytes": self.worker.map(|used| used.rss),
            "nats_rss_bytes": self.nats.map(|used| used.rss),
        })
    }
}

/// Half of what lies between the smallest and the largest, as a part of what lies in the middle. One value alone tells
/// nothing about that.
pub(crate) fn spread(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = *values.get(values.len() / 2)?;
    let range = values.last()? - values.first()?;
    (values.len() > 1 && middle > 0.0).then_some(range / 2.0 / middle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_counts_its_slices_together() {
        let mut series = Series::new().unwrap();
        let ms = Duration::from_millis;
        let mut add = |times: &[Duration], work, cpu| {
            series.add(times, SliceOf::new(times, work, ms(500), [Some(cpu), None]));
        };
        add(&[ms(1), ms(3), ms(2)], 3.0, ms(6));
        add(&[ms(4)], 1.5, ms(6));
        assert_eq!((series.count(), series.elapsed()), (4, ms(1_000)));
        assert_eq!(series.slices[0].within.map(|seconds| (seconds * 1e3) as u64), [2, 3, 3]);
        // Two and four milliseconds, for each.
        assert!((series.cpu_spread(0).unwrap() - 1.0 / 4.0).abs() < 1e-9 && series.cpu_spread(1).is_none());
        // Of one the half was done when the time was over.
        assert!((series.rate() - 4.5).abs() < 1e-9);
        assert_eq!(series.times.max() / 1_000, 4);
        // Six a second and three a second.
        assert!((series.rate_spread().unwrap() - 1.5 / 6.0).abs() < 1e-9);
    }

    #[test]
    fn what_is_not_known_is_not_zero() {
        let mut series = Series::new().unwrap();
        let times = [Duration::from_millis(1)];
        series.add(&times, SliceOf::new(&times, 1.0, Duration::from_secs(1), [None; 2]));
        let json = series.json();
        for name in ["worker_cpu_seconds_per_1000", "bytes_written_each", "bytes_kept_each", "per_second_spread"] {
            assert_eq!(json.get(name), Some(&Value::Null), "{name}");
        }
    }
}
