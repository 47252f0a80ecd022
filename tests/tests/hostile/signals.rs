//! Signals while no worker runs, and while one is killed.

use anyhow::Result;
use highwater::client::SignalError;
use highwater_protocol::header;
use highwater_tests::{
    collect::collect,
    deadline::{until, within},
    process::Process,
    raw_nats::RawNats,
    rejected, space,
};

use crate::SERVER;

const COLLECTOR: &str = env!("CARGO_BIN_EXE_collector");

#[tokio::test(flavor = "multi_thread")]
async fn signals_are_taken_in_order_and_once_though_the_worker_that_read_half_of_them_is_killed() -> Result<()> {
    let highwater = space::open(&SERVER, "signals").await;
    let mut raw = RawNats::connect(SERVER.port()).await?;
    let (early, late) = (0..1_000, 1_000..1_200);
    raw.store("hw.signals.do.start.default.collect.all", &[], b"1200").await?;
    let mut send = async |numbers: std::ops::Range<u32>| -> Result<()> {
        for number in numbers {
            let id = format!("all:{number}");
            let headers = [("Nats-Msg-Id", id.as_str())];
            let subject = "hw.signals.do.signal.default.number.all";
            raw.publish(subject, "", &headers, number.to_string().as_bytes()).await?;
        }
        raw.flush().await
    };
    send(early).await?;

    let run = highwater.client().handle_of(collect, "all")?;
    let taken = async || run.history().await.map_or(0, |h| h.iter().filter(|e| e.event.name() == "Signaled").count());
    let worker = Process::spawn(COLLECTOR, &[], &SERVER, "signals");
    until("some signals are taken", &taken, |taken| *taken >= 200).await;
    worker.kill().await;
    let half = taken().await;
    assert!(half < 1_000, "the worker was to be killed half-way, and had taken {half}");

    send(late).await?;
    let _worker = Process::spawn(COLLECTOR, &[], &SERVER, "signals");
    let all = within("the result", run.result()).await?;
    assert_eq!(all, (0..1_200).collect::<Vec<_>>());
    assert!(rejected::all(&highwater).await.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_to_an_id_that_was_never_started_is_an_error_and_kept_among_the_rejected() -> Result<()> {
    let highwater = space::open(&SERVER, "nobody").await;
    let nobody = highwater.client().handle_of(collect, "nobody")?;
    let error = nobody.signal("number", &1).await.expect_err("there is nobody to signal");
    assert!(matches!(error, SignalError::NotFound { .. }), "{error:?}");
    assert!(error.to_string().contains("there is no workflow nobody to signal; start it first"), "{error}");

    // A plain publisher has its acknowledgement before anybody looks, so the reason is kept for it.
    let mut raw = RawNats::connect(SERVER.port()).await?;
    raw.store("hw.nobody.do.signal.default.number.nobody", &[], b"1").await?;
    let _worker = Process::spawn(COLLECTOR, &[], &SERVER, "nobody");
    let kept = rejected::of(&highwater, "nobody").await;
    assert_eq!((kept.code.as_str(), kept.reason.as_str()), ("not-found", "there is no workflow with id nobody"));
    assert_eq!(kept.message.headers.get(header::SUBJECT), Some(kept.subject.as_str()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_to_a_start_that_no_worker_has_taken_waits_with_it() -> Result<()> {
    let highwater = space::open(&SERVER, "pending").await;
    let mut raw = RawNats::connect(SERVER.port()).await?;
    raw.store("hw.pending.do.start.default.collect.two", &[], b"2").await?;
    let run = highwater.client().handle_of(collect, "two")?;
    assert_eq!(run.describe().await?.progress.to_string(), "pending");
    for number in [5, 6] {
        let delivered = run.signal("number", &number).await?;
        assert_eq!(delivered, highwater::client::Delivered::Durable);
    }
    let _worker = Process::spawn(COLLECTOR, &[], &SERVER, "pending");
    assert_eq!(within("the result", run.result()).await?, [5, 6]);
    Ok(())
}
