//! Activities, steps and timers: made, ended, dropped, detached.

use std::time::Duration;

use crate::play::{Mode, Play, check, parse, registry};
use highwater_core::{Ctx, Exit, join::join_all, run::Conclusion};
use highwater_macros::{activity, join, select, try_join, workflow};
use highwater_protocol::Payload;

const SECOND: Duration = Duration::from_secs(1);

#[activity(start_to_close = "10s")]
async fn charge(cents: u32) -> Result<u32, String> {
    Ok(cents)
}

#[test]
fn activities_follow_each_other() {
    #[workflow]
    async fn order(ctx: Ctx, cents: u32) -> Result<u32, Exit> {
        let first = ctx.run(charge, cents).await?;
        let second = ctx.run(charge, first + 1).await?;
        Ok(second)
    }
    check(
        order,
        "> start 5
         run #1 charge 5
         > activity 1 ok 7
         run #2 charge 8
         > activity 1 ok 9
         ignored
         > activity 2 ok 10
         completed 10
         > activity 2 ok 11
         ignored",
    );
}

#[test]
fn a_failed_call_fails_the_run_with_its_error() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<u32, Exit> {
        Ok(ctx.run(charge, 1).await?)
    }
    check(
        order,
        "> start
         run #1 charge 1
         > activity 1 error \"declined\"
         failed declined",
    );
    check(
        order,
        "> start
         run #1 charge 1
         > activity 1 timeout
         failed timed out (start-to-close): too slow",
    );
    check(
        order,
        "> start
         run #1 charge 1
         > activity 1 ok {}
         failed payload does not fit: the recorded result does not fit: the payload is not a u32: invalid type: map, expected u32 at line 1 column 0; it begins \"{}\"",
    );
}

#[test]
fn a_closed_step_and_the_next_command_are_one_transition() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<u32, Exit> {
        let price = ctx.step("price", async |_| Ok::<_, String>(40)).await?;
        let total = ctx.step("tax", async move |_| Ok::<_, String>(price + 2)).await?;
        ctx.run(charge, total).await?;
        Ok(total)
    }
    check(
        order,
        "> start
         step #1 price
         > step 1
         step #2 tax
         > step 2
         run #3 charge 42
         > activity 3 ok 42
         completed 42",
    );
}

#[test]
fn what_is_joined_is_issued_in_the_written_order_and_ends_in_any() {
    #[workflow]
    async fn both(ctx: Ctx) -> Result<(u32, u32), Exit> {
        let (first, slept, second) = join!(ctx.run(charge, 1), ctx.sleep(SECOND), ctx.run(charge, 2));
        slept?;
        Ok((first?, second?))
    }
    check(
        both,
        "> start
         run #1 charge 1
         sleep #2 until 1002
         run #3 charge 2
         > activity 3 ok 20
         > fire 2
         > activity 1 ok 10
         completed [10,20]",
    );
}

#[test]
fn the_loser_of_a_select_is_cancelled_once() {
    #[workflow]
    async fn race(ctx: Ctx) -> Result<String, Exit> {
        let winner = select! {
            paid = ctx.run(charge, 1) => format!("paid {}", paid?),
            _ = ctx.sleep(SECOND) => "late".to_owned(),
        };
        ctx.run(charge, 2).await?;
        Ok(winner)
    }
    check(
        race,
        "> start
         run #1 charge 1
         sleep #2 until 1002
         > fire 2
         cancel activity #1
         run #3 charge 2
         > activity 1 ok 1
         ignored
         > activity 3 ok 2
         completed \"late\"",
    );
    // Both ended in one batch: the branch that is written first counts, and nothing is left to cancel.
    check(
        race,
        "> start
         run #1 charge 1
         sleep #2 until 1002
         > fire 2 + activity 1 ok 1
         run #3 charge 2
         > activity 3 ok 2
         completed \"paid 1\"",
    );
}

#[test]
fn try_join_cancels_the_rest_at_the_first_error() {
    #[workflow]
    async fn both(ctx: Ctx) -> Result<u32, Exit> {
        let (a, b) = try_join!(ctx.run(charge, 1), ctx.run(charge, 2))?;
        Ok(a + b)
    }
    check(
        both,
        "> start
         run #1 charge 1
         run #2 charge 2
         > activity 2 error \"declined\"
         cancel activity #1
         failed declined",
    );
}

#[test]
fn dropping_cancels_and_detaching_does_not() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<(), Exit> {
        let dropped = ctx.run(charge, 1).into_future();
        let detached = ctx.run(charge, 2).into_future();
        let timer = ctx.sleep(SECOND);
        let step = ctx.step("never", async |_| Ok::<_, String>(())).into_future();
        ctx.sleep(SECOND * 2).await?;
        drop(timer);
        drop(dropped);
        detached.detach();
        drop(step);
        ctx.sleep(SECOND).await?;
        Ok(())
    }
    check(
        order,
        "> start
         run #1 charge 1
         run #2 charge 2
         sleep #3 until 1002
         sleep #5 until 1003
         step #4 never
         > fire 5
         cancel timer #3
         cancel activity #1
         sleep #6 until 1003
         > activity 2 ok 5
         > activity 2 ok 5
         ignored
         > fire 6
         completed null",
    );
}

#[test]
fn a_call_that_is_not_awaited_is_not_made() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<(), Exit> {
        let call = ctx.run(charge, 1).queue("gpu");
        ctx.sleep(SECOND).await?;
        drop(call);
        Ok(())
    }
    check(
        order,
        "> start
         sleep #1 until 1002
         > fire 1
         completed null",
    );
}

#[test]
fn a_thousand_operations_end_in_any_order_and_keep_theirs() {
    #[workflow]
    async fn many(ctx: Ctx) -> Result<u64, Exit> {
        let all = join_all((0..1_000).map(|n| ctx.run(charge, n))).await;
        let mut weighted = 0;
        for (place, value) in all.into_iter().enumerate() {
            weighted += place as u64 * u64::from(value?);
        }
        Ok(weighted)
    }
    let mut play = Play::new(&registry(many), Mode::Kept);
    let started = play.started("null");
    assert_eq!(play.run.activate(play.id, vec![started], play.time).unwrap().events.len(), 1_001);
    for op in (1..=1_000).rev() {
        let event = parse(&mut play, &format!("activity {op} ok {op}"));
        let transition = play.run.activate(play.id, vec![event], play.time).unwrap();
        let expected: u64 = (0..1_000).map(|n: u64| n * (n + 1)).sum();
        let conclusion = (op == 1).then(|| Conclusion::Completed(Payload::encode(&expected).unwrap()));
        assert_eq!(transition.conclusion, conclusion);
    }
}
