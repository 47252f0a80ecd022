//! What can be measured: one file a row, or a few that are alike. A new one is a file, a `mod` and a line in [`ALL`].

mod activities;
mod cached;
mod child;
mod full_stream;
mod growing;
mod listener;
mod many;
mod neighbour;
mod no_op;
mod open_loop;
mod ordinary;
mod payload;
mod replay;
mod resume;
mod run;
mod sleeping;
mod steps;
mod takeover;
mod timers;
mod wear;

use std::fmt;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use highwater::WorkerBuilder;
use highwater_broker::BoxFuture;

use super::{measured::Measured, stage::Stage};
use crate::exit::Error;

/// The queue of the workers.
pub(crate) const QUEUE: &str = "bench";

/// All rows, in the order in which they are measured.
pub(super) const ALL: &[&dyn Row] = &[
    &no_op::NoOp,
    &steps::Steps,
    &activities::Activities,
    &activities::Parallel,
    &listener::Talk::Signal,
    &listener::Talk::Query,
    &listener::Talk::Update,
    &child::Child,
    &no_op::StartOnly,
    &payload::SIZES[0],
    &payload::SIZES[1],
    &open_loop::OpenLoop,
    &timers::Timers::CACHED,
    &timers::Timers::EVICTED,
    &replay::Replay,
    &resume::ColdResume,
    &takeover::Takeover,
    &cached::Cached,
    &neighbour::NoisyNeighbour,
    &wear::Wear,
    &full_stream::FullStream,
    &sleeping::Sleeping,
];

/// Something that can be measured.
pub(crate) trait Row: fmt::Debug + Sync {
    /// What it is called on the command line and in the table.
    fn name(&self) -> &'static str;

    /// What is measured, for the help.
    fn about(&self) -> &'static str;

    /// What is counted and timed, in the singular.
    fn unit(&self) -> &'static str {
        "run"
    }

    /// What one of the operations is called that a run does one after the other, and how many there are.
    fn operations(&self) -> Option<(&'static str, u32)> {
        None
    }

    /// Adds its workflows and activities to a worker. Each is added by one row only; most have some of their own.
    fn register(&self, worker: WorkerBuilder) -> WorkerBuilder {
        worker
    }

    /// Measures it: one line for each concurrency, or one in all.
    fn measure<'a>(&'a self, stage: &'a Stage) -> BoxFuture<'a, Result<Vec<Measured>, Error>>;
}

/// Adds the workflows and activities of all rows to a worker.
pub(super) fn register(worker: WorkerBuilder) -> WorkerBuilder {
    ALL.iter().fold(worker, |worker, row| row.register(worker))
}

/// Reads the name of a row.
pub(super) fn parser() -> impl TypedValueParser<Value = &'static dyn Row> {
    let names = ALL.iter().map(|row| PossibleValue::new(row.name()).help(row.about()));
    PossibleValuesParser::new(names).try_map(|name| {
        ALL.iter().copied().find(|row| row.name() == name).ok_or_else(|| format!("there is no row {name}"))
    })
}
