//! The server is killed and started again under load, and workers with it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use highwater_tests::crash::{
    World, eventually,
    workflows::{Tally, tally_up},
};
use tokio::task::JoinSet;

use crate::{grouped_world, world};

const ROUNDS: usize = 4;

fn plan(number: usize) -> Tally {
    Tally { name: format!("run {number}"), steps: 8, activity_every: 4, longest: Duration::from_millis(200) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_runs_survive_four_kills_of_the_server_and_two_of_workers() {
    survive(world().await, 25).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn four_hundred_runs_survive_kills_of_the_server_and_of_workers_with_group_commit() {
    survive(grouped_world().await, 100).await;
}

/// In every round the server is killed in the middle of things, and in every other one a worker dies while it is gone.
async fn survive(mut world: World, runs_per_round: usize) {
    let mut workers = vec![world.worker(), world.worker()];
    let mut killed = BTreeSet::new();
    let mut runs = JoinSet::new();
    for round in 0..ROUNDS {
        for number in round * runs_per_round..(round + 1) * runs_per_round {
            runs.spawn(tally_up(world.client(), plan(number)));
        }
        let lines = world.ledger.entries().len() + runs_per_round * 8;
        eventually("work goes on", async || (world.ledger.entries().len() >= lines).then_some(())).await;
        world.server.kill().await.expect("the server can be killed");
        if round % 2 == 0 {
            let mut victim = workers.remove(0);
            victim.kill();
            killed.insert(victim.name().to_owned());
        }
        world.server.restart().await.expect("the server starts again");
        if workers.len() < 2 {
            workers.push(world.worker());
        }
    }
    while let Some(run) = runs.join_next().await {
        run.expect("the run went well");
    }

    let mut workers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for entry in world.ledger.entries() {
        workers.entry(entry.what).or_default().push(entry.worker);
    }
    for (operation, is_activity) in (0..ROUNDS * runs_per_round).map(plan).flat_map(|plan| plan.operations()) {
        let started = &workers[&format!("{operation} started")];
        let (_, earlier) = started.split_last().expect("what is listed has started");
        if is_activity {
            // The server may also forget that a task was acknowledged, and then gives it out again.
            assert!(earlier.len() <= ROUNDS + killed.len(), "{operation} ran on {started:?}");
        } else {
            assert!(
                earlier.iter().all(|worker| killed.contains(worker)),
                "{operation} ran on {started:?}, killed were {killed:?}"
            );
        }
    }
}
