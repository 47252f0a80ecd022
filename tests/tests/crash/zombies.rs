//! A worker that stands still for longer than its lease, and then goes on as if nothing had happened.

use std::time::Duration;

use futures_util::future::join_all;
use highwater::Outcome;
use highwater_protocol::{Event, event::Class};
use highwater_tests::crash::{
    PATIENCE, QUEUE, World, eventually, partitions_of,
    workflows::{Tally, tally},
};

use crate::world;

fn plan(name: String) -> Tally {
    Tally { name, steps: 3, activity_every: 3, longest: Duration::ZERO }
}

/// Runs some more, and every operation of them runs so often at most.
async fn others_run_well(world: &World, name: &str, times_max: usize) {
    let plans: Vec<Tally> = (1..=20).map(|number| plan(format!("{name} {number}"))).collect();
    let results = plans.iter().map(|plan| async {
        let handle = world.client().start(tally, plan.clone()).queue(QUEUE).await.expect("it starts");
        assert_eq!(handle.result().timeout(PATIENCE).await.expect("it completes"), plan.total());
    });
    join_all(results).await;
    let counts = world.ledger.counts();
    for (operation, _) in plans.iter().flat_map(Tally::operations) {
        let times = counts.get(&format!("{operation} started")).copied().unwrap_or_default();
        assert!((1..=times_max).contains(&times), "{operation} ran {times} times");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_frozen_for_longer_than_its_lease_does_no_harm_when_it_goes_on() {
    let mut world = world().await;
    // One run is held up in its second step, the other one in its activity.
    let (in_step, in_activity) = ("in-step", "in-activity");
    let held_up = [format!("{in_step} 2"), format!("{in_activity} after 3")];
    for gate in &held_up {
        world.gates.close(gate);
    }
    let mut frozen = world.worker();
    let mut handles = Vec::new();
    for name in [in_step, in_activity] {
        handles.push(world.client().start(tally, plan(name.into())).id(name).queue(QUEUE).await.expect("it starts"));
    }
    for gate in &held_up {
        world.until(&format!("{gate} started"), 1).await;
    }
    frozen.freeze().await;

    let mut successor = world.worker();
    for gate in &held_up {
        world.until(&format!("{gate} started"), 2).await;
    }
    for gate in &held_up {
        world.gates.open(gate);
    }
    for (handle, name) in handles.iter().zip([in_step, in_activity]) {
        assert_eq!(handle.result().timeout(PATIENCE).await.expect("it completes"), plan(name.into()).total());
    }

    frozen.thaw();
    // What it was at comes to its end a second time, and counts no more.
    for gate in &held_up {
        world.until(&format!("{gate} done"), 2).await;
    }
    // Until it has noticed, it may take a run as well; the step that it is at when it notices runs on the other one
    // too.
    others_run_well(&world, "at once", 2).await;
    eventually("it notices, and gets a share of its own", async || {
        (partitions_of(&world.highwater, frozen.name()).await > 0).then_some(())
    })
    .await;
    others_run_well(&world, "with both", 1).await;
    successor.stop().await;
    others_run_well(&world, "with the frozen one alone", 1).await;
    frozen.stop().await;

    for (handle, name) in handles.iter().zip([in_step, in_activity]) {
        let history = handle.history().await.expect("it can be read");
        let steps = history
            .iter()
            .filter(|event| matches!(&event.event, Event::StepClosed { outcome: Outcome::Completed(_), .. }));
        let activities = history.iter().filter(|event| matches!(&event.event, Event::ActivityClosed { .. }));
        let ends = history.iter().filter(|event| event.event.class() == Class::Closing);
        assert_eq!((steps.count(), activities.count(), ends.count()), (3, 1, 1), "{name}");
    }
    let counts = world.ledger.counts();
    for operation in ["in-step 1", "in-step 3", "in-step after 3", "in-activity 1", "in-activity 2", "in-activity 3"] {
        assert_eq!(counts.get(&format!("{operation} started")), Some(&1), "{operation}");
    }
}
