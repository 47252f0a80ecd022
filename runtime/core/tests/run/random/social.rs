//! A workflow that deals with others, in all ways, in a random order: children, messages, handlers, tasks, changes of
//! its own code.

use std::time::Duration;

use highwater_core::{
    Ctx, Exit,
    context::{ChildCancellation, accept},
    join::join_all,
    sync::Mutex,
};
use highwater_macros::{join, select, workflow};
use highwater_protocol::event::Attributes;

use super::{Dice, mixed::work};

#[derive(Default)]
pub(super) struct Social {
    sum: u64,
}

#[workflow]
async fn child(_ctx: Ctx, n: u64) -> Result<u64, Exit> {
    Ok(n)
}

const HOW: [ChildCancellation; 4] = [
    ChildCancellation::WaitCompleted,
    ChildCancellation::WaitRequested,
    ChildCancellation::Try,
    ChildCancellation::Abandon,
];

#[workflow(name = "social")]
impl Social {
    #[run]
    pub(super) async fn run(ctx: Ctx<Self>, seed: u64) -> Result<Vec<u64>, Exit> {
        let mut dice = Dice(seed);
        ctx.on_signal("job", |ctx, n: u64| async move {
            let done = ctx.run(work, n).await.unwrap_or(1);
            ctx.update(|social| social.sum += done);
        });
        ctx.on_update(
            "slow",
            |social, n: &u64| if *n > social.sum + 20 { Err("too much") } else { Ok(()) },
            Self::slow,
        );
        ctx.on_update("brief", accept, |ctx, n: u64| async move { Ok::<_, Exit>(ctx.update(|social| social.sum + n)) });
        ctx.on_update("endless", accept, |ctx, (): ()| async move {
            ctx.wait_until(|_| false).await?;
            Ok::<_, Exit>(())
        })
        .abandon();
        let mut log = Vec::new();
        for round in 0..4 + dice.roll(10) {
            log.push(Self::round(&ctx, &mut dice, round).await);
            log.push(ctx.read(|social| social.sum));
        }
        Ok(log)
    }

    async fn slow(ctx: Ctx<Self>, n: u64) -> Result<u64, Exit> {
        let worked = ctx.run(work, n).await?;
        assert!(n % 7 != 3, "a panic ends the update only");
        ctx.sleep(Duration::from_secs(1)).await?;
        Ok(ctx.update(|social| {
            social.sum += worked;
            social.sum
        }))
    }

    async fn round(ctx: &Ctx<Self>, dice: &mut Dice, round: u64) -> u64 {
        let (how, short) = (HOW[dice.roll(4) as usize], Duration::from_secs(1 + dice.roll(3)));
        let call = || ctx.child(child, round).cancellation(how);
        match dice.roll(11) {
            0 => call().await.unwrap_or(1_000),
            1 => match call().start().await {
                Ok(started) => {
                    started.signal("hello", &round).detach();
                    select! {
                        ended = started.result() => ended.unwrap_or(2_000),
                        slept = ctx.sleep(short) => u64::from(slept.is_ok()),
                    }
                }
                Err(_) => 3_000,
            },
            2 => {
                call().into_future().detach();
                drop(call().start());
                0
            }
            3 => match call().start().await {
                Ok(started) => {
                    started.cancel("enough");
                    let (first, second) = join!(started.result(), started.result());
                    first.unwrap_or(4_000) + second.unwrap_or(5_000)
                }
                Err(_) => 6_000,
            },
            4 => u64::from(ctx.workflow("other").signal("ping", &round).await.is_ok()),
            5 => {
                let (told, asked) =
                    join!(ctx.shielded().workflow("other").signal("ping", &round), ctx.workflow("third").cancel("why"));
                u64::from(told.is_ok()) * 2 + u64::from(asked.is_ok())
            }
            6 => Self::tasks(ctx, dice).await,
            7 => {
                let way = u64::from(ctx.patched(&format!("change-{}", dice.roll(4))));
                ctx.deprecate_patch(&format!("old-{}", dice.roll(4)));
                ctx.run(work, way).await.unwrap_or(way)
            }
            8 => {
                let set = ctx.upsert_attributes(Attributes::default().with(format!("a{}", dice.roll(3)), round as i64));
                u64::from(set.is_ok()) + ctx.info().attributes.iter().count() as u64
            }
            9 => ctx.info().history_events * 1_000 + ctx.info().history_bytes,
            _ => {
                let scope = ctx.scope();
                let (inner, ()) =
                    join!(async { scope.ctx().child(child, 9).cancellation(how).await.unwrap_or(7) }, async {
                        ctx.sleep(short).await.ok();
                        scope.cancel("late");
                    });
                inner
            }
        }
    }

    /// Tasks that share a lock; some are awaited, some dropped, some left to themselves.
    async fn tasks(ctx: &Ctx<Self>, dice: &mut Dice) -> u64 {
        let lock = std::rc::Rc::new(Mutex::new(0_u64));
        let mut spawn = |n: u64| {
            let (ctx, lock, pause) = (ctx.clone(), lock.clone(), Duration::from_secs(dice.roll(3)));
            ctx.clone().spawn(async move {
                ctx.sleep(pause).await.ok();
                let mut held = lock.lock().await;
                *held = *held * 3 + ctx.run(work, n).await.unwrap_or(n);
                *held
            })
        };
        let (first, second, third, fourth) = (spawn(1), spawn(2), spawn(3), spawn(4));
        third.detach();
        drop(fourth);
        join_all([first, second]).await.into_iter().sum()
    }
}
