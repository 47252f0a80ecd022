//! Activities that the test plays.

use std::time::Duration;

use highwater::{
    prelude::*,
    testing::{TestEnv, mock, mock_with},
};

use crate::{Shop, days, order};

#[tokio::test]
async fn a_mock_takes_the_place_of_one_activity_of_a_set() {
    #[workflow]
    async fn both(ctx: Ctx, name: String) -> Result<String, Exit> {
        let charged = ctx.run(Shop::charge, 5).await?;
        let greeting = ctx.run(Shop::greet, name).await?;
        Ok(format!("{greeting} {charged}"))
    }
    let env = TestEnv::builder()
        .workflow(both)
        .activities(Shop)
        .mock(Shop::charge, |cents: u64| async move { Ok(format!("{cents} cents")) })
        .start()
        .await;
    let run = env.client().start(both, "Ann".into()).id("b").await.unwrap();
    assert_eq!(run.result().await.unwrap(), "Hello, Ann! 5 cents");
    assert_eq!(env.calls(Shop::greet), ["Ann"], "real activities are counted, too");
    env.finish().await;
}

#[tokio::test]
async fn a_mock_can_fail_at_first_and_take_its_time() {
    let charge = mock(Shop::charge, |cents: u64| async move { Ok(format!("{cents} cents")) })
        .fails_first(2, || "the bank is busy".to_owned())
        .takes(Duration::from_secs(7));
    let env = TestEnv::builder().workflow(order).mocked(charge).start().await;
    let before = env.now();
    let run = env.client().start(order, 5).id("o").await.unwrap();
    assert_eq!(run.result().await.unwrap(), "5 cents");
    assert_eq!(env.calls(Shop::charge), [5, 5, 5]);
    let passed = env.now().since(before);
    assert!(passed >= days(5) + Duration::from_secs(21), "{passed:?}");
}

#[tokio::test]
async fn a_mock_that_takes_too_long_times_out() {
    let charge = mock(Shop::charge, |_| async { Ok(String::new()) }).takes(Duration::from_secs(11));
    let env = TestEnv::builder().workflow(order).mocked(charge).start().await;
    let run = env.client().start(order, 5).id("o").await.unwrap();
    let error = run.result().await.unwrap_err();
    assert!(error.to_string().contains("did not end within"), "{error}");
    assert_eq!(env.calls(Shop::charge).len(), 4, "as many attempts as the activity allows");
}

#[tokio::test]
async fn a_mocks_error_is_judged_by_the_activitys_own_pattern() {
    #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    enum PayError {
        Refused(String),
        Busy,
    }
    impl std::fmt::Display for PayError {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "{self:?}")
        }
    }
    impl std::error::Error for PayError {}

    #[activity(start_to_close = "10s", retry(maximum_attempts = 3), non_retryable = PayError::Refused(_))]
    async fn pay(cents: u64) -> Result<(), PayError> {
        Err(PayError::Refused(format!("{cents}")))
    }
    #[workflow]
    async fn payment(ctx: Ctx, cents: u64) -> Result<(), Exit> {
        Ok(ctx.run(pay, cents).await?)
    }
    for (error, attempts) in [(PayError::Refused("no".into()), 1), (PayError::Busy, 3)] {
        let failing = error.clone();
        let refuse = move |_| std::future::ready(Err(failing.clone()));
        let env = TestEnv::builder().workflow(payment).mock(pay, refuse).start().await;
        env.client().start(payment, 5).id("p").await.unwrap().result().await.unwrap_err();
        assert_eq!(env.calls(pay).len(), attempts, "{error}");
        env.finish().await;
    }
}

#[tokio::test]
async fn a_mock_sees_its_attempt_and_that_it_is_cancelled() {
    #[workflow]
    async fn impatient(ctx: Ctx) -> Result<String, Exit> {
        ctx.run(Shop::greet, "first".into()).await?;
        select! {
            _ = ctx.run(Shop::charge, 5) => Ok("charged".to_owned()),
            slept = ctx.sleep(Duration::from_secs(3)) => { slept?; Ok("gave up".to_owned()) }
        }
    }
    let told = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let tell = std::sync::Arc::clone(&told);
    let greet = mock_with(Shop::greet, |context, _| async move {
        if context.attempt() < 3 { Err("again".into()) } else { Ok(format!("at attempt {}", context.attempt())) }
    });
    let charge = mock_with(Shop::charge, move |context, _| {
        let tell = std::sync::Arc::clone(&tell);
        async move {
            context.cancelled().await;
            tell.store(true, std::sync::atomic::Ordering::Relaxed);
            Ok(String::new())
        }
    });
    let env = TestEnv::builder().workflow(impatient).mocked(greet).mocked(charge).start().await;
    let run = env.client().start(impatient, ()).id("i").await.unwrap();
    assert_eq!(run.result().await.unwrap(), "gave up");
    env.settle().await;
    assert!(told.load(std::sync::atomic::Ordering::Relaxed), "a cancelled activity hears of it");
    assert_eq!(env.calls(Shop::greet).len(), 3);
    env.finish().await;
}
