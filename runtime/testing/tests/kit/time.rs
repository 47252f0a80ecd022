//! Time is virtual.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use highwater::{
    prelude::*,
    testing::{TestEnv, hold_time, mock},
};

use crate::{Shop, approval, days, order, panic_of};

#[tokio::test]
async fn five_days_pass_at_once() {
    let real = std::time::Instant::now();
    let env = TestEnv::builder()
        .workflow(order)
        .mock(Shop::charge, |cents: u64| async move { Ok(format!("{cents} cents")) })
        .start()
        .await;
    let before = env.now();
    let run = env.client().start(order, 500).id("order-1").await.unwrap();
    env.sleep(days(4)).await;
    assert!(env.calls(Shop::charge).is_empty());
    assert_eq!(run.result().await.unwrap(), "500 cents");
    let passed = env.now().since(before);
    assert!((days(5)..days(5) + Duration::from_secs(1)).contains(&passed), "{passed:?}");
    env.finish().await;
    println!("{passed:?} passed in {:?}", real.elapsed());
}

#[tokio::test]
async fn everything_that_is_due_happens_in_order() {
    #[workflow]
    async fn nap(ctx: Ctx, nights: u64) -> Result<(), Exit> {
        ctx.sleep(days(nights)).await?;
        ctx.run(Shop::greet, format!("{nights}")).await?;
        Ok(())
    }
    let env = TestEnv::builder().workflow(nap).activities(Shop).start().await;
    for nights in [3, 1, 2] {
        env.client().start(nap, nights).id(format!("nap-{nights}")).await.unwrap();
    }
    env.sleep(days(2)).await;
    assert_eq!(env.calls(Shop::greet), ["1", "2"], "what is due at the very end has happened");
    env.sleep_until(env.now().after(days(1))).await;
    assert_eq!(env.calls(Shop::greet), ["1", "2", "3"]);
    env.finish().await;
}

#[tokio::test]
async fn a_signal_comes_when_the_test_sends_it() {
    let env = TestEnv::builder().workflow(approval).start().await;
    let run = env.client().start(approval, ()).id("a").await.unwrap();
    env.sleep(days(365)).await;
    run.signal("approve", &"ann").await.unwrap();
    assert_eq!(run.result().await.unwrap(), "ann");
}

#[tokio::test]
async fn the_clock_shows_what_it_is_set_to() {
    let start = highwater::Timestamp::from_millis(951_782_400_000);
    let env = TestEnv::builder().workflow(approval).start_at(start).start().await;
    assert_eq!(env.now(), start);
}

#[tokio::test]
async fn who_waits_for_the_world_outside_holds_the_time() {
    let charge = mock(Shop::charge, |_| async {
        let _held = hold_time();
        let (send, receive) = tokio::sync::oneshot::channel();
        let begun = std::time::Instant::now();
        std::thread::spawn(move || {
            while begun.elapsed() < Duration::from_millis(20) {
                std::thread::yield_now();
            }
            send.send(())
        });
        receive.await.map(|()| "done".to_owned()).map_err(|error| error.to_string())
    });
    let env = TestEnv::builder().workflow(order).mocked(charge).start().await;
    let before = env.now();
    let run = env.client().start(order, 1).id("o").await.unwrap();
    assert_eq!(run.result().await.unwrap(), "done");
    assert!(env.now().since(before) < days(5) + Duration::from_secs(1), "its timeout did not strike");
    assert_eq!(env.calls(Shop::charge).len(), 1);
}

#[tokio::test]
async fn a_blocking_activity_holds_the_time_by_itself() {
    static ATTEMPTS: AtomicU32 = AtomicU32::new(0);
    #[activity(start_to_close = "10s", blocking)]
    fn crunch(rounds: u64) -> Result<u64, String> {
        ATTEMPTS.fetch_add(1, Ordering::Relaxed);
        let begun = std::time::Instant::now();
        while begun.elapsed() < Duration::from_millis(20) {
            std::thread::yield_now();
        }
        Ok(rounds)
    }
    #[workflow]
    async fn number(ctx: Ctx, rounds: u64) -> Result<u64, Exit> {
        Ok(ctx.run(crunch, rounds).await?)
    }
    let env =
        TestEnv::builder().workflow(number).activities(highwater::FreeActivities::new().with(crunch)).start().await;
    let run = env.client().start(number, 7).id("n").await.unwrap();
    assert_eq!((run.result().await.unwrap(), ATTEMPTS.load(Ordering::Relaxed)), (7, 1));
}

#[test]
fn several_threads_are_refused() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let thread = std::thread::spawn(move || {
        runtime.block_on(async { TestEnv::builder().workflow(approval).start().await });
    });
    let panic = thread.join().unwrap_err();
    let text = panic.downcast_ref::<&str>().copied().unwrap_or_default();
    assert!(text.contains("multi_thread"), "{text}");
}

#[test]
fn a_clock_that_stands_still_already_is_taken_as_it_is() {
    let text = panic_of(|| async {
        tokio::time::pause();
        let env = TestEnv::builder().workflow(approval).start().await;
        drop(env);
        panic!("so far, so good");
    });
    assert_eq!(text, "so far, so good");
}
