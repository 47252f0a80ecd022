//! What a rebuilt run is: the run that was there.

use std::{sync::Mutex, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use highwater_core::{CallError, Ctx, Exit, Run, run::Limits};
use highwater_macros::{activity, workflow};
use highwater_protocol::{Event, FailureKind, OpId, Payload, Timestamp, event::Outcome};

use crate::play::{LIMITS, Mode, Piece, Play, RUN, check, history, registry, replay};

const SECOND: Duration = Duration::from_secs(1);

#[activity]
async fn charge(cents: u32) -> Result<u32, String> {
    Ok(cents)
}

#[activity]
async fn store(text: String) -> Result<usize, String> {
    Ok(text.len())
}

#[test]
fn evicting_a_run_asks_for_nothing_and_runs_its_destructors() {
    static DROPPED: Mutex<u32> = Mutex::new(0);
    struct Witness;
    impl Drop for Witness {
        fn drop(&mut self) {
            *DROPPED.lock().unwrap() += 1;
            panic!("not even this hurts");
        }
    }
    #[workflow]
    async fn order(ctx: Ctx) -> Result<(), Exit> {
        let _witness = Witness;
        let (_call, _timer) = (ctx.run(charge, 1).into_future(), ctx.sleep(SECOND));
        ctx.wait_until(|()| false).await?;
        Ok(())
    }
    let history = history(order, &["start"]);
    assert!(*DROPPED.lock().unwrap() > 0, "the run that made the history is gone");
    let (_kept, rest) = replay(&registry(order), &history).unwrap();
    assert!(rest.is_empty(), "the next owner finds everything under way");
}

#[test]
fn a_step_without_a_result_runs_again_with_the_same_key() {
    static KEYS: Mutex<Vec<uuid::Uuid>> = Mutex::new(Vec::new());
    #[workflow]
    async fn order(ctx: Ctx) -> Result<(), Exit> {
        let remember = async |step: highwater_core::context::StepContext| {
            KEYS.lock().unwrap().push(step.idempotency_key());
            Ok::<_, String>(())
        };
        ctx.step("first", remember).await?;
        ctx.step("second", remember).await?;
        Ok(())
    }
    let mut play = Play::new(&registry(order), Mode::Evicted);
    play.line("start");
    // It ran, and its worker died before the result was recorded.
    play.execute(1);
    play.evict();
    play.line("step 1");
    play.line("step 2");
    let keys = KEYS.lock().unwrap();
    assert_eq!(keys.len(), 3);
    assert_eq!(keys[0], keys[1]);
    assert_ne!(keys[1], keys[2]);
}

#[test]
fn the_first_poll_knows_the_time_and_time_never_goes_back() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<Vec<i64>, Exit> {
        let mut seen = vec![ctx.now().as_millis()];
        let mut ticks = ctx.signals::<()>("tick");
        for _ in 0..3 {
            ticks.recv().await?;
            seen.push(ctx.now().as_millis());
        }
        Ok(seen)
    }
    let registry = registry(order);
    let mut play = Play::new(&registry, Mode::Kept);
    let mut history = Vec::new();
    let mut conclusion = None;
    for (line, millis) in [("start", 5_000), ("signal tick", 9_000), ("signal tick", 3_000), ("signal tick", 10_000)] {
        let events = vec![crate::play::parse(&mut play, line)];
        let transition = play.run.activate(RUN, events, Timestamp::from_millis(millis)).unwrap();
        // What the code has seen, which is later than a clock that went back says.
        assert!(transition.time >= Timestamp::from_millis(millis));
        history.push(Piece { events: transition.events, time: transition.time });
        conclusion = transition.conclusion;
    }
    let conclusion = conclusion.expect("three ticks came");
    assert_eq!(conclusion, highwater_core::run::Conclusion::Completed(Payload::json("[5000,9000,9000,10000]")));
    let (_, rest) = replay(&registry, &history).unwrap();
    assert_eq!(rest.conclusion, Some(conclusion));
}

#[test]
fn ids_are_different_in_a_run_and_the_same_at_every_replay() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<bool, Exit> {
        let first = ctx.uuid();
        ctx.run(store, first.to_string()).await?;
        Ok(first != ctx.uuid())
    }
    // The script is played with evictions too: an id of another replay would be another input.
    let history = history(order, &["start"]);
    let Event::ActivityScheduled(call) = &history[0].events[1] else { panic!("{history:?}") };
    let id = call.input.begin();
    check(order, &format!("> start\nrun #1 store {id}\n> activity 1 ok 36\ncompleted true"));
}

fn large() -> String {
    "x".repeat(LIMITS.payload_max)
}

