//! What a server's permissions can hold a program to.

use anyhow::Result;
use highwater::ConnectOptions;
use highwater_devserver::DevServer;
use highwater_tests::{deadline::within, raw_nats::RawNats, space::Running};
use serde_json::json;

const USERS: &str = r#"authorization {
  users = [
    { user: "worker", password: "w" }
    { user: "device", password: "d", permissions: {
        publish: ["hw.default.do.start.>"]
        subscribe: ["_INBOX_device.>"]
    } }
  ]
}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_may_only_start_can_start_and_nothing_else() -> Result<()> {
    let server = DevServer::builder().config(USERS).start().await?;
    let options = ConnectOptions::new(server.url()).user("worker", "w");
    let highwater = highwater::Highwater::open(options, "default").await?;
    let worker = Running::spawn(crate::worker(&highwater, "shop"));

    let device = json!({ "user": "device", "pass": "d" });
    let mut raw = RawNats::connect_with(server.port(), device.clone()).await?;
    raw.subscribe("_INBOX_device.>").await?;
    let (subject, headers) = ("hw.default.do.start.shop.double.order", [("Hw-Reply", "_INBOX_device.answer")]);
    raw.publish(subject, "_INBOX_device.stored", &headers, b"{\"amount\": 5}").await?;
    assert_eq!(raw.next_on("_INBOX_device.stored").await?.json()["stream"], "HW_default_INBOX_0");
    assert_eq!(raw.next_on("_INBOX_device.answer").await?.text(), "10");

    for subject in [
        "hw.default.do.signal.shop.deposit.order",
        "hw.default.do.terminate.shop.-.order",
        "hw.default.in.0.1.shop.start.double.x",
        "hw.default.h.0.order",
        "hw.default.query.shop.balance.order",
        "$JS.API.STREAM.PURGE.HW_default_HISTORY_0",
    ] {
        let mut raw = RawNats::connect_with(server.port(), device.clone()).await?;
        raw.publish(subject, "", &[], b"1").await?;
        let refused = raw.flush().await.expect_err(subject).to_string();
        assert!(refused.contains("Permissions Violation"), "{subject}: {refused}");
    }
    let mut raw = RawNats::connect_with(server.port(), device).await?;
    let refused = raw.subscribe("hw.default.>").await.expect_err("it may not listen").to_string();
    assert!(refused.contains("Permissions Violation"), "{refused}");

    let run = highwater.client().start(crate::double, crate::Payment { amount: 1 }).queue("shop").await?;
    assert_eq!(within("the result", run.result()).await?, 2);
    worker.stop().await;
    server.stop().await?;
    Ok(())
}
