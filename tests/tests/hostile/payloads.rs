//! Payloads of the wrong type and of the wrong size.

use anyhow::Result;
use highwater::{
    Payload,
    client::{ResultError, SignalError, StartError},
    prelude::*,
};
use highwater_tests::{
    collect::collect,
    deadline::within,
    raw_nats::RawNats,
    space::{self, Running},
};

use crate::{SERVER, normal, still_works};

#[tokio::test(flavor = "multi_thread")]
async fn an_input_of_the_wrong_type_fails_the_run_and_says_what_does_not_fit() -> Result<()> {
    let highwater = space::open(&SERVER, "misfit").await;
    let worker = Running::spawn(highwater.worker().workflow(normal).build()?);
    let client = highwater.client();
    let run = client.start_by_name("normal", Payload::json("{\"amount\": \"five\"}")).id("misfit").await?;
    let error = within("the result", run.result()).await.expect_err("it fails").to_string();
    for told in ["does not fit", "u32", "amount"] {
        assert!(error.contains(told), "{error}");
    }
    let described = run.describe().await?;
    assert_eq!(described.progress.to_string(), "failed");
    assert!(described.failure.is_some_and(|failure| failure.to_string().contains("u32")));
    let mut raw = RawNats::connect(SERVER.port()).await?;
    raw.store("hw.misfit.do.start.default.normal.text", &[("Content-Type", "text/plain")], b"five").await?;
    let error = within("the result", client.handle_of(normal, "text")?.result()).await.expect_err("it fails");
    assert!(error.to_string().contains("text/plain"), "{error}");
    still_works(&highwater).await;
    worker.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_of_the_wrong_type_changes_nothing_and_stays_in_the_history() -> Result<()> {
    let highwater = space::open(&SERVER, "misfit-signal").await;
    let worker = Running::spawn(highwater.worker().workflow(collect).workflow(normal).build()?);
    let run = highwater.client().start(collect, 2).await?;
    run.signal("number", &1).await?;
    run.signal("number", "one").await?;
    run.signal("unheard-of", &5).await?;
    run.signal("number", &2).await?;
    assert_eq!(within("the result", run.result()).await?, [1, 2]);
    let described = within("the description", run.describe()).await?;
    let unhandled = described.unhandled_signals.expect("the worker answers").signals;
    let names: Vec<&str> = unhandled.iter().map(|signal| signal.name.as_str()).collect();
    assert_eq!(names, ["number", "unheard-of"]);
    assert!(unhandled[0].problem.as_ref().is_some_and(|problem| problem.contains("u32")), "{unhandled:?}");
    assert_eq!(unhandled[1].problem, None);
    let signals = run.history().await?.iter().filter(|event| event.event.name() == "Signaled").count();
    assert_eq!(signals, 4);
    still_works(&highwater).await;
    worker.stop().await;
    Ok(())
}

/// Returns that many bytes, by way of a step when `step` says so.
#[workflow]
pub async fn produce(ctx: Ctx, (bytes, step): (usize, bool)) -> Result<String, Exit> {
    if step {
        return Ok(ctx.step("produce", move |_| async move { Ok::<_, String>("x".repeat(bytes)) }).await?);
    }
    Ok("x".repeat(bytes))
}

#[tokio::test(flavor = "multi_thread")]
async fn payloads_over_the_servers_limit_fail_what_they_are_for_and_nothing_else() -> Result<()> {
    let highwater = space::open(&SERVER, "large").await;
    let worker = Running::spawn(highwater.worker().workflow(collect).workflow(produce).workflow(normal).build()?);
    let client = highwater.client();
    let large = "x".repeat(2 * 1024 * 1024);

    let error = client.start_by_name("normal", Payload::encode(&large)?).await.expect_err("too large");
    assert!(matches!(error, StartError::TooLarge { .. }), "{error:?}");
    assert!(error.to_string().contains("pass a reference to the data instead"), "{error}");

    let run = client.start(collect, 1).await?;
    let error = run.signal("number", &large).await.expect_err("too large");
    assert!(matches!(error, SignalError::TooLarge { .. }), "{error:?}");
    run.signal("number", &1).await?;
    assert_eq!(within("the result", run.result()).await?, [1]);

    for step in [false, true] {
        let run = client.start(produce, (2 * 1024 * 1024, step)).await?;
        let error = within("the result", run.result()).await.expect_err("too large");
        assert!(matches!(error, ResultError::FailedOtherwise(_)), "{error:?}");
        assert!(error.to_string().contains("limit for a payload is"), "{error}");
    }
    // Just below the limit it all goes through.
    let run = client.start(produce, (1000 * 1024, true)).await?;
    assert_eq!(within("the result", run.result()).await?.len(), 1000 * 1024);
    still_works(&highwater).await;
    worker.stop().await;
    Ok(())
}
