//! Heartbeats, and who hears the last one.

use anyhow::Result;
use highwater::{ConnectOptions, Highwater};
use highwater_broker::{Broker, Bucket};
use highwater_protocol::{task::ActivityState, wire};
use highwater_tests::{
    climb::{TASK_ACK_WAIT, expedition},
    deadline::{until, within},
    process::Process,
    space::Running,
};

use crate::SERVER;

const CLIMBER: &str = env!("CARGO_BIN_EXE_climber");

/// The heights that were reported so far.
async fn reported(highwater: &Highwater) -> Vec<u32> {
    let entries = highwater.broker().kv_list(Bucket::Activities).await.expect("the bucket can be read");
    let states = entries.iter().filter_map(|(_, entry)| wire::decode::<ActivityState>(&entry.value).ok());
    states.filter_map(|state| state.heartbeat?.decode().ok()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeat_details_survive_a_killed_worker() -> Result<()> {
    let options = ConnectOptions::new(SERVER.url()).task_ack_wait(TASK_ACK_WAIT);
    let highwater = Highwater::open(options, "climb").await?;
    let worker = Running::spawn(highwater.worker().workflow(expedition).build()?);
    let run = highwater.client().start(expedition, ()).await?;
    let climber = Process::spawn(CLIMBER, &["3"], &SERVER, "climb");
    until("the third height is reported", async || reported(&highwater).await, |heights| heights == &[3]).await;
    climber.kill().await;
    let _next = Process::spawn(CLIMBER, &["10"], &SERVER, "climb");
    let (began_at, attempt) = within("the result", run.result()).await?;
    assert_eq!((began_at, attempt), (3, 2), "the second attempt goes on where the first one was");
    worker.stop().await;
    Ok(())
}
