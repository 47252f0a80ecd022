//! A run that is asked to cancel.

use std::time::Duration;

use highwater_core::{CallError, Ctx, Exit};
use highwater_macros::{activity, select, workflow};

use crate::play::check;

const SECOND: Duration = Duration::from_secs(1);

#[activity]
async fn charge(cents: u32) -> Result<u32, String> {
    Ok(cents)
}

#[test]
fn what_is_pending_is_cancelled_in_order_and_the_shielded_lives_on() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<(), Exit> {
        let shielded = ctx.shielded().run(charge, 1).into_future();
        let detached = ctx.run(charge, 2).into_future();
        detached.detach();
        let (mut activity, mut timer) = (ctx.run(charge, 3).into_future(), ctx.sleep(SECOND));
        assert_eq!((&mut activity).await, Err(CallError::Cancelled));
        (&mut timer).await.unwrap_err();
        // What is made from here on is cancelled before it begins, without a command.
        assert_eq!(ctx.run(charge, 4).await, Err(CallError::Cancelled));
        ctx.sleep(SECOND).await.unwrap_err();
        let step = ctx.step("never", async |_| Ok::<_, String>(())).await;
        assert_eq!(step, Err(CallError::Cancelled));
        assert_eq!(ctx.cancel_reason().as_deref(), Some("no longer wanted"));
        ctx.shielded().run(charge, shielded.await? + 10).await?;
        Err(Exit::Cancelled)
    }
    check(
        order,
        "> start
         run #1 charge 1
         run #2 charge 2
         run #3 charge 3
         sleep #4 until 1002
         > cancel no longer wanted
         cancel activity #3
         cancel timer #4
         > cancel again
         ignored
         > activity 3 ok 3
         ignored
         > activity 1 ok 5
         run #8 charge 15
         > activity 8 ok 15
         cancelled",
    );
}

#[test]
fn the_question_mark_ends_a_cancelled_run_as_cancelled() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<(), Exit> {
        ctx.sleep(SECOND).await?;
        Ok(())
    }
    check(
        order,
        "> start
         sleep #1 until 1002
         > cancel why
         cancel timer #1
         cancelled",
    );
}

#[test]
fn waiting_for_the_request_lets_the_rest_of_the_run_go_on() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<String, Exit> {
        let shielded = ctx.shielded();
        let ended = select! {
            () = ctx.cancelled() => ctx.cancel_reason().unwrap_or_default(),
            slept = shielded.sleep(SECOND) => { slept?; "slept".to_owned() }
        };
        Ok(ended)
    }
    check(
        order,
        "> start
         sleep #1 until 1002
         > cancel why
         cancel timer #1
         completed \"why\"",
    );
    check(
        order,
        "> start
         sleep #1 until 1002
         > fire 1
         completed \"slept\"",
    );
}

#[test]
fn waiting_for_signals_and_conditions_ends_too_but_what_is_there_comes_first() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<Vec<u32>, Exit> {
        let mut got = Vec::new();
        let mut signals = ctx.signals::<u32>("add");
        while let Ok(value) = signals.recv().await {
            got.push(value);
        }
        ctx.wait_until(|()| false).await.unwrap_err();
        ctx.wait_until(|()| true).await?;
        got.push(ctx.shielded().signals("add").recv().await?);
        Ok(got)
    }
    check(
        order,
        "> start
         > signal add 1 + cancel why + signal add 2
         > signal add 3
         completed [1,2,3]",
    );
}
