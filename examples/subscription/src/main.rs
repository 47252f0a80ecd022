//! Fifteen months of a tenth of a second each, a new price on the way, and the end of it.
//!
//! `cargo run -p subscription` starts a private NATS server, unless `NATS_URL` names one.

// The program around the workflows may do everything.
#![allow(clippy::disallowed_macros, clippy::disallowed_methods)]

use std::time::Duration;

use subscription::{Billing, Subscription, SubscriptionHandle, Terms};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let highwater = highwater::dev::connect().await?;
    let billing = Billing::default();
    let worker =
        highwater.worker().queue("subscription").workflow(Subscription::run).activities(billing.clone()).build()?;
    let stop = worker.stop_handle();
    let working = tokio::spawn(worker.run());
    let client = highwater.client();

    let month = Duration::from_millis(100);
    let terms = Terms { customer: "ann".into(), cents: 900, month, paid: 0, next: None };
    let ann = client.start(Subscription::run, terms).id("subscription-ann").queue("subscription").await?;

    tokio::time::sleep(month * 6).await;
    println!("price      was {} cents, and is 1,000 from the next month on", ann.change_price(1_000).await?);
    if let Err(error) = ann.change_price(0).await {
        println!("price      {error}");
    }
    while ann.paid().await? < 15 {
        tokio::time::sleep(month).await;
    }
    ann.unsubscribe().await?;
    let ended = ann.result().await?;
    println!("result     {ended:?}");
    println!("history    of the run that was the last: {} events", ann.history().await?.len());

    stop.stop();
    working.await??;
    highwater.close().await?;
    Ok(())
}
