//! Asking a run something, by a plain request.

use anyhow::Result;
use highwater_tests::deadline::until;

use crate::{Running, shop, still_works, worker};

#[tokio::test(flavor = "multi_thread")]
async fn a_query_is_a_request_that_names_queue_query_and_id() -> Result<()> {
    let (highwater, running, mut raw) = shop("ask").await;
    // Dots are escaped in an id, so whatever is asked of it is too.
    raw.store("hw.ask.do.start.shop.account.acme=2Eeu", &[], b"").await?;
    raw.store("hw.ask.do.signal.shop.deposit.acme=2Eeu", &[], b"{\"amount\": 40}").await?;
    let run = highwater.client().handle_of(crate::Account::run, "acme.eu")?;
    let deposited =
        async || run.history().await.is_ok_and(|events| events.iter().any(|e| e.event.name() == "Signaled"));
    until("the deposit is on record", deposited, |deposited| *deposited).await;
    let answer = raw.request("hw.ask.query.shop.balance.acme=2Eeu", &[], b"2").await?;
    assert_eq!((answer.header("Hw-Code"), answer.text()), ("", "42"));
    running.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_without_an_answer_says_why() -> Result<()> {
    let (highwater, running, mut raw) = shop("noanswer").await;
    let other = Running::spawn(worker(&highwater, "other"));
    raw.store("hw.noanswer.do.start.shop.account.acme", &[], b"").await?;
    let ready = raw.inbox().await?;
    raw.store("hw.noanswer.do.signal.shop.deposit.acme", &[("Hw-Reply", &ready)], b"{\"amount\": 1}").await?;
    raw.next_on(&ready).await?;
    for (rest, body, code, reason) in [
        ("shop.balance.nobody", "1", "not-found", "there is no workflow with id nobody"),
        ("shop.total.acme", "1", "unknown-query", "balance"),
        ("shop.balance.acme", "\"x\"", "bad-argument", "u32"),
        ("shop.balance.acme", "{", "bad-argument", "it begins"),
        ("shop.balance.acme=2e", "1", "bad-subject", "publish to \"acme=2E\" instead"),
        ("other.balance.acme", "1", "wrong-queue", "queue shop"),
    ] {
        let answer = raw.request(&format!("hw.noanswer.query.{rest}"), &[], body.as_bytes()).await?;
        assert_eq!(answer.header("Hw-Code"), code, "{rest}: {answer:?}");
        assert!(answer.header("Hw-Reason").contains(reason), "{rest}: {:?}", answer.header("Hw-Reason"));
    }
    // Nobody serves this queue, and the server says so itself.
    let answer = raw.request("hw.noanswer.query.nowhere.balance.acme", &[], b"1").await?;
    assert_eq!(answer.status, "503");
    still_works(&highwater).await;
    other.stop().await;
    running.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_goes_to_an_inbox_and_nowhere_else() -> Result<()> {
    let (highwater, running, mut raw) = shop("deputy").await;
    let started = raw.inbox().await?;
    raw.store("hw.deputy.do.start.shop.account.acme", &[("Hw-Reply", &started)], b"").await?;
    raw.next_on(&started).await?;
    // The worker may write histories, so a stranger must not have it answer into one.
    raw.publish("hw.deputy.query.shop.balance.acme", "hw.deputy.h.0.victim", &[], b"1").await?;
    let answer = raw.request("hw.deputy.query.shop.balance.acme", &[], b"1").await?;
    assert_eq!(answer.text(), "1");
    let body = b"{\"last_by_subj\": \"hw.deputy.h.0.victim\"}";
    let found = raw.request("$JS.API.STREAM.MSG.GET.HW_deputy_HISTORY_0", &[], body).await?;
    assert_eq!(found.json()["error"]["code"], 404, "nothing was written: {}", found.text());
    still_works(&highwater).await;
    running.stop().await;
    Ok(())
}
