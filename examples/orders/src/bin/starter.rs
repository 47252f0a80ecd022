//! Starts orders and waits for them. Kill it and start it again with the same numbers: it finds its orders.

// The program around the workflows may do everything.
#![allow(clippy::disallowed_macros, clippy::disallowed_methods)]

use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use highwater::{
    client::{ResultError, StartError},
    prelude::*,
};
use orders::{Order, Step, order};

#[derive(Parser)]
#[command(about = "Starts orders and waits for them")]
struct Options {
    /// How many orders to start.
    #[arg(long, default_value_t = 3)]
    orders: u32,
    /// The number of the first one. A number that was used before is not started again: its result is told.
    #[arg(long, default_value_t = 1)]
    first: u32,
    /// The time between the reservation and the email, such as 10s or 5days.
    #[arg(long, env = "ORDERS_SLEEP", default_value = "10s", value_parser = humantime::parse_duration)]
    sleep: Duration,
    /// The step that is to fail, to see the compensation.
    #[arg(long, env = "ORDERS_FAIL_AT")]
    fail_at: Option<Step>,
    /// The queue of the workers.
    #[arg(long, env = "ORDERS_QUEUE", default_value = "orders")]
    queue: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let telemetry = highwater::telemetry::init("orders-starter")?;
    let client = Highwater::connect().await?.client();

    let mut started = Vec::new();
    for number in options.first..options.first + options.orders {
        let id = format!("order-{number}");
        let input = Order {
            id: id.clone(),
            item: "a lamp".into(),
            cents: 4_900,
            sleep: options.sleep,
            fail_at: options.fail_at,
        };
        // The id says what the work is, so the same order cannot be started twice.
        let handle = match client.start(order, input).id(&id).queue(&options.queue).await {
            Ok(handle) => {
                println!("{id} started");
                handle
            }
            Err(StartError::AlreadyRunning { .. } | StartError::AlreadyUsed { .. }) => {
                println!("{id} was started before");
                client.handle_of(order, &id)?
            }
            Err(error) => return Err(error).context("is NATS running, and does NATS_URL name it?"),
        };
        started.push(handle);
    }

    let mut unknown = 0;
    for handle in started {
        let id = handle.id().clone();
        match handle.result().await {
            Ok(receipt) => println!("{id} completed: {}, {}", receipt.payment, receipt.parcel),
            Err(ResultError::Failed(error)) => println!("{id} failed: {error}; what was done before is undone"),
            Err(error) if error.is_outcome() => println!("{id}: {error}"),
            Err(error) => {
                println!("{id}: {error}");
                unknown += 1;
            }
        }
    }
    telemetry.shutdown();
    if unknown > 0 {
        bail!("of {unknown} orders it is not known how they ended");
    }
    Ok(())
}
