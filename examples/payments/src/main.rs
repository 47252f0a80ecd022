//! Three payments: one that works, one that the customer cannot pay, and one whose merchant does not exist.
//!
//! `cargo run -p payments` starts a private NATS server, unless `NATS_URL` names one.

// The program around the workflows may do everything.
#![allow(clippy::disallowed_macros, clippy::disallowed_methods)]

use payments::{Bank, Payment, payment};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let highwater = highwater::dev::connect().await?;
    let bank = Bank::new([("ann", 10_000), ("shop", 0)]);
    let worker = highwater.worker().queue("payments").workflow(payment).activities(bank.clone()).build()?;
    let stop = worker.stop_handle();
    let working = tokio::spawn(worker.run());
    let client = highwater.client();

    let pay = |merchant: &str, cents| Payment { customer: "ann".into(), merchant: merchant.into(), cents };
    for payment_of in [pay("shop", 4_900), pay("shop", 90_000), pay("nobody", 1_000)] {
        println!("payment    {} cents to {}", payment_of.cents, payment_of.merchant);
        match client.start(payment, payment_of).queue("payments").await?.result().await {
            Ok(receipt) => println!("           done: {}, {}", receipt.withdrawal, receipt.deposit),
            Err(error) => println!("           undone: {error}"),
        }
        let [ann, shop] = ["ann", "shop"].map(|account| bank.balance(account).unwrap_or_default());
        println!("           ann has {ann} cents, the shop {shop}");
    }

    stop.stop();
    working.await??;
    highwater.close().await?;
    Ok(())
}
