//! One server of a cluster after the other is killed and started again under load, and workers with them.

use std::{collections::BTreeMap, time::Duration};

use highwater_tests::crash::{
    World, eventually,
    workflows::{Tally, tally_up},
};
use tokio::task::JoinSet;

use crate::cluster_world;

/// Each member is killed once, and one of them twice.
const ROUNDS: usize = 4;
const RUNS_PER_ROUND: usize = 25;

fn plan(number: usize) -> Tally {
    Tally { name: format!("run {number}"), steps: 8, activity_every: 4, longest: Duration::from_millis(200) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_runs_go_on_while_a_server_of_three_is_gone_and_a_worker_with_it() {
    let mut world = cluster_world().await;
    let mut workers = vec![world.worker(), world.worker()];
    let mut runs = JoinSet::new();
    for round in 0..ROUNDS {
        for number in round * RUNS_PER_ROUND..(round + 1) * RUNS_PER_ROUND {
            runs.spawn(tally_up(world.client(), plan(number)));
        }
        work_goes_on(&world).await;
        let member = world.member(round % 3);
        member.kill().await.expect("the server can be killed");
        if round % 2 == 0 {
            workers.remove(0).kill();
            workers.push(world.worker());
        }
        // Two of three are enough.
        work_goes_on(&world).await;
        world.member(round % 3).restart().await.expect("the server starts again");
    }
    while let Some(run) = runs.join_next().await {
        run.expect("the run went well");
    }
    nothing_was_done_as_something_else(&world);
}

/// A good part of what the runs of a round do is done from now on.
async fn work_goes_on(world: &World) {
    let lines = world.ledger.entries().len() + RUNS_PER_ROUND * 4;
    eventually("work goes on", async || (world.ledger.entries().len() >= lines).then_some(())).await;
}

/// Every operation was done, none more often than something was killed, and each time under the same idempotency key.
/// (A worker whose lease ends because the leader is gone for longer than that lets go of its runs, with what they were
/// doing.)
fn nothing_was_done_as_something_else(world: &World) {
    let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for entry in world.ledger.entries() {
        keys.entry(entry.what).or_default().push(entry.detail);
    }
    for (operation, _) in (0..ROUNDS * RUNS_PER_ROUND).map(plan).flat_map(|plan| plan.operations()) {
        let keys = &keys[&format!("{operation} done")];
        assert!(keys.len() <= 1 + ROUNDS + ROUNDS / 2, "{operation} was done {} times", keys.len());
        assert!(keys.iter().all(|key| *key == keys[0]), "{operation} was done under {keys:?}");
    }
}
