//! Starting a run and learning how it ends.

use anyhow::Result;
use highwater_tests::{deadline::within, rejected};

use crate::{shop, still_works};

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_publish_starts_a_run_and_is_acknowledged_by_the_stream() -> Result<()> {
    let (highwater, worker, mut raw) = shop("start").await;
    let ack = raw.store("hw.start.do.start.shop.double.order-1", &[], b"{\"amount\": 5}").await?;
    assert_eq!(ack["stream"], "HW_start_INBOX_0");
    assert!(ack["seq"].as_u64().is_some_and(|seq| seq > 0), "{ack}");
    let run = highwater.client().handle::<crate::double>("order-1")?;
    assert_eq!(within("the result", run.result()).await?, 10);
    worker.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_subject_hears_that_the_run_is_accepted_and_then_how_it_ended() -> Result<()> {
    let (_highwater, worker, mut raw) = shop("replies").await;
    let starter = raw.inbox().await?;
    raw.store("hw.replies.do.start.shop.account.acme", &[("Hw-Reply", &starter)], b"").await?;
    let accepted = raw.next_on(&starter).await?;
    assert_eq!(accepted.header("Hw-Kind"), "accepted");
    let run = accepted.header("Hw-Run").to_owned();
    assert!(!run.is_empty());

    // Whoever did not start the run can wait for its end too.
    raw.subscribe("hw.replies.closed.0.acme").await?;
    let signaller = raw.inbox().await?;
    for amount in 1..=2 {
        let body = format!("{{\"amount\": {amount}}}");
        raw.store("hw.replies.do.signal.shop.deposit.acme", &[("Hw-Reply", &signaller)], body.as_bytes()).await?;
        let answer = raw.next_on(&signaller).await?;
        assert_eq!((answer.header("Hw-Kind"), answer.header("Hw-Run")), ("accepted", run.as_str()));
    }
    raw.store("hw.replies.do.signal.shop.close.acme", &[], b"").await?;
    for subject in [starter.as_str(), "hw.replies.closed.0.acme"] {
        let closed = raw.next_on(subject).await?;
        assert_eq!((closed.header("Hw-Kind"), closed.header("Hw-Status")), ("closed", "completed"));
        assert_eq!((closed.header("Hw-Run"), closed.text()), (run.as_str(), "[1,2]"));
    }
    worker.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_fails_tells_why_as_json() -> Result<()> {
    let (_highwater, worker, mut raw) = shop("fails").await;
    let reply = raw.inbox().await?;
    raw.store("hw.fails.do.start.shop.double.x", &[("Hw-Reply", &reply)], b"{\"amount\": 13}").await?;
    let closed = raw.next_on(&reply).await?;
    assert_eq!((closed.header("Hw-Kind"), closed.header("Hw-Status")), ("closed", "failed"));
    assert_eq!(closed.json()["message"], "13 is not accepted");
    worker.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_sent_again_with_its_id_is_one_message() -> Result<()> {
    let (highwater, worker, mut raw) = shop("again").await;
    raw.store("hw.again.do.start.shop.account.acme", &[("Nats-Msg-Id", "acme:start")], b"").await?;
    let repeated = raw.store("hw.again.do.start.shop.account.acme", &[("Nats-Msg-Id", "acme:start")], b"").await?;
    assert_eq!(repeated["duplicate"], true, "the second one is acknowledged and not stored: {repeated}");
    for _ in 0..3 {
        let (subject, body) = ("hw.again.do.signal.shop.deposit.acme", b"{\"amount\": 7}");
        raw.store(subject, &[("Nats-Msg-Id", "acme:deposit-1")], body).await?;
    }
    raw.store("hw.again.do.signal.shop.close.acme", &[("Nats-Msg-Id", "acme:close")], b"").await?;
    let run = highwater.client().handle_of(crate::Account::run, "acme")?;
    assert_eq!(within("the result", run.result()).await?, [7]);
    assert!(rejected::all(&highwater).await.is_empty());
    worker.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_is_used_once_unless_the_message_says_otherwise() -> Result<()> {
    let (highwater, worker, mut raw) = shop("reuse").await;
    let subject = "hw.reuse.do.start.shop.double.order";
    let reply = raw.inbox().await?;
    for (headers, kind, code) in [
        (vec![], "closed", ""),
        (vec![], "rejected", "already-used"),
        (vec![("Hw-Id-Reuse", "allow-if-failed")], "rejected", "already-used"),
        (vec![("Hw-Id-Reuse", "allow")], "closed", ""),
        (vec![("Hw-Id-Reuse", "sometimes")], "rejected", "bad-header"),
    ] {
        let mut headers = headers;
        headers.push(("Hw-Reply", &reply));
        raw.store(subject, &headers, b"{\"amount\": 5}").await?;
        let answer = raw.next_on(&reply).await?;
        assert_eq!((answer.header("Hw-Kind"), answer.header("Hw-Code")), (kind, code), "{headers:?} {answer:?}");
    }
    still_works(&highwater).await;
    worker.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_says_in_its_headers_how_a_run_ended() -> Result<()> {
    let (_highwater, worker, mut raw) = shop("last").await;
    raw.subscribe("hw.last.closed.0.order").await?;
    raw.store("hw.last.do.start.shop.double.order", &[], b"{\"amount\": 5}").await?;
    raw.next_on("hw.last.closed.0.order").await?;
    // What `nats stream get HW_last_HISTORY_0 --last-for hw.last.h.0.order` sends.
    let body = b"{\"last_by_subj\": \"hw.last.h.0.order\"}";
    let last = raw.request("$JS.API.DIRECT.GET.HW_last_HISTORY_0", &[], body).await?;
    assert_eq!(last.header("Hw-Status"), "completed");
    assert!(last.header("Hw-Record").contains(";type=double;queue=shop;"), "{}", last.header("Hw-Record"));
    worker.stop().await;
    Ok(())
}
