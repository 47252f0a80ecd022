//! Code that does not match its history, or goes wrong by itself: what the failure says.

use std::{sync::Arc, time::Duration};

use highwater_core::{Ctx, Exit, run::Registry};
use highwater_macros::{activity, workflow};
use highwater_protocol::{Event, FailureKind, OpId};

use crate::play::{Mode, Piece, Play, history, registry, replay};

const SECOND: Duration = Duration::from_secs(1);

#[activity]
async fn charge(cents: u32) -> Result<u32, String> {
    Ok(cents)
}

#[activity]
async fn refund(cents: u32) -> Result<u32, String> {
    Ok(cents)
}

/// The code that the histories of these tests come from: a call, a sleep, a step.
mod before {
    use super::*;

    #[workflow]
    pub(super) async fn order(ctx: Ctx) -> Result<(), Exit> {
        ctx.run(charge, 1).await?;
        ctx.sleep(SECOND).await?;
        ctx.step("tell", async |_| Ok::<_, String>(())).await?;
        Ok(())
    }
}

const WHOLE: [&str; 4] = ["start", "activity 1 ok 1", "fire 2", "step 3"];

#[track_caller]
fn mismatch(registry: &Arc<Registry>, history: &[Piece], event: u64, recorded: &str, code: &str) {
    let failure = replay(registry, history).expect_err("the code is another one").failure;
    assert_eq!(failure.kind, FailureKind::Nondeterminism);
    let start = format!(
        "workflow order \"order-17\" does not match its history at event {event}:\n  on record: {recorded}\n  the code:  {code}\n"
    );
    assert!(failure.message.starts_with(&start), "expected:\n{start}\nactual:\n{}", failure.message);
    assert!(failure.message.contains("Deploy the code that the run began with"));
}

fn closed(mut history: Vec<Piece>, event: Event) -> Vec<Piece> {
    history.last_mut().expect("it began").events.push(event);
    history
}

#[test]
fn another_activity_in_its_place() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<(), Exit> {
        ctx.run(refund, 1).await?;
        Ok(())
    }
    let history = history(before::order, &WHOLE);
    mismatch(
        &registry(order),
        &history,
        2,
        "ActivityScheduled #1 charge on queue shop",
        "issued ActivityScheduled #1 refund on queue shop",
    );
}

#[test]
fn a_call_that_is_gone() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<(), Exit> {
        ctx.signals::<()>("go").recv().await?;
        Ok(())
    }
    let history = history(before::order, &WHOLE);
    mismatch(&registry(order), &history, 2, "ActivityScheduled #1 charge on queue shop", "issued nothing more");
}

#[test]
fn a_step_in_the_place_of_a_call() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<(), Exit> {
        ctx.step("charge", async |_| Ok::<_, String>(())).await?;
        Ok(())
    }
    let history = history(before::order, &WHOLE);
    mismatch(
        &registry(order),
        &history,
        2,
        "ActivityScheduled #1 charge on queue shop",
        "began step #1 charge, and issued nothing more",
    );
}

#[test]
fn a_call_that_was_added() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<(), Exit> {
        let second = ctx.run(charge, 1).into_future();
        ctx.run(refund, 1).await?;
        second.await?;
        Ok(())
    }
    let history = history(before::order, &WHOLE);
    mismatch(
        &registry(order),
        &history,
        3,
        "ActivityCompleted #1 at attempt 1",
        "issued ActivityScheduled #2 refund on queue shop",
    );
}

#[test]
fn an_end_that_came_too_early() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<(), Exit> {
        ctx.run(charge, 1).await?;
        Ok(())
    }
    let history = history(before::order, &WHOLE);
    mismatch(&registry(order), &history, 4, "TimerStarted #2 due 1970-01-01T00:16:43.000Z", "had ended");
    #[workflow(name = "order")]
    async fn at_once(_ctx: Ctx) -> Result<(), Exit> {
        Ok(())
    }
    let signaled = crate::play::history(nothing_but_waiting, &["start", "signal a"]);
    mismatch(&registry(at_once), &signaled, 2, "Signaled a", "had ended");
}

#[workflow(name = "order")]
async fn nothing_but_waiting(ctx: Ctx) -> Result<(), Exit> {
    ctx.wait_until(|()| false).await?;
    Ok(())
}

#[test]
fn an_end_that_does_not_come() {
    let started = history(nothing_but_waiting, &["start"]);
    let history = closed(started.clone(), Event::Completed { result: highwater_protocol::Payload::null() });
    mismatch(&registry(nothing_but_waiting), &history, 2, "Completed", "goes on");
    #[workflow(name = "order")]
    async fn fails(_ctx: Ctx) -> Result<(), Exit> {
        Err("no".to_owned())?
    }
    let failure = replay(&registry(fails), &history).expect_err("it fails now").failure;
    assert!(failure.message.contains("on record: Completed\n  the code:  ended with Failed: no"), "{failure}");
}

#[test]
fn a_step_of_another_name() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<(), Exit> {
        ctx.run(charge, 1).await?;
        ctx.sleep(SECOND).await?;
        ctx.step("inform", async |_| Ok::<_, String>(())).await?;
        Ok(())
    }
    let history = history(before::order, &WHOLE);
    mismatch(&registry(order), &history, 6, "StepCompleted #3 tell", "made operation #3 as step inform");
}

