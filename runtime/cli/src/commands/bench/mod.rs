//! Measures the engine.
//!
//! A *row* is a file in [`rows`]. It gets a [`Stage`](stage::Stage), which has a server, a namespace, and worker processes
//! to start and to kill, and returns what it [`Measured`](measured::Measured).

#![allow(dead_code, reason = "rows that are about to come use the rest")]

mod load;
mod measured;
mod place;
mod rows;
mod settings;
mod sizes;
mod stage;
mod table;
mod usage;
mod worker_process;
mod worker_program;

use clap::Args;
use serde_json::json;

use crate::{exit::Error, globals::Globals};
use measured::Measured;
use place::Place;
use rows::Row;
use settings::Load;

pub(crate) use worker_program::BenchWorker;

/// Measure the engine: runs per second and how long one takes
///
/// The worker runs in a process of its own and the load in this one, by default on a private NATS server with the
/// settings of `highwater dev`. With --url (or `NATS_URL`) it measures the server there, in the given namespace. Use a
/// release build.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Rows to measure [default: all]
    #[arg(long, value_parser = rows::parser(), value_delimiter = ',', value_name = "ROW")]
    rows: Vec<&'static dyn Row>,
    #[command(flatten)]
    load: Load,
}

impl Bench {
    pub(crate) async fn run(self, globals: &Globals) -> Result<(), Error> {
        if cfg!(debug_assertions) {
            eprintln!(
                "this is a debug build: the figures say little; use `cargo run --release -p highwater-cli -- bench`"
            );
        }
        let place = Place::open(globals).await?;
        let outcome = self.measure(&place).await;
        let closed = place.close().await;
        let measured = outcome?;
        closed?;
        globals
            .printer()
            .print(|| table::render(&measured), || json!(measured.iter().map(Measured::json).collect::<Vec<_>>()))
    }

    async fn measure(&self, place: &Place) -> Result<Vec<Measured>, Error> {
        let rows = if self.rows.is_empty() { rows::ALL } else { &self.rows[..] };
        let mut load = self.load.clone();
        load.sizes.named = !self.rows.is_empty();
        let mut measured = Vec::new();
        for row in rows {
            let stage = place.stage(row.name(), &load).await?;
            let outcome = row.measure(&stage).await;
            stage.close().await;
            measured.extend(outcome?);
        }
        Ok(measured)
    }
}
