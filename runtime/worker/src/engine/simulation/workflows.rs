//! A workflow that does everything in an order that its input says, and whose result tells what it was given.

use std::{cell::Cell, time::Duration};

use highwater_core::{
    Ctx, Exit,
    context::{Child, ExternalError, ParentClose},
};
use highwater_macros::{activity, join, select, workflow};
use highwater_protocol::request::IdReuse;
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
    /// How many generations of children it may have.
    pub(super) generations: u64,
}

#[activity]
async fn work(n: u64) -> Result<u64, String> {
    Ok(worked(n))
}

#[workflow]
pub(super) async fn plan(ctx: Ctx, plan: Plan) -> Result<Vec<u64>, Exit<String>> {
    let farewell = format!("run-{}", Dice(plan.seed.wrapping_add(plan.lives)).roll(4));
    let ended = live(&ctx, plan).await;
    // However it ends, this is to arrive, and no code waits for it.
    ctx.shielded().workflow(&farewell).signal("noise", &0).detach();
    ended
}

async fn live(ctx: &Ctx, mut plan: Plan) -> Result<Vec<u64>, Exit<String>> {
    let mut dice = Dice(plan.seed ^ plan.lives);
    ctx.on_update("double", refuse_fives, async |_, number: u64| Ok::<_, Exit<String>>(number * 2));
    ctx.on_update("double later", refuse_fives, async |ctx: Ctx, number: u64| {
        ctx.sleep(Duration::from_millis(50)).await?;
        Ok::<_, Exit<String>>(number * 2)
    });
    for round in 0..plan.rounds {
        if ctx.continue_as_new_suggested() && plan.lives > 0 && !ctx.is_cancelled() {
            plan.lives -= 1;
            return Err(ctx.continue_as_new::<self::plan>(plan));
        }
        let long = Duration::from_secs(70 + dice.roll(100));
        let short = Duration::from_millis(200 + dice.roll(3_000));
        match dice.roll(13) {
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
                if ctx.is_cancelled() {
                    return Err(Exit::Cancelled);
                }
                check(first)?;
                return Err(ctx.continue_as_new::<self::plan>(plan));
            }
            8 if plan.generations > 0 => raise(ctx, &plan, &mut dice, short).await?,
            // Whether the other one takes it, or is there at all, is not up to this one.
            9 => drop(ctx.workflow(&format!("run-{}", dice.roll(4))).signal("noise", &round).await),
            10 => ctx.workflow(&format!("run-{}", dice.roll(4))).signal("noise", &round).detach(),
            11 => {
                let sent = ctx.workflow(&format!("child-{}", dice.roll(2))).cancel("why").await;
                if let Err(ExternalError::Cancelled) = sent {
                    return Err(Exit::Cancelled);
                }
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

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature of a validator")]
fn refuse_fives(_state: &(), number: &u64) -> Result<(), String> {
    if number.is_multiple_of(5) { Err("no fives".into()) } else { Ok(()) }
}

/// Starts a child that either ends by itself or goes on until somebody ends it.
async fn raise(ctx: &Ctx, plan: &Plan, dice: &mut Dice, patience: Duration) -> Result<(), Exit<String>> {
    let endless = dice.roll(2) == 0;
    let child = Plan {
        seed: dice.roll(1_000),
        rounds: dice.roll(3),
        want: usize::from(endless),
        lives: dice.roll(2),
        got: Vec::new(),
        generations: plan.generations - 1,
    };
    let close = if dice.roll(2) == 0 { ParentClose::Terminate } else { ParentClose::RequestCancel };
    let call = ctx.child(self::plan, child).id(&format!("child-{}", dice.roll(2))).id_reuse(IdReuse::Allow);
    let call = call.parent_close(close);
    match dice.roll(3) {
        // It is ended when this run is.
        0 => drop(call.start().await.map(Child::detach)),
        1 if !endless => drop(call.await),
        // It is asked to cancel when it has not ended by then.
        _ => select! {
            ended = call => drop(ended),
            slept = ctx.sleep(patience) => slept?,
        },
    }
    if ctx.is_cancelled() { Err(Exit::Cancelled) } else { Ok(()) }
}

fn check(right: bool) -> Result<(), Exit<String>> {
    if right { Ok(()) } else { Err("the result is not the operation's own".to_owned())? }
}
