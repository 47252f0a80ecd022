//! Workers that come and go in good order, under load: nothing is lost, and nothing is done twice.

use std::time::Duration;

use futures_util::future::join_all;
use highwater_tests::crash::{
    PATIENCE, QUEUE, World,
    workflows::{Tally, tally},
};
use tokio::task::JoinHandle;

use crate::world;

fn plan(name: String) -> Tally {
    Tally { name, steps: 10, activity_every: 5, longest: Duration::from_millis(60) }
}

/// Starts runs and checks what comes of each.
fn start(world: &World, wave: usize, runs: usize) -> Vec<JoinHandle<Tally>> {
    let spawn = |number: usize| {
        let (client, plan) = (world.client(), plan(format!("wave {wave} run {number}")));
        tokio::spawn(async move {
            let handle = client.start(tally, plan.clone()).queue(QUEUE).await.expect("it starts");
            assert_eq!(handle.result().timeout(PATIENCE).await.expect("it completes"), plan.total(), "{}", plan.name);
            plan
        })
    };
    (1..=runs).map(spawn).collect()
}

/// Every operation of these runs ran once.
async fn each_ran_once(world: &World, runs: Vec<JoinHandle<Tally>>) {
    let plans = join_all(runs).await;
    let counts = world.ledger.counts();
    for plan in plans {
        for (operation, is_activity) in plan.expect("the run went well").operations() {
            let workers = world.ledger.workers(&format!("{operation} started"));
            assert_eq!(
                counts.get(&format!("{operation} started")),
                Some(&1),
                "{operation}, an activity: {is_activity}, on {workers:?}"
            );
        }
    }
}

/// Waits until this much more has been done.
async fn progress(world: &World, lines: usize) {
    let before = world.ledger.entries().len();
    highwater_tests::crash::eventually("work goes on", async || {
        (world.ledger.entries().len() >= before + lines).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_asked_to_stop_repeats_no_step() {
    let mut world = world().await;
    let mut worker = world.worker();
    let runs = start(&world, 1, 30);
    progress(&world, 200).await;
    worker.stop().await;
    let _successor = world.worker();
    each_ran_once(&world, runs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_join_and_leave_under_load_lose_nothing_and_repeat_nothing() {
    let mut world = world().await;
    let mut workers = vec![world.worker()];
    let mut runs = Vec::new();
    for wave in 1..=4 {
        runs.extend(start(&world, wave, 25));
        progress(&world, 150).await;
        workers.push(world.worker());
        progress(&world, 150).await;
        // Two join and two leave in turn, the oldest first.
        if workers.len() > 2 {
            workers.remove(0).stop().await;
        }
    }
    each_ran_once(&world, runs).await;
}
