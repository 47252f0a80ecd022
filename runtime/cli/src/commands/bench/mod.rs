//! Measures the engine.

mod load;
mod table;
mod workflows;

use std::{sync::Arc, time::Duration};

use clap::Args;
use highwater::{Client, ConnectOptions, Highwater};
use highwater_devserver::{DevServer, Locator};
use serde_json::json;

use crate::{exit::Error, globals::Globals};
use load::{Measured, measure};
use workflows::Row;

/// Measure the engine: runs per second and how long one takes
///
/// Runs a worker and the load in this process, by default on a private NATS server with the settings of `highwater dev`.
/// With --url (or `NATS_URL`) it measures the server there, in the given namespace. Use a release build.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Rows to measure [default: all]
    #[arg(long, value_enum, value_delimiter = ',')]
    rows: Vec<Row>,
    /// How many runs are under way at once
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64])]
    concurrency: Vec<usize>,
    /// How long each row is measured, after a warm-up of a fifth of it
    #[arg(long, value_parser = humantime::parse_duration, default_value = "5s")]
    duration: Duration,
    /// Threads that run workflow code [default: one a core]
    #[arg(long)]
    threads: Option<usize>,
}

impl Bench {
    pub(crate) async fn run(self, globals: &Globals) -> Result<(), Error> {
        let private = if globals.url_given() { None } else { Some(private_server().await?) };
        let outcome = self.on_server(globals, private.as_ref()).await;
        if let Some(server) = private {
            server.stop().await.map_err(Error::failed)?;
        }
        outcome
    }

    async fn on_server(&self, globals: &Globals, private: Option<&DevServer>) -> Result<(), Error> {
        if cfg!(debug_assertions) {
            eprintln!(
                "this is a debug build: the figures say little; use `cargo run --release -p highwater-cli -- bench`"
            );
        }
        // The worker and the load each have a connection of their own, as in two processes.
        let working = open(globals, private).await?;
        let asking = open(globals, private).await?;
        let mut builder = working.worker().queue(workflows::QUEUE).activities(workflows::Nothing);
        if let Some(threads) = self.threads {
            builder = builder.workflow_threads(threads);
        }
        let worker = workflows::register(builder).build().map_err(Error::failed)?;
        let stop = worker.stop_handle();
        let worked = tokio::spawn(worker.run());
        let outcome = self.measure_all(globals, &asking.client()).await;
        stop.stop();
        worked.await.map_err(Error::failed)?.map_err(Error::failed)?;
        outcome
    }

    async fn measure_all(&self, globals: &Globals, client: &Client) -> Result<(), Error> {
        let rows = if self.rows.is_empty() { Row::ALL.to_vec() } else { self.rows.clone() };
        let mut measured: Vec<Measured> = Vec::new();
        for row in rows {
            for concurrency in &self.concurrency {
                eprintln!(
                    "measuring {row} at concurrency {concurrency} for {}",
                    humantime::format_duration(self.duration)
                );
                measured.push(measure(client, row, (*concurrency).max(1), self.duration).await?);
            }
        }
        let printer = globals.printer();
        printer.print(|| table::render(&measured), || json!(measured.iter().map(Measured::json).collect::<Vec<_>>()))
    }
}

async fn private_server() -> Result<DevServer, Error> {
    let locator = Locator::from_env().on_progress(|step| eprintln!("{step}"));
    DevServer::builder().locator(locator).start().await.map_err(Error::failed)
}

async fn open(globals: &Globals, private: Option<&DevServer>) -> Result<Highwater, Error> {
    if let Some(server) = private {
        Highwater::open(ConnectOptions::new(server.url()), "bench").await.map_err(Error::failed)
    } else {
        let connection = globals.connect().await?;
        let broker = connection.open_or_create(&globals.namespace()?).await.map_err(Error::failed)?;
        Ok(Highwater::on(Arc::new(broker)))
    }
}
