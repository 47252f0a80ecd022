//! Two sign-ups in a week of seven seconds: one that is confirmed on the second day, and one that is not.
//!
//! `cargo run -p signup` starts a private NATS server, unless `NATS_URL` names one.

// The program around the workflows may do everything.
#![allow(clippy::disallowed_macros, clippy::disallowed_methods)]

use std::time::Duration;

use signup::{Mail, Signup, SignupHandle, User};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let highwater = highwater::dev::connect().await?;
    let worker = highwater.worker().queue("signup").workflow(Signup::run).activities(Mail::default()).build()?;
    let stop = worker.stop_handle();
    let working = tokio::spawn(worker.run());
    let client = highwater.client();

    let day = Duration::from_secs(1);
    let user = |address: &str| User { address: address.into(), day };
    let ann = client.start(Signup::run, user("ann@example.org")).id("signup-ann").queue("signup").await?;
    let bob = client.start(Signup::run, user("bob@example.org")).id("signup-bob").queue("signup").await?;

    tokio::time::sleep(day * 2).await;
    println!("ann        got {} reminder and confirms", ann.reminders().await?);
    ann.confirm().await?;
    println!("ann        {:?}", ann.result().await?);
    println!("bob        {:?}", bob.result().await?);

    stop.stop();
    working.await??;
    highwater.close().await?;
    Ok(())
}
