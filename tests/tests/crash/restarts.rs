//! Timers outlive workers and servers.

use std::time::Duration;

use highwater::WorkflowHandle;
use highwater_broker::Broker;
use highwater_protocol::Timestamp;
use highwater_tests::crash::{PATIENCE, QUEUE, World, eventually, schedule_of, workflows::naps};

use crate::world;

const SHORT: Duration = Duration::from_secs(3);
const LONG: Duration = Duration::from_hours(5 * 24);
/// How late a timer may be.
const LATE_MAX: Duration = Duration::from_secs(1);

async fn start(world: &World, id: &str, sleep: Duration) -> WorkflowHandle<naps> {
    world.client().start(naps, sleep).id(id).queue(QUEUE).await.expect("it starts")
}

/// When the sleep of a run is over, as its history says.
async fn due(handle: &WorkflowHandle<naps>) -> Timestamp {
    eventually("the timer is on record", async || Some(handle.describe().await.ok()?.pending_timers.first()?.fire_at))
        .await
}

/// The schedule that the server holds for the only timer of a run.
async fn armed(world: &World, handle: &WorkflowHandle<naps>) -> String {
    let timer = handle.describe().await.expect("it can be described").pending_timers[0].op;
    let run = handle.run_id().expect("the handle is of a start");
    eventually("the timer is armed", async || schedule_of(&world.highwater, handle.id(), run, timer).await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn sleeps_of_seconds_and_of_days_survive_restarts_of_worker_and_server() {
    let mut world = world().await;
    let mut worker = world.worker();
    let long = start(&world, "long", LONG).await;
    let long_due = due(&long).await;
    let long_armed = armed(&world, &long).await;
    let short = start(&world, "short", SHORT).await;
    let short_due = due(&short).await;
    armed(&world, &short).await;

    worker.stop().await;
    world.server.kill().await.expect("the server can be killed");
    world.server.restart().await.expect("the server starts again");
    let _successor = world.worker();
    let back = world.highwater.broker().server_time().await.expect("the server tells its time");

    let late = Duration::from_millis(short.result().timeout(PATIENCE).await.expect("it completes"));
    // On a machine so busy that nobody was back in time, the wait for that is not the timer's.
    let away = back.since(short_due);
    assert!(late <= LATE_MAX + away, "the sleep ended {late:?} late, {away:?} of that before the server was back");
    assert_eq!(world.ledger.count("woke done"), 1);

    assert_eq!(due(&long).await, long_due);
    assert_eq!(armed(&world, &long).await, long_armed);
    assert_eq!(long_armed, format!("@at {long_due}"));
    let started = long.describe().await.expect("it can be described").started_at;
    assert!(
        long_due.since(started) > LONG.saturating_sub(LATE_MAX) && long_due.since(started) <= LONG,
        "due {long_due}, started {started}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sleep_that_ends_while_nobody_is_there_ends_when_somebody_comes() {
    let mut world = world().await;
    let mut worker = world.worker();
    let nap = start(&world, "nap", Duration::from_secs(1)).await;
    let nap_due = due(&nap).await;
    armed(&world, &nap).await;
    worker.kill();
    world.server.kill().await.expect("the server can be killed");
    world.server.restart().await.expect("the server starts again");
    eventually("the sleep is over", async || {
        let now = world.highwater.broker().server_time().await.ok()?;
        (now > nap_due.after(LATE_MAX)).then_some(())
    })
    .await;
    let _successor = world.worker();
    nap.result().timeout(PATIENCE).await.expect("it completes");
    assert_eq!(world.ledger.count("woke done"), 1);
}
