//! Workers are killed while a run waits for a child and does an update: each counts once, and its sender hears of it.

use highwater_tests::crash::{PATIENCE, QUEUE, eventually, family::Family, workflows::value_of};

use crate::world;

#[tokio::test(flavor = "multi_thread")]
async fn a_child_and_an_update_survive_the_worker_that_is_at_them() {
    let mut world = world().await;
    for gate in ["chores", "homework"] {
        world.gates.close(gate);
    }
    let mut workers = [world.worker(), world.worker()];
    let start = world.client().start(Family::run, "chores".to_owned()).id("family").queue(QUEUE);
    let family = start.await.expect("it starts");
    let help = family.update::<_, u64, String>("help", "homework").id("u-1");
    let help = help.accepted().await.expect("it is accepted");
    for begun in ["chores started", "homework started"] {
        world.until(begun, 1).await;
    }
    for worker in &mut workers {
        worker.kill();
    }
    for gate in ["chores", "homework"] {
        world.gates.open(gate);
    }
    let _successor = world.worker();
    let again = family.update::<_, u64, String>("help", "homework").id("u-1");
    assert_eq!(again.await.expect("it is the same update"), value_of("homework"));
    assert_eq!(help.result().await.expect("it is done"), value_of("homework"));
    assert_eq!(family.result().timeout(PATIENCE).await.expect("it completes"), value_of("chores"));
    let counts = world.ledger.counts();
    for done in ["chores done", "homework done"] {
        assert_eq!(counts.get(done), Some(&1), "{counts:?}");
    }
    let child = world.client().handle_by_name("child of chores").expect("it is an id");
    eventually("the child is described", async || {
        let described = child.describe().await.ok()?;
        (described.progress.to_string() == "completed").then_some(())
    })
    .await;
}
