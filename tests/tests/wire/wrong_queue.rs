//! Requests that were published for a queue that the run is not on.

use std::time::Duration;

use anyhow::Result;
use highwater::prelude::*;
use highwater_tests::{deadline::within, raw_nats::RawNats, rejected, space::Running};

use crate::{SERVER, still_works, worker};

/// Signals a run of queue `shop` by way of queue `other`, and checks that each counts once and in order.
async fn check(highwater: &Highwater, namespace: &str) -> Result<()> {
    let mut raw = RawNats::connect(SERVER.port()).await?;
    let reply = raw.inbox().await?;
    raw.store(&format!("hw.{namespace}.do.start.shop.account.acme"), &[("Hw-Reply", &reply)], b"").await?;
    raw.next_on(&reply).await?;
    for (amount, queue) in (1..=40).zip(["other", "shop"].into_iter().cycle()) {
        let subject = format!("hw.{namespace}.do.signal.{queue}.deposit.acme");
        let body = format!("{{\"amount\": {amount}}}");
        raw.store(&subject, &[("Hw-Reply", &reply)], body.as_bytes()).await?;
        // One after the other, as only then is there an order between two queues.
        assert_eq!(raw.next_on(&reply).await?.header("Hw-Kind"), "accepted", "{amount}");
    }
    raw.store(&format!("hw.{namespace}.do.start.other.double.acme"), &[("Hw-Reply", &reply)], b"{}").await?;
    assert_eq!(raw.next_on(&reply).await?.header("Hw-Code"), "already-running");
    raw.store(&format!("hw.{namespace}.do.signal.other.close.acme"), &[], b"").await?;
    let run = highwater.client().handle_of(crate::Account::run, "acme")?;
    let deposits = within("the result", run.result()).await?;
    assert_eq!(deposits, (1..=40).collect::<Vec<_>>());
    assert_eq!(rejected::all(highwater).await.len(), 1);
    still_works(highwater).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_for_the_wrong_queue_is_passed_on_to_the_runs_worker() -> Result<()> {
    let highwater = highwater_tests::space::open(&SERVER, "two-workers").await;
    let shop = Running::spawn(worker(&highwater, "shop"));
    let other = Running::spawn(worker(&highwater, "other"));
    check(&highwater, "two-workers").await?;
    other.stop().await;
    shop.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_of_both_queues_passes_a_signal_on_to_itself() -> Result<()> {
    let highwater = highwater_tests::space::open(&SERVER, "one-worker").await;
    let both = highwater.worker().queue("shop").queue("other");
    let both = Running::spawn(both.workflow(crate::double).workflow(crate::Account::run).build()?);
    check(&highwater, "one-worker").await?;
    // Nothing is left under way on either queue, so it need not wait for anything.
    let stopping = std::time::Instant::now();
    both.stop().await;
    assert!(stopping.elapsed() < Duration::from_secs(5), "{:?}", stopping.elapsed());
    Ok(())
}
