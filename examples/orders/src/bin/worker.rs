//! A worker: runs orders and their activities until Ctrl-C. Start as many as you like, and kill them as you like.

// The program around the workflows may do everything.
#![allow(clippy::disallowed_macros, clippy::disallowed_methods)]

use std::time::Duration;

use clap::Parser;
use highwater::prelude::*;
use orders::{Ledger, Shop, order};

/// A worker with this allocator takes about a tenth less CPU than with the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(about = "Runs orders and their activities until Ctrl-C")]
struct Options {
    /// The queue to serve.
    #[arg(long, env = "ORDERS_QUEUE", default_value = "orders")]
    queue: String,
    /// How long each activity takes, such as 500ms or 5s.
    #[arg(long, env = "ORDERS_WORK", default_value = "500ms", value_parser = humantime::parse_duration)]
    work: Duration,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    // Spans of every activity go where OTEL_EXPORTER_OTLP_ENDPOINT says. Without it, this only sets up logging.
    let telemetry = highwater::telemetry::init("orders-worker")?;

    let highwater = Highwater::connect().await?;
    let shop = Shop { ledger: Ledger::from_env(), work: options.work };
    println!("worker {} serves queue {}, ledger {}", std::process::id(), options.queue, shop.ledger.path().display());

    let worker = highwater.worker().queue(&options.queue).workflow(order).activities(shop).build()?;
    worker
        .run_until(async {
            // Without a way to hear of Ctrl-C the worker just runs on.
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
            println!("worker {} finishes what it is at and hands the rest over", std::process::id());
        })
        .await?;
    telemetry.shutdown();
    Ok(())
}
