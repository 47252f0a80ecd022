//! Code that changes while runs are under way.

use std::time::Duration;

use highwater_core::{Ctx, Exit};
use highwater_macros::{activity, workflow};
use highwater_protocol::{Event, Failure, FailureKind};

use crate::play::{Mode, Piece, Play, check, history, parse, registry, replay};

const SECOND: Duration = Duration::from_secs(1);

#[activity]
async fn charge(cents: u32) -> Result<u32, String> {
    Ok(cents)
}

#[activity]
async fn inform(cents: u32) -> Result<u32, String> {
    Ok(cents)
}

/// As the code was at first.
mod first {
    use super::*;

    #[workflow]
    pub(super) async fn order(ctx: Ctx) -> Result<(), Exit> {
        ctx.sleep(SECOND).await?;
        ctx.run(charge, 1).await?;
        ctx.signals::<()>("go").recv().await?;
        Ok(())
    }
}

/// With a change.
mod second {
    use super::*;

    #[workflow]
    pub(super) async fn order(ctx: Ctx) -> Result<(), Exit> {
        ctx.sleep(SECOND).await?;
        if ctx.patched("inform-first") {
            ctx.run(inform, 1).await?;
        }
        ctx.run(charge, 1).await?;
        ctx.signals::<()>("go").recv().await?;
        if ctx.patched("inform-first") {
            ctx.run(inform, 2).await?;
        }
        Ok(())
    }
}

/// When no run goes without it any more.
mod third {
    use super::*;

    #[workflow]
    pub(super) async fn order(ctx: Ctx) -> Result<(), Exit> {
        ctx.sleep(SECOND).await?;
        ctx.deprecate_patch("inform-first");
        ctx.run(inform, 1).await?;
        ctx.run(charge, 1).await?;
        ctx.signals::<()>("go").recv().await?;
        ctx.run(inform, 2).await?;
        Ok(())
    }
}

/// When no run has been told of it any more.
mod fourth {
    use super::*;

    #[workflow]
    pub(super) async fn order(ctx: Ctx) -> Result<(), Exit> {
        ctx.sleep(SECOND).await?;
        ctx.run(inform, 1).await?;
        ctx.run(charge, 1).await?;
        ctx.signals::<()>("go").recv().await?;
        ctx.run(inform, 2).await?;
        Ok(())
    }
}

#[test]
fn a_new_run_goes_with_the_change_and_says_so_once() {
    check(
        second::order,
        "> start
         sleep #1 until 1002
         > fire 1
         Patched inform-first
         run #2 inform 1
         > activity 2 ok 1
         run #3 charge 1
         > activity 3 ok 1
         > signal go
         run #4 inform 2
         > activity 4 ok 2
         completed null",
    );
}

#[test]
fn a_run_that_has_passed_the_place_goes_without_the_change_for_ever() {
    let registry = registry(second::order);
    let mut play = Play::new(&registry, Mode::Evicted);
    play.history = history(first::order, &["start", "fire 1", "activity 2 ok 1"]);
    play.evict();
    assert_eq!(play.line("signal go"), ["completed null"], "the second question gets the answer of the first");
}

#[test]
fn a_run_that_has_not_passed_the_place_goes_with_the_change() {
    let registry = registry(second::order);
    let mut play = Play::new(&registry, Mode::Evicted);
    play.history = history(first::order, &["start"]);
    play.evict();
    assert_eq!(play.line("fire 1"), ["Patched inform-first", "run #2 inform 1"]);
    assert_eq!(play.line("activity 2 ok 1"), ["run #3 charge 1"]);
}

#[test]
fn a_run_whose_last_events_led_to_nothing_on_record_yet_goes_with_the_change() {
    // A client began it in the owner's place, or the owner died before it wrote what the code asked for.
    let registry = registry(second::order);
    let mut records = history(first::order, &["start", "fire 1"]);
    records[1].events.truncate(1);
    let (_, rest) = replay(&registry, &records).unwrap();
    let words: Vec<String> = rest.events.iter().map(ToString::to_string).collect();
    assert_eq!(words, ["Patched inform-first", "ActivityScheduled #2 inform on queue shop"]);
    // Recorded apart from what they followed from, as they are when they come from a takeover.
    records.push(Piece { events: rest.events, time: records[1].time });
    let (_, rest) = replay(&registry, &records).unwrap();
    assert!(rest.is_empty());
}

