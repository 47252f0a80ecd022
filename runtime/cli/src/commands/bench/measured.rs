//! What came of a row.

use serde_json::{Value, json};

use super::series::Series;

/// A line of the table: a row at one concurrency.
#[derive(Debug)]
pub(crate) struct Measured {
    /// The row, as it is called on the command line.
    pub(crate) row: &'static str,
    /// How many units of work were under way at once, where that says something.
    pub(crate) concurrency: Option<usize>,
    /// What is counted and timed, in the singular.
    pub(crate) unit: &'static str,
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
    /// How far the values of one measurement lie apart, where there are several; see [`spread`](super::series::spread).
    pub(crate) spread: Option<f64>,
}

/// How the engine stands to the pattern: what it does in the same time, and how long it takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ratio {
    pub(crate) rate: f64,
    pub(crate) p50: f64,
}

impl Measured {
    /// A row without a concurrency, which figures are added to.
    pub(crate) fn new(row: &'static str) -> Self {
        Self { row, concurrency: None, unit: "run", engine: None, pattern: None, figures: Vec::new() }
    }

    /// Adds a number.
    pub(crate) fn figure(mut self, name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        self.add(name, value, unit);
        self
    }

    /// Adds a number of which there were several.
    pub(crate) fn figure_with(mut self, name: String, value: f64, unit: &'static str, spread: Option<f64>) -> Self {
        self.figures.push(Figure { name, value, unit, spread });
        self
    }

    /// Adds a number to a row that is there.
    pub(crate) fn add(&mut self, name: impl Into<String>, value: f64, unit: &'static str) {
        self.figures.push(Figure { name: name.into(), value, unit, spread: None });
    }

    /// How the engine stands to the pattern, when both were measured.
    pub(crate) fn of_pattern(&self) -> Option<Ratio> {
        let (engine, pattern) = (self.engine.as_ref()?, self.pattern.as_ref()?);
        let p50 = |series: &Series| series.within(0.5).as_secs_f64();
        Some(Ratio { rate: engine.rate() / pattern.rate(), p50: p50(engine) / p50(pattern) })
    }

    /// All of it, for programs. What is not known is null.
    pub(crate) fn json(&self) -> Value {
        let figures = self
            .figures
            .iter()
            .map(|it| json!({ "name": it.name, "value": it.value, "unit": it.unit, "spread": it.spread }));
        json!({
            "row": self.row,
            "concurrency": self.concurrency,
            "unit": self.unit,
            "engine": self.engine.as_ref().map(Series::json),
            "pattern": self.pattern.as_ref().map(Series::json),
            "of_pattern": self.of_pattern().map(|ratio| json!({ "per_second": ratio.rate, "p50": ratio.p50 })),
            "figures": figures.collect::<Vec<_>>(),
        })
    }
}
