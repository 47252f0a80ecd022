//! What goes on beside each other in one run, and what it shares.

use std::{rc::Rc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use highwater::{
    prelude::*,
    sync::{Mutex, Semaphore, channel},
    testing::TestEnv,
};

use crate::{Shop, days};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn spawned_tasks_hand_over_what_they_make_through_a_channel() {
    #[workflow]
    async fn mill(ctx: Ctx, loads: u64) -> Result<Vec<String>, Exit> {
        let (sender, mut receiver) = channel();
        for load in 1..=loads {
            let (inner, sender) = (ctx.clone(), sender.clone());
            let grinding = async move {
                // The last to come is the first to be ready.
                inner.sleep(days(loads - load)).await?;
                let flour = inner.run(Shop::greet, format!("load {load}")).await?;
                sender.send(flour).expect("somebody receives");
                Ok::<_, Exit>(())
            };
            ctx.spawn(grinding).detach();
        }
        drop(sender);
        let mut flour = Vec::new();
        while let Some(bag) = receiver.recv().await {
            flour.push(bag);
        }
        Ok(flour)
    }
    let env = TestEnv::builder().workflow(mill).activities(Shop).start().await;
    let run = env.client().start(mill, 3).id("mill").await.unwrap();
    assert_eq!(run.result().await.unwrap(), ["Hello, load 3!", "Hello, load 2!", "Hello, load 1!"]);
    env.finish().await;
}

#[tokio::test]
async fn a_task_that_is_dropped_ends_and_one_that_is_detached_goes_on() {
    #[workflow]
    async fn two(ctx: Ctx) -> Result<String, Exit> {
        let greeting = |name: &str| {
            let (ctx, name) = (ctx.clone(), name.to_owned());
            async move {
                ctx.sleep(days(1)).await?;
                Ok::<_, Exit>(ctx.run(Shop::greet, name).await?)
            }
        };
        let awaited = ctx.spawn(greeting("awaited"));
        let dropped = ctx.spawn(greeting("dropped"));
        ctx.spawn(greeting("detached")).detach();
        ctx.sleep(SECOND).await?;
        drop(dropped);
        let greeted = awaited.await?;
        ctx.sleep(SECOND).await?;
        Ok(greeted)
    }
    let env = TestEnv::builder().workflow(two).activities(Shop).start().await;
    let run = env.client().start(two, ()).id("two").await.unwrap();
    assert_eq!(run.result().await.unwrap(), "Hello, awaited!");
    assert_eq!(env.calls(Shop::greet), ["awaited", "detached"]);
    env.finish().await;
}

#[tokio::test]
async fn a_lock_is_held_across_awaits_and_goes_to_who_asked_first() {
    #[workflow]
    async fn counter(ctx: Ctx, tasks: u32) -> Result<Vec<u32>, Exit> {
        let log = Rc::new(Mutex::new(Vec::new()));
        let appending = |number: u32| {
            let (ctx, log) = (ctx.clone(), Rc::clone(&log));
            async move {
                let mut log = log.lock().await;
                let before = log.len();
                // Were the lock not held meanwhile, the shorter waits would be over first.
                ctx.sleep(SECOND * (tasks - number)).await?;
                assert_eq!(log.len(), before, "somebody else had the lock");
                log.push(number);
                Ok::<_, Exit>(())
            }
        };
        let tasks: Vec<_> = (0..tasks).map(|number| ctx.spawn(appending(number))).collect();
        try_join_all(tasks).await?;
        Ok(log.lock().await.clone())
    }
    let env = TestEnv::builder().workflow(counter).start().await;
    let run = env.client().start(counter, 5).id("counter").await.unwrap();
    assert_eq!(run.result().await.unwrap(), [0, 1, 2, 3, 4]);
    env.finish().await;
}

#[tokio::test]
async fn a_semaphore_lets_so_many_in_at_a_time() {
    /// Visits that take a day each, and how many days all of them took.
    #[workflow]
    async fn museum(ctx: Ctx, (visitors, doors): (usize, usize)) -> Result<u64, Exit> {
        let opened = ctx.now();
        let doors = Rc::new(Semaphore::new(doors));
        let visit = || {
            let (ctx, doors) = (ctx.clone(), Rc::clone(&doors));
            async move {
                let _permit = doors.acquire().await;
                ctx.sleep(days(1)).await
            }
        };
        try_join_all((0..visitors).map(|_| visit())).await?;
        Ok(ctx.now().since(opened).as_secs() / days(1).as_secs())
    }
    let env = TestEnv::builder().workflow(museum).start().await;
    for (visitors, doors, expected) in [(7, 2, 4), (7, 7, 1), (3, 1, 3)] {
        let run = env.client().start(museum, (visitors, doors)).await.unwrap();
        assert_eq!(run.result().await.unwrap(), expected, "{visitors} visitors, {doors} doors");
    }
    env.finish().await;
}

#[tokio::test]
async fn a_scope_is_cancelled_without_the_rest_of_the_run() {
    #[workflow]
    async fn search(ctx: Ctx) -> Result<(String, String), Exit> {
        let scope = ctx.scope();
        let inner = scope.ctx().clone();
        let searching = ctx.spawn(async move {
            if inner.sleep(days(30)).await.is_ok() {
                return "found".to_owned();
            }
            let after = inner.shielded().run(Shop::greet, "clean-up".into()).await;
            format!("{}: {}", inner.cancel_reason().unwrap_or_default(), after.unwrap_or_default())
        });
        ctx.sleep(days(1)).await?;
        scope.cancel("took too long");
        let searched = searching.await;
        // This handle belongs to the run, which nobody has cancelled.
        ctx.sleep(days(1)).await?;
        assert!(!ctx.is_cancelled() && scope.is_cancelled());
        Ok((searched, ctx.run(Shop::greet, "run".into()).await?))
    }
    let env = TestEnv::builder().workflow(search).activities(Shop).start().await;
    let run = env.client().start(search, ()).id("search").await.unwrap();
    let (searched, greeted) = run.result().await.unwrap();
    assert_eq!((searched.as_str(), greeted.as_str()), ("took too long: Hello, clean-up!", "Hello, run!"));
    env.finish().await;
}

#[tokio::test]
async fn sleeping_until_a_time_ends_at_that_time_and_at_once_when_it_has_passed() {
    #[workflow]
    async fn alarm(ctx: Ctx, at: highwater::Timestamp) -> Result<[highwater::Timestamp; 2], Exit> {
        ctx.sleep_until(at).await?;
        let rung = ctx.now();
        ctx.sleep_until(rung.after(days(0))).await?;
        ctx.sleep_until(ctx.info().started_at).await?;
        Ok([rung, ctx.now()])
    }
    let env = TestEnv::builder().workflow(alarm).start().await;
    let at = env.now().after(days(17) + SECOND);
    let run = env.client().start(alarm, at).id("alarm").await.unwrap();
    let times = run.result().await.unwrap();
    for time in times {
        assert!(time >= at && time.since(at) < SECOND, "{time:?} is not {at:?}");
    }
    env.finish().await;
}

#[tokio::test]
async fn a_thousand_operations_are_joined() {
    #[workflow]
    async fn thousand(ctx: Ctx) -> Result<u64, Exit> {
        let doubled = |n: u64| ctx.step("double", async move |_| Ok::<_, String>(2 * n));
        let doubles = try_join_all((0..1_000).map(doubled)).await?;
        assert!(doubles.iter().copied().eq((0..1_000).map(|n| 2 * n)), "they stand in the order of the calls");
        Ok(doubles.into_iter().sum())
    }
    let env = TestEnv::builder().workflow(thousand).start().await;
    let run = env.client().start(thousand, ()).id("thousand").await.unwrap();
    assert_eq!(run.result().await.unwrap(), 999_000);
    env.finish().await;
}

#[tokio::test]
async fn a_thousand_operations_are_taken_as_they_end() {
    /// Timers that are due in the reverse of the order in which they were set.
    #[workflow]
    async fn thousand(ctx: Ctx) -> Result<bool, Exit> {
        let timer = |n: u32| {
            let sleep = ctx.sleep(SECOND * (1_000 - n));
            async move { sleep.await.map(|()| n) }
        };
        let mut timers: FuturesUnordered<_> = (0..1_000).map(timer).collect();
        let mut rung = Vec::new();
        while let Some(n) = timers.next().await {
            rung.push(n?);
        }
        Ok(rung.into_iter().eq((0..1_000).rev()))
    }
    // Rebuilding a run of a thousand records a thousand times is not what this is about.
    let env = TestEnv::builder().workflow(thousand).keep_runs().start().await;
    let run = env.client().start(thousand, ()).id("thousand").await.unwrap();
    assert!(run.result().await.unwrap(), "they came in the order in which they were due");
    env.finish().await;
}
