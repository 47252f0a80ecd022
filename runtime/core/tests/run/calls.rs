//! Calls with options: how they are cancelled, tried again, named, and waited for.

use std::time::Duration;

use highwater_core::{CallError, Ctx, Exit, context::ActivityCancellation, fault::Elapsed};
use highwater_macros::{activity, select, workflow};
use highwater_protocol::{RetryPolicy, Timestamp};

use crate::play::check;

const SECOND: Duration = Duration::from_secs(1);

#[activity]
async fn charge(cents: u32) -> Result<u32, String> {
    Ok(cents)
}

#[workflow]
async fn charged(ctx: Ctx, how: String) -> Result<String, Exit> {
    let how = match how.as_str() {
        "wait" => ActivityCancellation::Wait,
        "abandon" => ActivityCancellation::Abandon,
        _ => ActivityCancellation::Try,
    };
    let charged = ctx.run(charge, 1).cancellation(how).await;
    ctx.shielded().sleep(SECOND).await?;
    Ok(format!("{charged:?}"))
}

#[test]
fn a_cancelled_run_does_not_wait_for_an_activity_that_is_only_asked() {
    check(
        charged,
        "> start \"try\"
         run #1 charge 1
         > cancel why
         cancel activity #1
         sleep #2 until 1003
         > activity 1 ok 5
         ignored
         > fire 2
         completed \"Err(Cancelled)\"",
    );
}

#[test]
fn a_cancelled_run_waits_for_an_activity_if_told_to_and_hears_how_it_ended() {
    check(
        charged,
        "> start \"wait\"
         run #1 charge 1
         > cancel why
         cancel activity #1
         > activity 1 ok 5
         sleep #2 until 1004
         > fire 2
         completed \"Ok(5)\"",
    );
    check(
        charged,
        "> start \"wait\"
         run #1 charge 1
         > cancel why
         cancel activity #1
         > activity 1 cancelled
         sleep #2 until 1004
         > fire 2
         completed \"Err(Cancelled)\"",
    );
}

#[test]
fn an_abandoned_activity_is_not_told_and_its_end_is_recorded() {
    check(
        charged,
        "> start \"abandon\"
         run #1 charge 1
         > cancel why
         sleep #2 until 1003
         > activity 1 ok 5
         > activity 1 ok 5
         ignored
         > fire 2
         completed \"Err(Cancelled)\"",
    );
    // Both in one batch: the code was told already that it is cancelled.
    check(
        charged,
        "> start \"abandon\"
         run #1 charge 1
         > cancel why + activity 1 ok 5
         sleep #2 until 1003
         > fire 2
         completed \"Err(Cancelled)\"",
    );
}

#[test]
fn what_is_dropped_is_cancelled_in_its_own_way() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<(), Exit> {
        let wait = ctx.run(charge, 1).cancellation(ActivityCancellation::Wait).into_future();
        let abandon = ctx.run(charge, 2).cancellation(ActivityCancellation::Abandon).into_future();
        ctx.sleep(SECOND).await?;
        drop((wait, abandon));
        ctx.sleep(SECOND).await?;
        ctx.sleep(SECOND).await?;
        Ok(())
    }
    check(
        order,
        "> start
         run #1 charge 1
         run #2 charge 2
         sleep #3 until 1002
         > fire 3
         cancel activity #1
         sleep #4 until 1003
         > activity 1 cancelled + activity 2 ok 2
         > fire 4 + activity 1 ok 1
         sleep #5 until 1005
         ignored
         > cancel why
         cancel timer #5
         cancelled",
    );
}

#[test]
fn what_waits_to_be_cancelled_is_told_once() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<String, Exit> {
        let shielded = ctx.shielded();
        let ended = select! {
            charged = ctx.run(charge, 1).cancellation(ActivityCancellation::Wait) => format!("{charged:?}"),
            slept = shielded.sleep(SECOND) => { slept?; "gave up".to_owned() }
        };
        shielded.sleep(SECOND).await?;
        Ok(ended)
    }
    check(
        order,
        "> start
         run #1 charge 1
         sleep #2 until 1002
         > cancel why
         cancel activity #1
         > fire 2
         sleep #3 until 1004
         > activity 1 cancelled
         > fire 3
         completed \"gave up\"",
    );
}

