//! The only worker is killed in the middle of an order: what is done is not done again, and the rest is.

use std::{collections::BTreeMap, time::Duration};

use highwater::WorkflowHandle;
use highwater_tests::crash::{
    PATIENCE, QUEUE, World, eventually,
    workflows::{order, order_total},
};

use crate::world;

const SLEEP: Duration = Duration::from_secs(3);

async fn start(world: &World) -> WorkflowHandle<order> {
    world.client().start(order, SLEEP).id("order-17").queue(QUEUE).await.expect("it starts")
}

/// The order comes out right, and each operation ran once except those that are named.
async fn ends_well(world: &World, handle: &WorkflowHandle<order>, repeated: &[(&str, usize)]) {
    assert_eq!(handle.result().timeout(PATIENCE).await.expect("it completes"), order_total());
    let mut expected = BTreeMap::new();
    for operation in ["charge", "reserve", "email", "close"] {
        expected.insert(format!("{operation} started"), 1);
        expected.insert(format!("{operation} done"), 1);
    }
    for (what, times) in repeated {
        expected.insert((*what).to_owned(), *times);
    }
    assert_eq!(world.ledger.counts(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_activity_whose_worker_is_killed_runs_again_and_nothing_else_does() {
    let mut world = world().await;
    world.gates.close("reserve");
    let mut worker = world.worker();
    let handle = start(&world).await;
    world.until("reserve started", 1).await;
    worker.kill();
    world.gates.open("reserve");
    let _successor = world.worker();
    ends_well(&world, &handle, &[("reserve started", 2)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_during_the_sleep_is_not_missed() {
    let mut world = world().await;
    let mut worker = world.worker();
    let handle = start(&world).await;
    eventually("the timer is on record", async || {
        let description = handle.describe().await.ok()?;
        (!description.pending_timers.is_empty()).then_some(())
    })
    .await;
    worker.kill();
    let asleep = handle.describe().await.expect("it can be described");
    assert_eq!(asleep.pending_timers.len(), 1, "the worker was killed before the sleep was over");
    let _successor = world.worker();
    ends_well(&world, &handle, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_between_the_last_activity_and_completion_repeats_no_activity() {
    let mut world = world().await;
    world.gates.close("close");
    let mut worker = world.worker();
    let handle = start(&world).await;
    world.until("close started", 1).await;
    worker.kill();
    world.gates.open("close");
    let _successor = world.worker();
    ends_well(&world, &handle, &[("close started", 2)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_activity_whose_result_never_left_its_worker_runs_again_under_the_same_key() {
    let mut world = world().await;
    world.gates.close("email");
    let mut worker = world.worker();
    let handle = start(&world).await;
    world.until("email started", 1).await;
    // The activity ends while there is nobody to tell, and its worker dies with the result. (A server that is only
    // frozen would find it in its socket.)
    world.server.kill().await.expect("the server can be killed");
    world.gates.open("email");
    world.until("email done", 1).await;
    worker.kill();
    world.server.restart().await.expect("the server starts again");
    let _successor = world.worker();
    ends_well(&world, &handle, &[("email started", 2), ("email done", 2)]).await;
    let keys: Vec<String> = world
        .ledger
        .entries()
        .into_iter()
        .filter(|entry| entry.what == "email done")
        .map(|entry| entry.detail)
        .collect();
    assert_eq!(keys[0], keys[1], "whoever sends the email can tell that it is the same one");
}
