//! Workers come and go.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use highwater::{
    prelude::*,
    testing::{TestEnv, mock},
};

use crate::{Shop, approval, days, order};

#[tokio::test]
async fn a_run_is_rebuilt_for_every_step_unless_it_is_kept() {
    static BEGUN: AtomicU32 = AtomicU32::new(0);
    #[workflow]
    async fn three(ctx: Ctx) -> Result<(), Exit> {
        BEGUN.fetch_add(1, Ordering::Relaxed);
        ctx.sleep(days(1)).await?;
        ctx.run(Shop::greet, "a".into()).await?;
        ctx.run(Shop::greet, "b".into()).await?;
        Ok(())
    }
    let begun_in = async |env: TestEnv| {
        BEGUN.store(0, Ordering::Relaxed);
        let run = env.client().start(three, ()).id("t").await.unwrap();
        env.sleep(Duration::from_mins(1)).await;
        env.evict("t").await;
        run.result().await.unwrap();
        let begun = BEGUN.load(Ordering::Relaxed);
        env.finish().await;
        assert_eq!(BEGUN.load(Ordering::Relaxed), begun + 1, "and once more at the end");
        begun
    };
    let builder = || TestEnv::builder().workflow(three).activities(Shop);
    assert_eq!(begun_in(builder().start().await).await, 4, "the start, and three times for what came later");
    assert_eq!(begun_in(builder().keep_runs().start().await).await, 2, "the start, and after it was evicted");
}

#[tokio::test]
async fn a_worker_that_crashes_is_followed_by_one_that_goes_on() {
    let charge =
        mock(Shop::charge, |cents: u64| async move { Ok(format!("{cents} cents")) }).takes(Duration::from_secs(5));
    let env = TestEnv::builder().workflow(order).mocked(charge).start().await;
    let run = env.client().start(order, 5).id("o").await.unwrap();
    env.restart_worker().await;
    env.sleep(days(5) + Duration::from_secs(1)).await;
    assert_eq!(env.calls(Shop::charge).len(), 1, "it is under way");
    env.restart_worker().await;
    let before = env.now();
    assert_eq!(run.result().await.unwrap(), "5 cents");
    assert_eq!(env.calls(Shop::charge).len(), 2);
    assert!(env.now().since(before) >= Duration::from_secs(15), "the task came again and was done");
    env.finish().await;
}

#[tokio::test]
async fn without_a_worker_requests_wait() {
    let env = TestEnv::builder().workflow(approval).start().await;
    env.stop_worker().await;
    let run = env.client().start(approval, ()).id("a").await.unwrap();
    run.signal("approve", &"bob").await.unwrap();
    env.sleep(days(1)).await;
    env.start_worker();
    assert_eq!(run.result().await.unwrap(), "bob");
    env.finish().await;
}

#[tokio::test]
async fn faults_of_the_broker_are_overcome() {
    let env = TestEnv::builder().workflow(order).mock(Shop::charge, |_| async { Ok("paid".into()) }).start().await;
    env.faults().lose_answers("hw.test.h.>", 1);
    env.faults().fail_publishes("hw.test.act.>", 2);
    let run = env.client().start(order, 5).id("o").await.unwrap();
    assert_eq!(run.result().await.unwrap(), "paid");
    assert_eq!(env.calls(Shop::charge).len(), 1);
    env.finish().await;
}

#[tokio::test]
async fn a_result_that_its_worker_could_not_tell_is_found() {
    let env = TestEnv::builder().workflow(order).mock(Shop::charge, |_| async { Ok("paid".into()) }).start().await;
    let run = env.client().start(order, 5).id("o").await.unwrap();
    env.sleep(days(4)).await;
    let result = tokio::spawn(async move { run.result().await });
    env.settle().await;
    // Nothing of what the worker tells arrives from now on.
    env.faults().lose_messages("hw.test.closed.>");
    env.faults().lose_messages("_INBOX.>");
    assert_eq!(result.await.unwrap().unwrap(), "paid");
}

#[tokio::test]
async fn what_is_refused_for_a_message_in_flight_is_sent_again() {
    let env = TestEnv::builder().workflow(order).mock(Shop::charge, |_| async { Ok("paid".into()) }).start().await;
    // That message may get lost, so a task or a timer that was refused for its sake may not be there.
    for filter in ["hw.test.h.>", "hw.test.act.>", "hw.test.tmr.>"] {
        env.faults().refuse_publishes(filter, 2);
    }
    let run = env.client().start(order, 5).id("o").await.unwrap();
    assert_eq!(run.result().await.unwrap(), "paid");
    assert_eq!(env.calls(Shop::charge).len(), 1);
    env.finish().await;
}
