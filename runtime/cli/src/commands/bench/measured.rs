//! What came of a row.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

use super::usage::Usage;
use crate::exit::Error;

/// The longest time that is told apart, in µs.
const LONGEST_US: u64 = 600_000_000;

/// A line of the table: a row at one concurrency.
#[derive(Debug)]
pub(crate) struct Measured {
    /// The row, as it is called on the command line.
    pub(crate) row: &'static str,
    /// How many units of work were under way at once, where that says something.
    pub(crate) concurrency: Option<usize>,
    /// What the engine did.
    pub(crate) engine: Option<Series>,
    /// What the pattern with no engine did in the same run.
    pub(crate) pattern: Option<Series>,
    /// What else there is to tell.
    pub(crate) figures: Vec<Figure>,
}

/// A number with a name, for what is not a rate of units and their times.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    /// What it is, in few words. Together with the row it is how later measurements find it again.
    pub(crate) name: String,
    pub(crate) value: f64,
    /// Of what: `ms`, `MiB`, `events/s`.
    pub(crate) unit: &'static str,
}

/// Units of work of one kind, done one after the other and beside each other.
#[derive(Debug)]
pub(crate) struct Series {
    /// How long each took, in µs.
    pub(crate) times: Histogram<u64>,
    /// How many were done in how much time, slice by slice.
    pub(crate) slices: Vec<(u64, Duration)>,
    /// What the worker used meanwhile, where that can be told.
    pub(crate) worker: Option<Usage>,
    /// What NATS used meanwhile, where that can be told.
    pub(crate) nats: Option<Usage>,
    /// What this process used meanwhile, where that can be told: the load, and with the pattern everything but NATS.
    pub(crate) load: Option<Usage>,
    /// How much longer the histories got with each, in bytes.
    pub(crate) kept: Option<f64>,
}

impl Series {
    /// Nothing yet.
    pub(crate) fn new() -> Result<Self, Error> {
        let times = Histogram::new_with_bounds(1, LONGEST_US, 3).map_err(Error::failed)?;
        Ok(Self { times, slices: Vec::new(), worker: None, nats: None, load: None, kept: None })
    }

    /// Notes how long one took.
    pub(crate) fn record(&mut self, time: Duration) {
        self.times.saturating_record(u64::try_from(time.as_micros()).unwrap_or(LONGEST_US));
    }

    /// How many were done.
    pub(crate) fn count(&self) -> u64 {
        self.slices.iter().map(|(count, _)| count).sum()
    }

    /// How long it took in all.
    pub(crate) fn elapsed(&self) -> Duration {
        self.slices.iter().map(|(_, elapsed)| *elapsed).sum()
    }

    /// How many were done in a second.
    pub(crate) fn rate(&self) -> f64 {
        self.count() as f64 / self.elapsed().as_secs_f64()
    }

    /// The time within which this part of them was done.
    pub(crate) fn within(&self, quantile: f64) -> Duration {
        Duration::from_micros(self.times.value_at_quantile(quantile))
    }

    /// CPU seconds for a thousand of them.
    pub(crate) fn cpu_per_thousand(&self, used: Option<Usage>) -> Option<f64> {
        Some(used?.cpu.as_secs_f64() * 1_000.0 / self.count() as f64)
    }

    fn json(&self) -> Value {
        let us = |quantile| self.times.value_at_quantile(quantile);
        json!({
            "count": self.count(),
            "seconds": self.elapsed().as_secs_f64(),
            "per_second": self.rate(),
            "p50_us": us(0.5),
            "p99_us": us(0.99),
            "p99_9_us": us(0.999),
            "max_us": self.times.max(),
            "worker_cpu_seconds_per_1000": self.cpu_per_thousand(self.worker),
            "nats_cpu_seconds_per_1000": self.cpu_per_thousand(self.nats),
        })
    }
}

impl Measured {
    /// A row without a concurrency, which figures are added to.
    pub(crate) fn new(row: &'static str) -> Self {
        Self { row, concurrency: None, engine: None, pattern: None, figures: Vec::new() }
    }

    /// Adds a number.
    pub(crate) fn figure(mut self, name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        self.figures.push(Figure { name: name.into(), value, unit });
        self
    }

    /// All of it, for programs.
    pub(crate) fn json(&self) -> Value {
        let mut whole = Map::new();
        whole.insert("row".into(), json!(self.row));
        whole.insert("concurrency".into(), json!(self.concurrency));
        whole.insert("engine".into(), json!(self.engine.as_ref().map(Series::json)));
        let figures = self.figures.iter().map(|it| json!({ "name": it.name, "value": it.value, "unit": it.unit }));
        whole.insert("figures".into(), figures.collect());
        Value::Object(whole)
    }
}
