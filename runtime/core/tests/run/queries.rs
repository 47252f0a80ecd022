//! Queries that would do more than read.

use std::time::Duration;

use highwater_core::{Ctx, Exit};
use highwater_macros::{activity, workflow};
use highwater_protocol::event::Attributes;

use crate::play::{Mode, Play, registry};

#[activity]
async fn charge(cents: u32) -> Result<u32, String> {
    Ok(cents)
}

#[test]
fn a_query_that_would_change_the_run_is_rejected_and_changes_nothing() {
    #[derive(Default)]
    struct Sneaky {
        n: u32,
    }
    #[workflow]
    impl Sneaky {
        #[run]
        async fn run(ctx: Ctx<Self>) -> Result<u32, Exit> {
            let (update, sleep, uuid, call) = (ctx.clone(), ctx.clone(), ctx.clone(), ctx.clone());
            ctx.on_query("update", move |(): ()| update.update(|sneaky| sneaky.n += 1));
            ctx.on_query("sleep", move |(): ()| drop(sleep.sleep(Duration::from_secs(1))));
            ctx.on_query("uuid", move |(): ()| uuid.uuid());
            let (signals, spawn, attributes) = (ctx.clone(), ctx.clone(), ctx.clone());
            ctx.on_query("signals", move |(): ()| drop(signals.signals::<()>("go")));
            ctx.on_query("spawn", move |(): ()| drop(spawn.spawn(async {})));
            ctx.on_query("attributes", move |(): ()| {
                drop(attributes.upsert_attributes(Attributes::default()));
            });
            ctx.on_query("call", move |(): ()| drop(call.run(charge, 1).into_future()));
            ctx.signals::<()>("go").recv().await?;
            ctx.run(charge, ctx.read(|sneaky| sneaky.n)).await?;
            Ok(0)
        }
    }
    let mut play = Play::new(&registry(Sneaky::run), Mode::Kept);
    play.line("start");
    for name in ["update", "sleep", "uuid", "call", "signals", "spawn", "attributes"] {
        let answer = play.line(&format!("query {name}")).remove(0);
        assert!(answer.starts_with("failed: ") && answer.contains("must not change it (at "), "{name}: {answer}");
        assert!(answer.contains("queries.rs:"), "the place is the user's line: {answer}");
    }
    assert_eq!(play.line("signal go"), ["run #1 charge 0"]);
}
