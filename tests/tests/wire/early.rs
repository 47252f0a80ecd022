//! Answers that come before their record is stored, for who says that he takes them.

use anyhow::Result;
use highwater::ConnectOptions;
use highwater_devserver::DevServer;
use highwater_tests::{
    deadline::within,
    raw_nats::{RawMessage, RawNats},
    space::Running,
};
use serde_json::Value;

use crate::{Payment, shop};

/// Listens to the acknowledgements of records that answers to this connection tell of.
async fn listen(raw: &mut RawNats, namespace: &str) -> Result<()> {
    let reply = raw.inbox().await?;
    let inbox = reply.rsplit('.').nth(1).expect("an inbox subject has tokens");
    raw.subscribe(&format!("hw.{namespace}.ack.{inbox}.>")).await
}

/// Starts a run and takes early answers. Returns the first one and where answers come.
async fn start(raw: &mut RawNats, namespace: &str, id: &str) -> Result<(RawMessage, String)> {
    let reply = raw.inbox().await?;
    let subject = format!("hw.{namespace}.do.start.shop.double.{id}");
    raw.publish(&subject, "", &[("Hw-Reply", &reply), ("Hw-Early", "1")], b"{\"amount\": 5}").await?;
    Ok((raw.next_on(&reply).await?, reply))
}

/// The same with other ids until an answer comes early: the worker has to listen first.
async fn start_until_early(raw: &mut RawNats, namespace: &str) -> Result<RawMessage> {
    for number in 0.. {
        let (answer, _) = start(raw, namespace, &format!("early-{number}")).await?;
        if !answer.reply.is_empty() {
            return Ok(answer);
        }
    }
    unreachable!("numbers do not end")
}

/// What the stream says at the reply subject of an answer.
async fn ack_of(raw: &mut RawNats, answer: &RawMessage) -> Result<Value> {
    Ok(within("the acknowledgement", raw.next_on(&answer.reply)).await?.json())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_comes_with_its_record_and_the_acknowledgement_of_that() -> Result<()> {
    let (_highwater, worker, mut raw) = shop("early").await;
    listen(&mut raw, "early").await?;
    let answer = within("an early answer", start_until_early(&mut raw, "early")).await?;
    assert_eq!((answer.header("Hw-Kind"), answer.text()), ("closed", "10"));
    let ack = ack_of(&mut raw, &answer).await?;
    assert_eq!(ack["stream"], "HW_early_HISTORY_0");
    assert!(ack["error"].is_null() && ack["seq"].as_u64().is_some_and(|seq| seq > 0), "{ack}");
    worker.stop().await;
    Ok(())
}

/// A worker that knows nothing of an id tries to begin a run under it, and learns of the one before when its record is
/// refused.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_whose_record_is_refused_is_followed_by_the_right_one() -> Result<()> {
    let (highwater, worker, mut raw) = shop("untrue").await;
    listen(&mut raw, "untrue").await?;
    let first = highwater.client().start(crate::double, Payment { amount: 1 }).queue("shop").id("order").await?;
    assert_eq!(within("the result", first.result()).await?, 2);
    worker.stop().await;

    let worker = Running::spawn(crate::worker(&highwater, "shop"));
    within("an early answer", start_until_early(&mut raw, "untrue")).await?;
    let (untrue, reply) = start(&mut raw, "untrue", "order").await?;
    assert_eq!((untrue.header("Hw-Kind"), untrue.text()), ("closed", "10"), "{untrue:?}");
    let ack = ack_of(&mut raw, &untrue).await?;
    assert_eq!(ack["error"]["err_code"], 10071, "{ack}");
    let answer = raw.next_on(&reply).await?;
    assert_eq!((answer.header("Hw-Kind"), answer.header("Hw-Code")), ("rejected", "already-used"));
    assert_eq!(answer.reply, "");
    worker.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_that_may_not_listen_to_acknowledgements_do_without() -> Result<()> {
    const USERS: &str = r#"authorization {
      users = [
        { user: "worker", password: "w", permissions: { subscribe: { deny: ["hw.default.ack.>"] } } }
        { user: "client", password: "c", permissions: { subscribe: { deny: ["hw.default.ack.>"] } } }
        { user: "any", password: "a" }
      ]
    }"#;
    let server = DevServer::builder().config(USERS).start().await?;
    for (works, asks) in [("worker", "any"), ("any", "client"), ("worker", "client")] {
        let open = |user: &str| {
            let options = ConnectOptions::new(server.url()).user(user, &user[..1]);
            highwater::Highwater::open(options, "default")
        };
        let worker = Running::spawn(crate::worker(&open(works).await?, "shop"));
        let client = open(asks).await?;
        for amount in 0..10 {
            let run = client.client().start(crate::double, Payment { amount }).queue("shop").await?;
            assert_eq!(within("the result", run.result()).await?, amount * 2, "{works}, {asks}");
        }
        worker.stop().await;
    }
    server.stop().await?;
    Ok(())
}
