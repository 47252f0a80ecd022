//! A workflow that does everything in an order that its input says, and whose result tells what it was given.

use std::{cell::Cell, time::Duration};

use highwater_core::{Ctx, Exit};
use highwater_macros::{activity, join, select, workflow};
use serde::{Deserialize, Serialize};

use super::Dice;

thread_local! {
    /// Whether a deploy has broken the code for now.
    pub(super) static BROKEN: Cell<bool> = const { Cell::new(false) };
}

/// What an activity makes of its input.
pub(super) fn worked(n: u64) -> u64 {
    n * 7 + 1
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) rounds: u64,
    /// How many signals the run takes before it ends.
    pub(super) want: usize,
    /// How often it may still continue as a new run.
    pub(super) lives: u64,
    pub(super) got: Vec<u64>,
}

#[activity]
async fn work(n: u64) -> Result<u64, String> {
    Ok(worked(n))
}

#[workflow]
pub(super) async fn plan(ctx: Ctx, mut plan: Plan) -> Result<Vec<u64>, Exit<String>> {
    let mut dice = Dice(plan.seed ^ plan.lives);
    for round in 0..plan.rounds {
        let long = Duration::from_secs(70 + dice.roll(100));
        let short = Duration::from_millis(200 + dice.roll(3_000));
        match dice.roll(9) {
            0 => check(ctx.run(work, round).await? == worked(round))?,
            1 => check(ctx.step("local", async move |_| Ok::<_, String>(round)).await? == round)?,
            2 => ctx.sleep(short).await?,
            3 => {
                let (a, b, c) =
                    join!(ctx.run(work, 1), ctx.sleep(short), ctx.step("joined", async |_| Ok::<_, String>(4)));
                b?;
                check(a? == worked(1) && c? == 4)?;
            }
            4 => select! {
                worked = ctx.run(work, 2) => drop(worked?),
                slept = ctx.sleep(short) => slept?,
                stepped = ctx.step("raced", async |_| Ok::<_, String>(5)) => check(stepped? == 5)?,
            },
            5 if plan.got.len() < plan.want => select! {
                sent = ctx.signals::<u64>("value").recv() => plan.got.push(sent?),
                slept = ctx.sleep(long) => slept?,
            },
            6 if BROKEN.get() => panic!("the code is broken for now"),
            7 if plan.lives > 0 => {
                plan.lives -= 1;
                let step = ctx.step("left behind", async |_| Ok::<_, String>(6));
                let first = select! {
                    stepped = step => stepped.is_ok(),
                    slept = ctx.sleep(Duration::from_millis(300)) => slept.is_ok(),
                };
                check(first)?;
                return Err(ctx.continue_as_new::<plan>(plan));
            }
            _ => {
                ctx.step("first", async |_| Ok::<_, String>(1)).await?;
                ctx.step("second", async |_| Ok::<_, String>(2)).await?;
            }
        }
    }
    while plan.got.len() < plan.want {
        let sent = ctx.signals::<u64>("value").recv().await?;
        plan.got.push(sent);
    }
    Ok(plan.got)
}

fn check(right: bool) -> Result<(), Exit<String>> {
    if right { Ok(()) } else { Err("the result is not the operation's own".to_owned())? }
}
