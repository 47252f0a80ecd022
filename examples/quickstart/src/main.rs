//! The smallest whole Highwater program: a workflow, its activities, a worker and a client in one process.
//!
//! `cargo run -p quickstart` starts a private NATS server, unless `NATS_URL` names one.

// Around workflows everything may be called; see `highwater::lints`. Of macros Clippy takes that per file only.
#![allow(clippy::disallowed_macros)]

use std::time::Duration;

use highwater::prelude::*;
use serde::{Deserialize, Serialize};

/// A worker with this allocator takes about a tenth less CPU than with the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    item: String,
    cents: u64,
}

/// What the activities need: in a real shop a database, an HTTP client.
pub struct Shop;

#[activities]
impl Shop {
    #[activity(start_to_close = "10s", retry(maximum_attempts = 5))]
    pub async fn charge(&self, context: &ActivityContext, order: Order) -> Result<String, String> {
        // The key is the same at every attempt, so the payment provider charges once.
        let key = context.idempotency_key().simple().to_string();
        println!("activity   charging {} cents, idempotency key {}…", order.cents, &key[..8]);
        Ok(format!("receipt-{}", &key[..8]))
    }

    #[activity(start_to_close = "10s")]
    pub async fn ship(&self, order: Order) -> Result<String, String> {
        println!("activity   shipping {}", order.item);
        Ok(format!("parcel with {}", order.item))
    }
}

#[derive(Default)]
pub struct OrderWorkflow {
    stage: &'static str,
}

#[workflow(name = "order")]
impl OrderWorkflow {
    #[run]
    pub async fn run(ctx: Ctx<Self>, order: Order) -> Result<String, Exit> {
        ctx.update(|state| state.stage = "charging");
        let receipt = ctx.run(Shop::charge, order.clone()).await?;

        // The timer is on the NATS server. A real order might wait for days here, through crashes and deploys.
        ctx.update(|state| state.stage = "waiting");
        ctx.sleep(Duration::from_secs(1)).await?;

        ctx.update(|state| state.stage = "shipping");
        let parcel = ctx.run(Shop::ship, order).await?;
        Ok(format!("{parcel}, paid with {receipt}"))
    }

    #[query]
    pub fn stage(&self) -> &'static str {
        self.stage
    }
}

#[allow(clippy::disallowed_methods)]
#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // Exports spans when OTEL_EXPORTER_OTLP_ENDPOINT says where to. Without it, this only sets up logging.
    let telemetry = highwater::telemetry::init("quickstart")?;
    let highwater = highwater::dev::connect().await?;

    let worker = highwater.worker().queue("quickstart").workflow(OrderWorkflow::run).activities(Shop).build()?;
    let stop = worker.stop_handle();
    let working = tokio::spawn(worker.run());

    let order = Order { item: "a lamp".into(), cents: 4_900 };
    let handle = highwater.client().start(OrderWorkflow::run, order).queue("quickstart").await?;
    println!("client     started workflow {}", handle.id());

    let mut result = std::pin::pin!(handle.result().into_future());
    let result = loop {
        tokio::select! {
            result = &mut result => break result?,
            () = tokio::time::sleep(Duration::from_millis(400)) => {
                let stage: String = handle.query("stage", &()).await?;
                println!("query      the order is {stage}");
            }
        }
    };
    println!("client     result: {result}");

    println!("history    what was recorded, and what any worker could rebuild the run from:");
    for event in handle.history().await? {
        println!("{:>10} {}", event.number, event.event);
    }
    stop.stop();
    working.await??;
    highwater.close().await?;
    telemetry.shutdown();
    println!("worker     stopped");
    Ok(())
}
