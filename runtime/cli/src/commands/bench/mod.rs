//! Measures the engine.
//!
//! A *row* is a file in [`rows`]. It gets a [`Stage`](stage::Stage), which has a server, a namespace, and worker
//! processes to start and to kill, and returns what it [`Measured`].

mod beyond;
mod compare;
mod load;
mod machine;
mod measured;
mod nats;
mod offered;
mod pattern;
mod place;
mod report;
mod rows;
mod series;
mod settings;
mod sizes;
mod stage;
mod table;
mod usage;
mod worker_process;
mod worker_program;

use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use crate::{exit::Error, globals::Globals, output::clean_lines};
use measured::Measured;
use place::Place;
use report::Frame;
use rows::Row;
use settings::{Load, Nature};

pub(crate) use worker_program::BenchWorker;

/// Measure the engine, and beside it what NATS can do without one
///
/// The worker runs in a process of its own and the load in this one, by default on a private NATS server with the
/// settings of `highwater dev`. With --url (or `NATS_URL`) it measures the server there, in namespaces of its own that
/// have the settings of the given one, if that exists, and are removed afterwards. Use a release build, and a machine
/// that does nothing else.
#[derive(Debug, Args)]
#[command(after_long_help = table::EXPLAINED)]
pub(crate) struct Bench {
    /// Rows to measure [default: all]
    #[arg(long, value_parser = rows::parser(), value_delimiter = ',', value_name = "ROW")]
    rows: Vec<&'static dyn Row>,
    #[command(flatten)]
    load: Load,
    #[command(flatten)]
    nature: Nature,
    /// Show how this stands to an earlier measurement: what -o json has printed
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
}

impl Bench {
    pub(crate) async fn run(self, globals: &Globals) -> Result<(), Error> {
        // What cannot be compared is told before an hour is spent.
        let before = self.compare.as_deref().map(compare::read).transpose()?;
        if cfg!(debug_assertions) {
            eprintln!(
                "this is a debug build: the figures say little; use `cargo run --release -p highwater-cli -- bench`"
            );
        }
        let place = Place::open(globals, self.nature).await?;
        let outcome = self.measure(&place).await;
        let closed = place.close().await;
        let (frame, outcome) = outcome?;
        print(globals, &frame, &outcome, before.as_ref())?;
        closed?;
        match outcome.failed.len() {
            0 => Ok(()),
            rows => Err(Error::failed(format_args!("{rows} of the rows could not be measured"))),
        }
    }

    /// Measures one row after the other. What one cannot measure takes nothing from the others.
    async fn measure(&self, place: &Place) -> Result<(Frame, Outcome), Error> {
        let rows = if self.rows.is_empty() { rows::ALL } else { &self.rows[..] };
        let mut load = self.load.clone();
        load.sizes.named = !self.rows.is_empty();
        let frame = Frame::new(place, &load).await?;
        let mut outcome = Outcome::default();
        for row in rows {
            match measure_row(*row, place, &load).await {
                Ok(measured) => outcome.measured.extend(measured),
                Err(error) => {
                    eprintln!("{} cannot be measured: {}", row.name(), clean_lines(&error.message));
                    outcome.failed.push((row.name(), error.message));
                }
            }
        }
        beyond::add(rows, &mut outcome.measured);
        Ok((frame, outcome))
    }
}

async fn measure_row(row: &dyn Row, place: &Place, load: &Load) -> Result<Vec<Measured>, Error> {
    let stage = place.stage(row.name(), load).await?;
    let measured = row.measure(&stage).await;
    if let Err(error) = stage.close().await {
        let reason = clean_lines(&error.message);
        eprintln!("streams of {}, whose names begin with HW_bench-s-, are left on the server: {reason}", row.name());
    }
    measured
}

/// What came of all rows.
#[derive(Debug, Default)]
struct Outcome {
    measured: Vec<Measured>,
    /// Those that could not be measured, with the reason.
    failed: Vec<(&'static str, String)>,
}

/// Prints what was measured, and how it stands to what was measured before.
fn print(globals: &Globals, frame: &Frame, outcome: &Outcome, before: Option<&Value>) -> Result<(), Error> {
    let mut report = frame.with(outcome);
    let compared = before.map(|before| {
        for difference in compare::differences(before, &report) {
            eprintln!("not measured alike: {difference}");
        }
        compare::compare(before, &report)
    });
    if let Some(compared) = &compared {
        report["compared"] = compare::json(compared);
    }
    let text = || {
        let tables = [Some(table::render(&outcome.measured)), compared.as_deref().map(compare::render)];
        tables.into_iter().flatten().collect::<Vec<_>>().join("\n\n")
    };
    globals.printer().print(text, || report.clone())
}
