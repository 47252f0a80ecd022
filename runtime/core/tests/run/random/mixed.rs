//! A workflow that calls, steps, sleeps and waits, in all ways, in a random order.

use std::{rc::Rc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use highwater_core::{
    Ctx, Exit,
    context::ActivityCancellation,
    fault::Elapsed,
    join::{buffered, join_all},
    sync::{Mutex, channel},
};
use highwater_macros::{activity, join, select, workflow};
use highwater_protocol::RetryPolicy;

use super::Dice;

#[activity]
pub(super) async fn work(n: u64) -> Result<u64, String> {
    Ok(n)
}

#[derive(Default)]
pub(super) struct Mixed {
    bumps: u64,
}

#[workflow(name = "mixed")]
impl Mixed {
    #[run]
    pub(super) async fn run(ctx: Ctx<Self>, seed: u64) -> Result<Vec<u64>, Exit> {
        let mut dice = Dice(seed);
        let mut log = Vec::new();
        for round in 0..5 + dice.roll(10) {
            log.push(Self::round(&ctx, &mut dice, round).await);
            log.push(ctx.now().as_millis() as u64);
        }
        Ok(log)
    }

    async fn round(ctx: &Ctx<Self>, dice: &mut Dice, round: u64) -> u64 {
        let seconds = |dice: &mut Dice| Duration::from_secs(1 + dice.roll(5));
        let (short, long) = (seconds(dice), seconds(dice));
        match dice.roll(15) {
            0 => ctx.run(work, round).await.unwrap_or(1_000),
            1 => ctx
                .step("local", async move |_| if round.is_multiple_of(3) { Err("no".to_owned()) } else { Ok(round) })
                .await
                .unwrap_or(2_000),
            2 => u64::from(ctx.sleep(short).await.is_ok()),
            3 => {
                let (a, b, c) =
                    join!(ctx.run(work, 1), ctx.sleep(short), ctx.step("joined", async |_| Ok::<_, String>(4)));
                a.unwrap_or(7) + u64::from(b.is_ok()) + c.unwrap_or(9)
            }
            4 => select! {
                worked = ctx.run(work, 2) => worked.unwrap_or(3_000),
                slept = ctx.sleep(short) => u64::from(slept.is_ok()),
                sent = ctx.signals::<u64>("value").recv() => sent.unwrap_or(4_000),
                stepped = ctx.step("raced", async |_| Ok::<_, String>(5)) => stepped.unwrap_or(6_000),
            },
            5 => {
                ctx.run(work, 3).into_future().detach();
                ctx.shielded().sleep(short).detach();
                ctx.step("detached", async |_| Ok::<_, String>(0)).into_future().detach();
                0
            }
            6 => {
                let all = join_all((0..dice.roll(6)).map(|n| async move {
                    let first = ctx.run(work, n).await.unwrap_or(n);
                    let slept = ctx.sleep(short).await.is_ok();
                    first + u64::from(slept)
                }));
                all.await.into_iter().fold(0, |sum, n| sum * 31 % 1_000_003 + n)
            }
            7 => {
                let mut some: FuturesUnordered<_> =
                    (0..4).map(|n| async move { ctx.run(work, n).await.unwrap_or(0) * 10 + n }).collect();
                let mut order = 0;
                for _ in 0..3 {
                    order = order * 100 + some.next().await.unwrap_or(99);
                }
                order
            }
            8 => {
                let how = [ActivityCancellation::Try, ActivityCancellation::Wait, ActivityCancellation::Abandon];
                let call = ctx.run(work, 4).cancellation(how[dice.roll(3) as usize]);
                match ctx.timeout(short, call).await {
                    Ok(worked) => worked.unwrap_or(5_000),
                    Err(Elapsed) => 7_000,
                }
            }
            9 => {
                let scope = ctx.scope();
                let (part, ()) = join!(async { scope.ctx().run(work, 5).await.unwrap_or(8_000) }, async {
                    // Asked to cancel, the run cancels the scope itself.
                    ctx.sleep(short).await.ok();
                    scope.cancel("late");
                });
                part
            }
            10 => {
                let policy = RetryPolicy { maximum_attempts: 2, ..RetryPolicy::default() };
                let flaky = ctx.step("flaky", async move |step| {
                    if u64::from(step.attempt()) <= round % 4 { Err("not yet".to_owned()) } else { Ok(round) }
                });
                flaky.retry(policy).await.unwrap_or(9_000)
            }
            11..14 => Self::together(ctx, dice, short).await,
            _ => {
                let wanted = ctx.read(|state| state.bumps) + 1 + dice.roll(2);
                select! {
                    reached = ctx.wait_until(|state| state.bumps >= wanted) => u64::from(reached.is_ok()),
                    slept = ctx.sleep(long) => 10 + u64::from(slept.is_ok()),
                }
            }
        }
    }

    /// Tasks and operations that wait for each other.
    async fn together(ctx: &Ctx<Self>, dice: &mut Dice, short: Duration) -> u64 {
        match dice.roll(3) {
            0 => {
                let total = Rc::new(Mutex::new(0));
                let tasks = (0..3).map(|n| {
                    let (inner, total) = (ctx.clone(), Rc::clone(&total));
                    ctx.spawn(async move {
                        let slept = inner.sleep(short).await.is_ok();
                        let mut total = total.lock().await;
                        *total = *total * 7 + inner.run(work, n).await.unwrap_or(11) + u64::from(slept);
                    })
                });
                // One ends before its time, wherever it is.
                let mut tasks: Vec<_> = tasks.collect();
                drop(tasks.remove(dice.roll(3) as usize));
                join_all(tasks).await;
                *total.lock().await
            }
            1 => {
                let (sender, mut receiver) = channel();
                for n in 0..3 {
                    let (inner, sender) = (ctx.clone(), sender.clone());
                    let code = async move { sender.send(inner.run(work, n).await.unwrap_or(n)).unwrap_or_default() };
                    ctx.spawn(code).detach();
                }
                drop(sender);
                let mut got = ctx.random().below(50);
                while let Some(value) = receiver.recv().await {
                    got = got * 31 % 1_000_003 + value;
                }
                got
            }
            _ => {
                let all = buffered(2, (0..dice.roll(6)).map(|n| ctx.run(work, n))).try_collect::<Vec<_>, _, _>();
                all.await.map_or(12_000, |all| all.into_iter().sum())
            }
        }
    }

    #[signal]
    fn bump(&mut self) {
        self.bumps += 1;
    }
}
