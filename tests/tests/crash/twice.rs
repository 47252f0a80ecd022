//! The same run loses its worker twice.

use std::time::Duration;

use highwater_broker::{Broker, Stream};
use highwater_tests::crash::{
    PATIENCE, QUEUE, World, eventually, leases,
    workflows::{Tally, tally},
};

use crate::world;

fn plan(name: &str) -> Tally {
    Tally { name: name.into(), steps: 3, activity_every: 0, longest: Duration::ZERO }
}

/// Runs that the leases list as in the middle of something.
async fn busy(world: &World) -> usize {
    leases(&world.highwater).await.iter().map(|lease| lease.busy.len()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_loses_its_worker_twice_in_the_same_step_goes_on() {
    let held_up = "twice 2 started";
    let mut world = world().await;
    world.gates.close("twice 2");
    let mut first = world.worker();
    let handle = world.client().start(tally, plan("twice")).id("twice").queue(QUEUE).await.expect("it starts");
    world.until(held_up, 1).await;
    eventually("the lease lists the run", async || (busy(&world).await == 1).then_some(())).await;
    first.kill();

    let mut second = world.worker();
    world.until(held_up, 2).await;
    // What else happens in the meantime makes the second owner write its offsets, the run still being held up.
    let other = world.client().start(tally, plan("other")).queue(QUEUE).await.expect("it starts");
    other.result().timeout(PATIENCE).await.expect("it completes");
    let read_to = world.highwater.broker().last_seq(Stream::Inbox).await.expect("the stream can be asked");
    eventually("the offsets are written", async || {
        let leases = leases(&world.highwater).await;
        leases.iter().any(|lease| lease.inbox.seq >= read_to).then_some(())
    })
    .await;
    assert_eq!(busy(&world).await, 1, "the run is still listed");
    second.kill();

    let _third = world.worker();
    world.until(held_up, 3).await;
    world.gates.open("twice 2");
    let result = handle.result().timeout(PATIENCE).await.expect("it completes");
    assert_eq!(result, plan("twice").total());
    for (operation, times) in [("twice 1 started", 1), ("twice 2 done", 1), ("twice 3 started", 1)] {
        assert_eq!(world.ledger.count(operation), times, "{operation}");
    }
}
