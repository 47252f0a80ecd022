//! A worker whose activity gets as far as its argument says.

use anyhow::Context;
use highwater::{ConnectOptions, Highwater};
use highwater_tests::climb::{Climber, QUEUE, TASK_ACK_WAIT};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    highwater_tests::space::show_log();
    let strength = std::env::args().nth(1).context("the height to reach is missing")?.parse()?;
    let namespace = std::env::var("HIGHWATER_NAMESPACE")?;
    let options = ConnectOptions::from_env().task_ack_wait(TASK_ACK_WAIT);
    let highwater = Highwater::open(options, &namespace).await?;
    highwater.worker().queue(QUEUE).activities(Climber { strength }).build()?.run().await?;
    Ok(())
}
