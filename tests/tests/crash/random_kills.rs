//! Two workers, one of which is killed at a random moment, again and again.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use highwater_tests::crash::{
    PATIENCE, QUEUE, World, eventually,
    workflows::{Tally, tally},
};
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use tokio::task::JoinSet;

use crate::{grouped_world, world};

const KILLS: usize = 10;

fn plan(number: usize) -> Tally {
    Tally { name: format!("run {number}"), steps: 10, activity_every: 3, longest: Duration::from_millis(150) }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_runs_survive_ten_kills_at_random_moments() {
    survive(world().await, 20).await;
}

/// So many that what the workers record at the same time makes batches.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_runs_survive_ten_kills_at_random_moments_with_group_commit() {
    survive(grouped_world().await, 100).await;
}

async fn survive(mut world: World, runs_per_kill: usize) {
    let seed = std::env::var("HIGHWATER_TEST_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    // Shown when the test fails.
    eprintln!("HIGHWATER_TEST_SEED={seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    let mut workers = [world.worker(), world.worker()];
    let mut killed = BTreeSet::new();
    let mut runs = JoinSet::new();
    let mut results = Vec::new();

    for wave in 0..KILLS {
        for number in wave * runs_per_kill..(wave + 1) * runs_per_kill {
            let client = world.client();
            runs.spawn(async move {
                let plan = plan(number);
                let handle = client.start(tally, plan.clone()).queue(QUEUE).await.expect("it starts");
                let result = match handle.result().timeout(PATIENCE).await {
                    Ok(result) => result,
                    Err(error) => panic!("{}: {error}\n{:#?}", plan.name, handle.describe().await),
                };
                (plan, result)
            });
        }
        // Each run leaves 26 lines.
        let lines = world.ledger.entries().len() + random.random_range(1..runs_per_kill * 20);
        eventually("work goes on", async || (world.ledger.entries().len() >= lines).then_some(())).await;
        let victim = random.random_range(0..workers.len());
        workers[victim].kill();
        killed.insert(workers[victim].name().to_owned());
        workers[victim] = world.worker();
    }
    while let Some(result) = runs.join_next().await {
        results.push(result.expect("the run went well"));
    }

    assert_eq!(results.len(), KILLS * runs_per_kill);
    for (plan, result) in &results {
        assert_eq!(*result, plan.total(), "{}", plan.name);
    }
    let plans: Vec<Tally> = (0..KILLS * runs_per_kill).map(plan).collect();
    let total: u64 = results.iter().map(|(_, result)| result).sum();
    assert_eq!(total, plans.iter().map(Tally::total).sum::<u64>());
    repeats_are_explained_by_kills(&world, &plans, &killed);
}

/// Every operation ran. It ran again only where a worker was killed that had run it, and so on no worker twice.
fn repeats_are_explained_by_kills(world: &World, plans: &[Tally], killed: &BTreeSet<String>) {
    let mut workers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for entry in world.ledger.entries() {
        workers.entry(entry.what).or_default().push(entry.worker);
    }
    let mut repeated = 0;
    for (operation, is_activity) in plans.iter().flat_map(Tally::operations) {
        let started = workers.remove(&format!("{operation} started")).unwrap_or_default();
        let done = workers.remove(&format!("{operation} done")).unwrap_or_default();
        assert!(!done.is_empty(), "{operation} has a result and never came to its end");
        let distinct: BTreeSet<_> = started.iter().collect();
        assert_eq!(distinct.len(), started.len(), "{operation} ran twice on one worker: {started:?}");
        let (_, earlier) = started.split_last().expect("what ends has started");
        assert!(
            earlier.iter().all(|worker| killed.contains(worker)),
            "{operation} (an activity: {is_activity}) ran on {started:?}, killed were {killed:?}"
        );
        repeated += earlier.len();
    }
    assert!(workers.is_empty(), "nobody asked for these: {workers:?}");
    eprintln!("{repeated} operations ran again after a kill");
}