#[test]
fn what_a_failed_task_left_undone_is_done_with_the_change() {
    let registry = registry(second::order);
    let mut records = history(first::order, &["start"]);
    let mut play = Play::new(&registry, Mode::Kept);
    let (time, failure) = (records[0].time, Failure::new(FailureKind::Panic, "a bug"));
    let failed = Event::WorkflowTaskFailed { failure, attempt: 1, retry_at: time };
    records.push(Piece { events: vec![parse(&mut play, "fire 1"), failed], time });
    let (_, rest) = replay(&registry, &records).unwrap();
    assert!(matches!(&rest.events[..], [Event::Patched { .. }, Event::ActivityScheduled(_)]), "{:?}", rest.events);
    records.push(Piece { events: rest.events, time });
    assert!(replay(&registry, &records).unwrap().1.is_empty());
}

#[test]
fn a_change_can_be_deprecated_and_removed_without_breaking_runs_that_went_with_it() {
    const LINES: [&str; 4] = ["start", "fire 1", "activity 2 ok 1", "activity 3 ok 1"];
    let told = history(second::order, &LINES);
    let (_, rest) = replay(&registry(third::order), &told).unwrap();
    assert!(rest.is_empty());
    let (_, rest) = replay(&registry(fourth::order), &told).unwrap();
    assert!(rest.is_empty());
    // What the third code began is for the second a run that goes with the change, should it be deployed again.
    let deprecated = history(third::order, &LINES);
    assert!(matches!(deprecated[1].events[1], Event::Patched { deprecated: true, .. }));
    assert!(replay(&registry(second::order), &deprecated).unwrap().1.is_empty());
    assert!(replay(&registry(fourth::order), &deprecated).unwrap().1.is_empty());
}

#[test]
fn taking_the_change_for_granted_too_early_is_a_mismatch() {
    let before = history(first::order, &["start", "fire 1"]);
    let failure = replay(&registry(third::order), &before).expect_err("it goes without the change").failure;
    assert_eq!(failure.kind, FailureKind::Nondeterminism);
    assert!(failure.message.contains("issued ActivityScheduled #2 inform"), "{failure}");
}

#[test]
fn several_changes_stay_together_however_a_transition_is_cut() {
    #[workflow]
    async fn changed(ctx: Ctx) -> Result<u32, Exit> {
        ctx.run(charge, 1).await?;
        let both = [ctx.patched("a"), ctx.patched("b")].into_iter().map(u32::from).sum();
        ctx.run(charge, both).await?;
        Ok(both)
    }
    check(
        changed,
        "> start
         run #1 charge 1
         > activity 1 ok 1
         Patched a
         Patched b
         run #2 charge 2
         > activity 2 ok 2
         completed 2",
    );
    check(
        changed_at_once,
        "> start
         Patched at-once
         run #1 charge 1
         > activity 1 ok 1
         completed 1",
    );
}

#[workflow]
async fn changed_at_once(ctx: Ctx) -> Result<u32, Exit> {
    let call = ctx.run(charge, 1).into_future();
    assert!(ctx.patched("at-once"), "it goes before the call, although the code asks behind it");
    Ok(call.await?)
}

#[test]
fn asking_in_a_query_is_refused() {
    #[workflow]
    async fn asks(ctx: Ctx) -> Result<(), Exit> {
        let inner = ctx.clone();
        ctx.on_query("ask", move |(): ()| inner.patched("a"));
        ctx.wait_until(|()| false).await?;
        Ok(())
    }
    let mut play = Play::new(&registry(asks), Mode::Kept);
    play.line("start");
    assert!(play.line("query ask")[0].contains("ctx.patched in a query"));
}
