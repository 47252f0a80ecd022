//! Calls of activities: by name, and left alone when the run gives them up.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use highwater::{
    ActivityCancellation,
    prelude::*,
    testing::{TestEnv, mock_with},
};

use crate::Shop;

#[tokio::test]
async fn an_activity_is_called_by_its_name() {
    #[workflow]
    async fn hello(ctx: Ctx, name: String) -> Result<String, Exit> {
        let greeting =
            ctx.run_named::<_, String, String>("greet", &name).start_to_close(Duration::from_secs(5)).await?;
        // What does not fit is told to the caller, and the run goes on.
        let wrong = ctx.run_named::<_, u64, String>("greet", &name).await;
        let Err(CallError::Other(failure)) = wrong else { panic!("{wrong:?}") };
        assert!(failure.message.contains("does not fit"), "{failure}");
        Ok(greeting)
    }
    let env = TestEnv::builder().workflow(hello).activities(Shop).start().await;
    let run = env.client().start(hello, "Ann".into()).id("hello").await.unwrap();
    assert_eq!(run.result().await.unwrap(), "Hello, Ann!");
    assert_eq!(env.calls(Shop::greet), ["Ann", "Ann"]);
    env.finish().await;
}

#[tokio::test]
async fn an_activity_that_is_given_up_is_asked_to_stop_unless_it_is_to_be_left_alone() {
    /// Gives a charge up after three seconds, and goes on.
    #[workflow]
    async fn impatient(ctx: Ctx, abandon: bool) -> Result<String, Exit> {
        let policy = if abandon { ActivityCancellation::Abandon } else { ActivityCancellation::Try };
        let charging = ctx.timeout(Duration::from_secs(3), ctx.run(Shop::charge, 5).cancellation(policy)).await;
        // The run is still there when the charge ends.
        ctx.sleep(Duration::from_mins(1)).await?;
        Ok(if charging.is_ok() { "charged" } else { "gave up" }.to_owned())
    }
    let ended: Arc<Mutex<Vec<&str>>> = Arc::default();
    let told = Arc::clone(&ended);
    let charge = mock_with(Shop::charge, move |context, _| {
        let told = Arc::clone(&told);
        async move {
            let end = tokio::select! {
                () = context.cancelled() => "was asked to stop",
                () = tokio::time::sleep(Duration::from_secs(8)) => "was left alone",
            };
            told.lock().unwrap().push(end);
            Ok(end.to_owned())
        }
    });
    let env = TestEnv::builder().workflow(impatient).mocked(charge).start().await;
    for (abandon, end) in [(true, "was left alone"), (false, "was asked to stop")] {
        let run = env.client().start(impatient, abandon).await.unwrap();
        assert_eq!(run.result().await.unwrap(), "gave up");
        assert_eq!(std::mem::take(&mut *ended.lock().unwrap()), [end]);
        let asked = run.history().await.unwrap().iter().any(|e| e.event.name() == "ActivityCancelRequested");
        assert_eq!(asked, !abandon);
    }
    env.finish().await;
}
