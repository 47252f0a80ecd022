//! Ids that are used again.

use anyhow::Result;
use highwater::{
    client::{IdConflict, IdReuse, ResultError, StartError},
    prelude::*,
};
use highwater_tests::{
    deadline::within,
    space::{self, Running},
};

use crate::SERVER;

/// Ends as the signal says.
#[workflow]
async fn decided(ctx: Ctx, (): ()) -> Result<(), Exit> {
    if ctx.signals::<bool>("decide").recv().await? { Ok(()) } else { Err("decided against".to_owned().into()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_id_of_a_closed_run_is_used_again_as_the_policy_says() -> Result<()> {
    let highwater = space::open(&SERVER, "reuse").await;
    let worker = Running::spawn(highwater.worker().workflow(decided).build()?);
    let client = highwater.client();
    let start = async |policy| client.start(decided, ()).id("one").id_reuse(policy).await;
    let run = start(IdReuse::Reject).await?;
    run.signal("decide", &false).await?;
    let error = within("the result", run.result()).await.expect_err("it fails");
    assert!(matches!(&error, ResultError::Failed(text) if text == "decided against"), "{error:?}");

    let error = start(IdReuse::Reject).await.expect_err("it was used");
    assert!(matches!(error, StartError::AlreadyUsed { .. }), "{error:?}");
    let second = start(IdReuse::AllowIfFailed).await?;
    assert_ne!(second.run_id(), run.run_id());
    second.signal("decide", &true).await?;
    within("the result", second.result()).await?;

    let error = start(IdReuse::AllowIfFailed).await.expect_err("it completed");
    assert!(error.to_string().contains("which is completed; use another id, or the reuse policy allow"), "{error}");
    let third = start(IdReuse::Allow).await?;
    third.signal("decide", &true).await?;
    within("the result", third.result()).await?;
    // Each run keeps its own end.
    let error = within("the first result", run.result()).await.expect_err("it failed");
    assert!(matches!(error, ResultError::Failed(_)), "{error:?}");
    worker.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_id_of_a_running_run_is_dealt_with_as_the_policy_says() -> Result<()> {
    let highwater = space::open(&SERVER, "conflict").await;
    let worker = Running::spawn(highwater.worker().workflow(decided).build()?);
    let client = highwater.client();
    let start = async |policy| client.start(decided, ()).id("one").id_conflict(policy).await;
    let run = start(IdConflict::Fail).await?;
    let error = start(IdConflict::Fail).await.expect_err("it is running");
    assert!(
        matches!(&error, StartError::AlreadyRunning { run: other, .. } if Some(*other) == run.run_id()),
        "{error:?}"
    );
    let same = start(IdConflict::UseExisting).await?;
    assert_eq!(same.run_id(), run.run_id());
    let next = start(IdConflict::TerminateExisting).await?;
    assert_ne!(next.run_id(), run.run_id());
    let error = within("the first result", run.result()).await.expect_err("it made room");
    assert!(matches!(error, ResultError::Terminated(_)), "{error:?}");
    next.signal("decide", &true).await?;
    within("the result", next.result()).await?;
    worker.stop().await;
    Ok(())
}
