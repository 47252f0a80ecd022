//! Workflows that do everything in a random order, with completions in a random order: whatever happens, a run that is
//! rebuilt from any part of its history is the run that was there.

use std::time::Duration;

use futures_util::{StreamExt, stream::FuturesUnordered};
use highwater_core::{Ctx, Exit, context::ActivityCancellation, fault::Elapsed, join::join_all, open::OpenOperations};
use highwater_macros::{activity, join, select, workflow};
use highwater_protocol::{Event, RetryPolicy};

use crate::play::{Mode, Play, parse, registry};

/// How many runs are played; each in all modes and with a crash behind every event.
const SEEDS: u64 = 150;

/// How many batches a run gets at most; it is cut off then, as nothing promises that it ends.
const BATCHES_MAX: usize = 80;

/// SplitMix64, so that a seed means the same run for ever.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }
}

#[activity]
async fn work(n: u64) -> Result<u64, String> {
    Ok(n)
}

#[derive(Default)]
struct Mixed {
    bumps: u64,
}

#[workflow(name = "mixed")]
impl Mixed {
    #[run]
    async fn run(ctx: Ctx<Self>, seed: u64) -> Result<Vec<u64>, Exit> {
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
        match dice.roll(12) {
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
            _ => {
                let wanted = ctx.read(|state| state.bumps) + 1 + dice.roll(2);
                select! {
                    reached = ctx.wait_until(|state| state.bumps >= wanted) => u64::from(reached.is_ok()),
                    slept = ctx.sleep(long) => 10 + u64::from(slept.is_ok()),
                }
            }
        }
    }

    #[signal]
    fn bump(&mut self) {
        self.bumps += 1;
    }
}

/// Something that may happen to the run now, including what does not concern it any more.
fn happening(play: &mut Play, dice: &mut Dice) -> Event {
    let mut open = OpenOperations::default();
    for piece in &play.history {
        for event in &piece.events {
            open.apply(event, piece.time);
        }
    }
    let pick = |of: Vec<u64>, dice: &mut Dice| of.get(dice.roll(of.len().max(1) as u64) as usize).copied();
    let activity = pick(open.activities.keys().map(|op| op.0).collect(), dice);
    let timer = pick(open.timers.keys().map(|op| op.0).collect(), dice);
    let step = pick(play.open_steps(), dice);
    let line = match (dice.roll(14), activity, timer, step) {
        (0..4, Some(op), ..) => format!("activity {op} ok {}", dice.roll(50)),
        (4, Some(op), ..) => format!("activity {op} error \"no\""),
        (5..8, _, Some(op), _) => format!("fire {op}"),
        (8..11, _, _, Some(op)) => format!("step {op}"),
        (11, ..) => format!("signal value {}", dice.roll(50)),
        (12, ..) if dice.roll(12) == 0 => "cancel why".to_owned(),
        (13, ..) => format!("activity {} ok 1", dice.roll(20)),
        _ => "signal bump".to_owned(),
    };
    parse(play, &line)
}

fn drive(seed: u64, mode: Mode) -> (Vec<String>, usize) {
    let mut dice = Dice(seed ^ 0xd1ce);
    let mut play = Play::new(&registry(Mixed::run), mode);
    let mut answers = play.line(&format!("start {seed}"));
    for _ in 0..BATCHES_MAX {
        if play.concluded {
            break;
        }
        let batch = (0..=dice.roll(3)).map(|_| happening(&mut play, &mut dice)).collect();
        answers.push("---".to_owned());
        answers.extend(play.give(batch).unwrap_or_else(|failure| panic!("{}", failure.failure)));
    }
    (answers, play.history.iter().map(|piece| piece.events.len()).sum())
}

/// Tells the seed when a check fails on the way out.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the seed was {}", self.0);
        }
    }
}

#[test]
fn a_run_rebuilt_from_any_part_of_its_history_is_the_run_that_was_there() {
    let (mut concluded, mut longest) = (0, 0);
    for seed in 0..SEEDS {
        let _seed = Seed(seed);
        let (kept, events) = drive(seed, Mode::Kept);
        assert_eq!(drive(seed, Mode::Evicted), (kept.clone(), events));
        assert_eq!(drive(seed, Mode::Cut).0, kept);
        concluded += u64::from(kept.last().is_some_and(|last| last.starts_with("completed")));
        longest = longest.max(events);
    }
    // Or this test would prove nothing.
    assert!(concluded > SEEDS / 2, "only {concluded} of {SEEDS} runs came to their end");
    assert!(longest > 60, "the longest history has {longest} events only");
}
