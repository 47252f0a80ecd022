//! Long histories, and long chains of runs, across a kill.

use std::time::Duration;

use highwater::Outcome;
use highwater_protocol::Event;
use highwater_tests::crash::{
    PATIENCE, QUEUE,
    workflows::{Laps, Tally, laps, tally, value_of},
};

use crate::world;

#[tokio::test(flavor = "multi_thread")]
async fn a_history_of_more_than_200_records_is_replayed_after_a_kill() {
    const STEPS: u32 = 230;
    const HELD_UP: u32 = 221;
    let plan = Tally { name: "long".into(), steps: STEPS, activity_every: 0, longest: Duration::ZERO };
    let held_up = format!("long {HELD_UP}");
    let mut world = world().await;
    world.gates.close(&held_up);
    let mut worker = world.worker();
    let handle = world.client().start(tally, plan.clone()).queue(QUEUE).await.expect("it starts");
    world.until(&format!("{held_up} started"), 1).await;
    worker.kill();
    world.gates.open(&held_up);
    let _successor = world.worker();
    assert_eq!(handle.result().timeout(PATIENCE).await.expect("it completes"), plan.total());

    for number in 1..=STEPS {
        let expected = if number == HELD_UP { 2 } else { 1 };
        assert_eq!(world.ledger.count(&format!("long {number} started")), expected, "step {number}");
    }
    let history = handle.history().await.expect("it can be read");
    let mut records: Vec<u64> = history.iter().map(|event| event.record).collect();
    records.dedup();
    assert!(records.len() > 200, "there are {} records", records.len());
    let completed = |event: &Event| matches!(event, Event::StepClosed { outcome: Outcome::Completed(_), .. });
    assert_eq!(history.iter().filter(|event| completed(&event.event)).count(), STEPS as usize);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_runs_that_follow_one_another_survive_a_kill() {
    const LAPS: u32 = 100;
    const HELD_UP: u32 = 50;
    let mut world = world().await;
    world.gates.close(&format!("lap {HELD_UP}"));
    let mut worker = world.worker();
    let race = Laps { left: LAPS, total: 0 };
    let handle = world.client().start(laps, race).id("race").queue(QUEUE).await.expect("it starts");
    world.until(&format!("lap {HELD_UP} started"), 1).await;
    worker.kill();
    world.gates.open(&format!("lap {HELD_UP}"));
    let _successor = world.worker();

    let expected: u64 = (1..=LAPS).map(|left| value_of(&format!("lap {left}"))).sum();
    assert_eq!(handle.result().timeout(PATIENCE).await.expect("the last one completes"), expected);
    for left in 1..=LAPS {
        let expected = if left == HELD_UP { 2 } else { 1 };
        assert_eq!(world.ledger.count(&format!("lap {left} started")), expected, "lap {left}");
    }
}
