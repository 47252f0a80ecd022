//! How fast tests and replays are. `cargo bench -p highwater-testing`

use std::{sync::LazyLock, time::Duration};

use highwater::{
    prelude::*,
    testing::{History, Replayer, TestEnv},
};
use tokio::runtime::Runtime;

/// The runs of a test that has many.
const RUNS: u64 = 1_000;
/// The events of a long history.
const EVENTS: usize = 10_000;

fn main() {
    divan::main();
}

#[activity(start_to_close = "10s")]
async fn add_one(number: u64) -> Result<u64, String> {
    Ok(number + 1)
}

/// Calls as many activities as it is told, one after the other.
#[workflow]
async fn count(ctx: Ctx, to: u64) -> Result<u64, Exit> {
    let mut number = 0;
    while number < to {
        number = ctx.run(add_one, number).await?;
    }
    Ok(number)
}

#[workflow]
async fn nap(ctx: Ctx, days: u64) -> Result<(), Exit> {
    ctx.sleep(Duration::from_hours(24 * days)).await?;
    Ok(())
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// A thousand runs of five activities each, all at once, and each rebuilt for every step.
#[divan::bench(sample_count = 10)]
fn thousand_runs_of_five_activities(bencher: divan::Bencher<'_, '_>) {
    let activities = || highwater::FreeActivities::new().with(add_one);
    bencher.with_inputs(runtime).bench_values(|runtime| {
        runtime.block_on(async {
            let env = TestEnv::builder().workflow(count).activities(activities()).start().await;
            let client = env.client();
            let mut runs = Vec::new();
            for number in 0..RUNS {
                runs.push(client.start(count, 5).id(format!("run-{number}")).await.expect("a run"));
            }
            for run in runs {
                assert_eq!(run.result().await.expect("a result"), 5);
            }
            env.finish().await;
        });
    });
}

/// From nothing to a finished test in which five days passed.
#[divan::bench]
fn five_days(bencher: divan::Bencher<'_, '_>) {
    bencher.with_inputs(runtime).bench_values(|runtime| {
        runtime.block_on(async {
            let env = TestEnv::builder().workflow(nap).start().await;
            env.client().start(nap, 5).id("nap").await.expect("a run").result().await.expect("a result");
            env.finish().await;
        });
    });
}

/// A run of as many events as a history should have at most.
static LONG: LazyLock<History> = LazyLock::new(|| {
    runtime().block_on(async {
        let activities = highwater::FreeActivities::new().with(add_one);
        let env = TestEnv::builder().workflow(count).activities(activities).keep_runs().start().await;
        let to = EVENTS as u64 / 2 - 1;
        env.client().start(count, to).id("long").await.expect("a run").result().await.expect("a result");
        let history = env.histories().remove(0);
        assert_eq!(history.events().count(), EVENTS);
        history
    })
});

#[divan::bench]
fn replay_of_ten_thousand_events(bencher: divan::Bencher<'_, '_>) {
    LazyLock::force(&LONG);
    let replayer = Replayer::new().workflow(count);
    bencher.with_inputs(|| LONG.clone()).bench_values(|history| replayer.replay(history).assert_fits());
}