#[test]
fn an_outcome_of_what_was_never_made() {
    let mut history = history(before::order, &WHOLE[..1]);
    let time = history[0].time;
    history.push(Piece { events: vec![Event::TimerFired { op: OpId(9) }], time });
    mismatch(&registry(before::order), &history, 3, "TimerFired #9", "has no operation #9 under way");
    history.pop();
    history.push(Piece { events: vec![Event::TimerFired { op: OpId(1) }], time });
    mismatch(&registry(before::order), &history, 3, "TimerFired #1", "made operation #1 as activity charge");
}

#[test]
fn a_damaged_history() {
    let mut history = history(before::order, &WHOLE);
    let first = history.remove(0);
    let failure = replay(&registry(before::order), &history).expect_err("it has no beginning").failure;
    assert_eq!(
        failure.message,
        "event 1 (ActivityCompleted #1 at attempt 1) comes before Started: the history is damaged"
    );
    mismatch(
        &registry(before::order),
        &[first.clone(), first],
        3,
        "Started order on queue shop",
        "the run has started already",
    );
}

#[test]
fn a_terminated_run_asks_for_nothing_more() {
    for given in 1..WHOLE.len() {
        let history = history(before::order, &WHOLE[..given]);
        let mut inbound_only = history.clone();
        inbound_only.last_mut().unwrap().events.truncate(1);
        for history in [history, inbound_only] {
            let history = closed(history, Event::Terminated { reason: "enough".into() });
            let (mut run, rest) = replay(&registry(before::order), &history).expect("it came from outside");
            assert!(rest.is_empty() && rest.steps.is_empty());
            assert!(
                run.activate(crate::play::RUN, vec![Event::TimerFired { op: OpId(2) }], history[0].time)
                    .unwrap()
                    .is_empty()
            );
        }
    }
}

#[test]
fn a_closed_run_concludes_no_second_time() {
    let history = history(before::order, &WHOLE);
    let history = closed(history, Event::Completed { result: highwater_protocol::Payload::null() });
    let (_, rest) = replay(&registry(before::order), &history).expect("it is the same code");
    assert!(rest.is_empty());
}

#[test]
fn inputs_and_times_may_differ() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<(), Exit> {
        ctx.run(charge, 1_000).await?;
        ctx.sleep(SECOND * 60).await?;
        ctx.step("tell", async |_| Ok::<_, String>(())).await?;
        Ok(())
    }
    replay(&registry(order), &history(before::order, &WHOLE)).expect("what is on record counts");
}

#[test]
fn an_unknown_type_hears_which_there_are() {
    let mut play = Play::new(&registry(before::order), Mode::Kept);
    let started = play.started("null");
    let known = Arc::new(Registry::new());
    let mut run = highwater_core::Run::new(known, play_limits());
    let failure = run.activate(play.id, vec![started.clone()], play.time).unwrap_err().failure;
    assert_eq!(failure.kind, FailureKind::Unknown);
    assert_eq!(failure.message, "this worker knows no workflow type order; it knows: none");
    play.give(vec![started]).unwrap();
}

fn play_limits() -> highwater_core::run::Limits {
    highwater_core::run::Limits::for_message_max(1 << 20)
}

#[track_caller]
fn task_failure<P, W>(workflow: W) -> String
where
    W: highwater_core::definition::WorkflowCode<P> + Clone + Send + Sync,
{
    let mut answers = Play::new(&registry(workflow), Mode::Kept).line("start");
    let failure = answers.remove(0);
    assert!(failure.starts_with("task failed: "), "{failure}");
    failure
}

#[test]
fn a_panic_is_told_with_its_place() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<(), Exit> {
        panic!("something: {}", ctx.workflow_id());
    }
    let failure = task_failure(order);
    assert!(failure.contains("panicked: something: order-17 (at ") && failure.contains("mismatch.rs:"), "{failure}");
}

#[test]
fn tokio_in_a_workflow_hears_what_to_use_instead() {
    #[workflow]
    async fn sleeps(_ctx: Ctx) -> Result<(), Exit> {
        tokio::time::sleep(SECOND).await;
        Ok(())
    }
    #[workflow]
    async fn spawns(_ctx: Ctx) -> Result<(), Exit> {
        tokio::spawn(async {});
        Ok(())
    }
    for failure in [task_failure(sleeps), task_failure(spawns)] {
        assert!(failure.contains("use ctx.sleep for time"), "{failure}");
    }
}

#[test]
fn a_loop_that_waits_for_nothing_is_stuck() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<(), Exit> {
        ctx.run(charge, 1).into_future().detach();
        while !ctx.is_cancelled() {
            tokio::task::yield_now().await;
        }
        Ok(())
    }
    let failure = task_failure(order);
    assert!(
        failure.contains("stuck: the code woke itself") && failure.contains("activity charge (#1, at "),
        "{failure}"
    );
}

#[test]
fn an_input_that_does_not_fit_fails_the_run() {
    #[workflow]
    async fn order(_ctx: Ctx, cents: u32) -> Result<u32, Exit> {
        Ok(cents)
    }
    crate::play::check(
        order,
        "> start \"much\"
         failed payload does not fit: the input does not fit workflow order: the payload is not a u32: invalid type: string \"much\", expected u32 at line 1 column 6; it begins \"\\\"much\\\"\"",
    );
}