#[test]
fn a_call_that_is_too_large_fails_by_itself() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<String, Exit> {
        let failure = match ctx.run(store, large()).await {
            Err(CallError::Other(failure)) => failure,
            other => return Ok(format!("{other:?}")),
        };
        assert_eq!(failure.kind, FailureKind::TooLarge);
        ctx.run(charge, 1).await?;
        Ok(failure.message)
    }
    check(
        order,
        "> start
         run #1 store null
         ActivityFailed #1 at attempt 0
         run #2 charge 1
         > activity 2 ok 1
         completed \"the input of activity store has 1002 bytes, this server's limit for a payload i…",
    );
}

#[test]
fn a_call_that_is_too_large_is_answered_even_when_nobody_waits() {
    #[workflow]
    async fn detached(ctx: Ctx) -> Result<(), Exit> {
        ctx.run(store, large()).into_future().detach();
        Ok(())
    }
    check(
        detached,
        "> start
         run #1 store null
         ActivityFailed #1 at attempt 0
         completed null",
    );
}

#[test]
fn what_is_too_large_at_the_end_fails_the_run() {
    #[workflow]
    async fn returns(_ctx: Ctx) -> Result<String, Exit> {
        Ok(large())
    }
    #[workflow]
    async fn continues(ctx: Ctx, _input: String) -> Result<(), Exit> {
        Err(ctx.continue_as_new::<continues>(large()))
    }
    #[workflow]
    async fn fails(_ctx: Ctx) -> Result<(), Exit> {
        Err(large())?
    }
    #[workflow]
    async fn steps(ctx: Ctx) -> Result<String, Exit> {
        Ok(ctx.step("large", async |_| Ok::<_, String>(large())).await?)
    }
    let text = "has 1002 bytes, this server's limit for a payload is 1000; pass a reference to the data instead";
    check(returns, &format!("> start\nfailed too large: the workflow's result {text}"));
    check(continues, &format!("> start \"\"\nfailed too large: the input of the next run {text}"));
    check(fails, &format!("> start\nfailed {}", large()));
    check(steps, &format!("> start\nstep #1 large\n> step 1\nfailed too large: the result of the step {text}"));
}

#[test]
fn calls_that_stay_too_large_are_stuck() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<(), Exit> {
        while ctx.run(store, large()).await.is_err() {}
        Ok(())
    }
    let answers = Play::new(&registry(order), Mode::Kept).line("start");
    assert!(answers[0].starts_with("task failed: stuck: "), "{answers:?}");
}

#[test]
fn an_unordered_set_of_a_hundred_activities_ends_the_same_at_replay() {
    #[workflow]
    async fn unordered(ctx: Ctx) -> Result<Vec<u32>, Exit> {
        let mut running: FuturesUnordered<_> = (0..100).map(|n| ctx.run(charge, n).into_future()).collect();
        let mut order = Vec::new();
        while let Some(ended) = running.next().await {
            order.push(ended?);
            if order.len() % 10 == 0 {
                running.push(ctx.run(charge, 1_000).into_future());
            }
            if order.len() == 100 {
                break;
            }
        }
        Ok(order)
    }
    let registry = registry(unordered);
    let mut play = Play::new(&registry, Mode::Kept);
    let started = play.started("null");
    let mut records = Vec::new();
    let mut give = |run: &mut Run, events: Vec<Event>| {
        let transition = run.activate(RUN, events, Timestamp::from_millis(5)).unwrap();
        records.push(Piece { events: transition.events, time: Timestamp::from_millis(5) });
        transition.conclusion
    };
    assert_eq!(give(&mut play.run, vec![started]), None);
    // In batches, in an order of no regularity: 37 and 101 share no divisor.
    let ended: Vec<u64> = (1..=100).map(|n| n * 37 % 101).collect();
    let mut conclusion = None;
    for batch in ended.chunks(7) {
        let outcome = |op: &u64| Outcome::Completed(Payload::json(op.to_string()));
        let closed = |op: &u64| Event::ActivityClosed { op: OpId(*op), attempt: 1, outcome: outcome(op) };
        conclusion = give(&mut play.run, batch.iter().map(closed).collect());
    }
    let (_, end) = replay(&registry, &records).unwrap();
    assert!(conclusion.is_some());
    assert_eq!(end.conclusion, conclusion);
}

#[test]
fn limits_follow_the_server() {
    assert_eq!(Limits::for_message_max(1 << 20).payload_max, (1 << 20) - Limits::OVERHEAD);
    assert_eq!(Limits::for_message_max(8 * 1024).payload_max, 4 * 1024, "a tiny server still gets payloads through");
}