#[test]
fn a_step_is_tried_again_as_its_policy_says() {
    #[workflow]
    async fn order(ctx: Ctx, last: u32) -> Result<String, Exit> {
        let policy = RetryPolicy { maximum_attempts: 3, ..RetryPolicy::default() };
        let name = "page".to_owned();
        let fetched = ctx
            .step("fetch", async move |step| if step.attempt() < last { Err(format!("no {name}")) } else { Ok(name) })
            .retry(policy.clone())
            .await;
        let given_up: Result<(), _> = ctx
            .step("gone", async |_| Err("gone".to_owned()))
            .retry(policy)
            .non_retryable(|error| error == "gone")
            .await;
        assert_eq!(given_up, Err(CallError::Failed("gone".to_owned())));
        Ok(match fetched {
            Ok(page) => page,
            Err(CallError::Exhausted { attempts, last }) => format!("{attempts} attempts: {last}"),
            Err(other) => format!("{other:?}"),
        })
    }
    let script = |last: u32, end: &str| {
        format!("> start {last}\nstep #1 fetch\n> step 1\nstep #2 gone\n> step 2\ncompleted \"{end}\"")
    };
    check(order, &script(3, "page"));
    check(order, &script(4, "3 attempts: no page"));
}

#[test]
fn an_activity_that_used_up_its_attempts_tells_so_with_its_own_error() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<(), Exit> {
        match ctx.run(charge, 1).await {
            Err(CallError::Exhausted { attempts: 5, last }) => Err(Exit::own(*last)),
            other => Err(Exit::Error(format!("not exhausted: {other:?}"))),
        }
    }
    check(
        order,
        "> start
         run #1 charge 1
         > activity 1 error \"declined\" at 5
         failed declined",
    );
    check(
        order,
        "> start
         run #1 charge 1
         > activity 1 error \"declined\" at 1
         failed not exhausted: Err(Failed(\"declined\"))",
    );
}

#[test]
fn an_activity_is_called_by_its_name_alone() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<u64, Exit> {
        let size: u64 = ctx.run_named::<_, _, String>("measure", "cat.png").queue("models").await?;
        let refused = ctx.run_named::<_, u64, String>("", &5).await;
        assert!(matches!(refused, Err(CallError::Other(failure)) if failure.message.contains("empty")));
        Ok(size)
    }
    check(
        order,
        "> start
         run #1 measure \"cat.png\"
         > activity 1 ok 7
         completed 7",
    );
}

#[test]
fn sleeping_until_a_time_needs_no_arithmetic() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<(), Exit> {
        ctx.sleep_until(Timestamp::from_millis(5_000_000)).await?;
        ctx.sleep_until(Timestamp::from_millis(1)).await?;
        Ok(())
    }
    check(
        order,
        "> start
         sleep #1 until 5000
         > fire 1
         sleep #2 until 0
         > fire 2
         completed null",
    );
}

#[workflow]
async fn impatient(ctx: Ctx) -> Result<String, Exit> {
    let charged = ctx.timeout(SECOND, ctx.run(charge, 1).cancellation(ActivityCancellation::Wait)).await;
    ctx.shielded().sleep(SECOND).await?;
    Ok(match charged {
        Ok(charged) => format!("{charged:?}"),
        Err(Elapsed) => "too late".to_owned(),
    })
}

#[test]
fn what_ends_within_its_timeout_cancels_the_timer() {
    check(
        impatient,
        "> start
         run #1 charge 1
         sleep #2 until 1002
         > activity 1 ok 5
         cancel timer #2
         sleep #3 until 1003
         > fire 3
         completed \"Ok(5)\"",
    );
}

#[test]
fn what_does_not_end_within_its_timeout_is_cancelled() {
    check(
        impatient,
        "> start
         run #1 charge 1
         sleep #2 until 1002
         > fire 2
         cancel activity #1
         sleep #3 until 1003
         > activity 1 cancelled
         > fire 3
         completed \"too late\"",
    );
}

#[test]
fn a_timeout_holds_while_a_cancelled_operation_ends() {
    check(
        impatient,
        "> start
         run #1 charge 1
         sleep #2 until 1002
         > cancel why
         cancel activity #1
         > activity 1 ok 5
         cancel timer #2
         sleep #3 until 1004
         > fire 3
         completed \"Ok(5)\"",
    );
    check(
        impatient,
        "> start
         run #1 charge 1
         sleep #2 until 1002
         > cancel why
         cancel activity #1
         > fire 2
         sleep #3 until 1004
         > fire 3
         completed \"too late\"",
    );
}
