//! Commands on workflows, while no worker is alive.

use highwater_protocol::{
    Event, Failure, OpId, Payload, QueueName, Timestamp, TypeName,
    event::{ActivityOptions, ActivityScheduled, Outcome},
    export::ExportedEvent,
};
use serde_json::{Value, json};

use crate::support::Fixture;

const START: [&str; 8] = ["start", "order", "--queue", "shop", "--id", "o-1", "--input", "{\"amount\": 5}"];

#[tokio::test]
async fn a_workflow_is_started_and_described() {
    let fixture = Fixture::new().await;
    let started = fixture.run(&[&START[..], &["-o", "json"]].concat()).await.json();
    assert_eq!(started["id"], "o-1");
    let run = started["run"].as_str().unwrap();
    let described = fixture.run(&["describe", "o-1", "-o", "json"]).await.json();
    for (field, value) in [("id", "o-1"), ("run", run), ("type", "order"), ("queue", "shop"), ("status", "running")] {
        assert_eq!(described[field], value);
    }
    assert_eq!((&described["events"], &described["workers"]), (&json!(1), &json!([])));
    let text = fixture.run(&["describe", "o-1"]).await.ok();
    assert!(text.contains("running") && text.contains("none alive that serves queue shop"), "{text}");
    let error = fixture.run(&START).await.error(1);
    assert!(error.contains("running already") && error.contains(run), "{error}");
    let text = fixture.run(&["start", "order"]).await.ok();
    assert!(text.contains("(run "), "{text}");
}

#[tokio::test]
async fn what_does_not_exist_has_an_exit_code_of_its_own() {
    let fixture = Fixture::new().await;
    for arguments in [
        &["describe", "nobody"][..],
        &["show", "nobody"],
        &["result", "nobody"],
        &["signal", "nobody", "paid"],
        &["query", "nobody", "total"],
        &["update", "nobody", "add"],
        &["cancel", "nobody"],
        &["terminate", "nobody"],
    ] {
        let error = fixture.run(arguments).await.error(3);
        assert!(error.starts_with("error: ") && error.contains("nobody"), "{error}");
    }
}

#[tokio::test]
async fn requests_wait_for_a_worker_and_a_query_cannot() {
    let fixture = Fixture::new().await;
    fixture.run(&START).await.ok();
    for arguments in [&["signal", "o-1", "paid", "--input", "true"][..], &["cancel", "o-1", "--reason", "why"]] {
        let delivered = fixture.run(&[arguments, &["-o", "json"]].concat()).await.json();
        assert_eq!(delivered, json!({ "delivered": "durable" }));
    }
    assert!(fixture.run(&["signal", "o-1", "paid"]).await.ok().starts_with("durable"));
    let error = fixture.run(&["query", "o-1", "total"]).await.error(1);
    assert!(error.contains("no worker serves queue shop"), "{error}");
}

#[tokio::test]
async fn a_terminated_workflow_tells_so_by_its_exit_code() {
    let fixture = Fixture::new().await;
    fixture.run(&START).await.ok();
    let delivered = fixture.run(&["terminate", "o-1", "--reason", "enough", "-o", "json"]).await.json();
    assert_eq!(delivered, json!({ "delivered": "accepted" }));
    let error = fixture.run(&["result", "o-1"]).await.error(4);
    assert!(error.contains("terminated: enough"), "{error}");
    let ended = fixture.run(&["result", "o-1", "-o", "json"]).await;
    assert_eq!(ended.code, Some(4));
    let value: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((&value["status"], &value["failure"]["message"]), (&json!("terminated"), &json!("enough")));
    let error = fixture.run(&["terminate", "o-1"]).await.error(1);
    assert!(error.contains("terminated already"), "{error}");
}

#[tokio::test]
async fn a_result_is_printed_as_it_is() {
    let fixture = Fixture::new().await;
    fixture.run(&START).await.ok();
    let error = fixture.run(&["result", "o-1", "--timeout", "200ms"]).await.error(1);
    assert!(error.contains("has not ended"), "{error}");
    fixture.append("o-1", vec![Event::Completed { result: Payload::json("{\"z\": 1.0, \"a\": 2}") }]).await;
    assert_eq!(fixture.run(&["result", "o-1"]).await.ok(), "{\"z\":1.0,\"a\":2}");
    let value = fixture.run(&["result", "o-1", "-o", "json"]).await.json();
    assert_eq!(value, json!({ "id": "o-1", "status": "completed", "result": { "z": 1.0, "a": 2 } }));
    let existing = [&START[..], &["--id-reuse", "allow-if-failed"]].concat();
    assert!(fixture.run(&existing).await.error(1).contains("used before"));
    fixture.run(&[&START[..], &["--id-reuse", "allow"]].concat()).await.ok();
}

#[tokio::test]
async fn start_and_wait_gives_the_result_or_the_failure() {
    let fixture = Fixture::new().await;
    let waits = async |id: &'static str| {
        let arguments = ["start", "order", "--id", id, "--wait", "--timeout", "20s"];
        fixture.run(&arguments).await
    };
    let ends = async |id: &'static str, end: Event| {
        loop {
            let described = fixture.run(&["describe", id, "-o", "json"]).await;
            if described.code == Some(0) && described.stdout.contains("\"running\"") {
                return fixture.append(id, vec![end]).await;
            }
        }
    };
    let completed = Event::Completed { result: Payload::json("7") };
    let (ran, ()) = tokio::join!(waits("good"), ends("good", completed));
    assert_eq!(ran.ok(), "7");
    let failed = Event::Failed { failure: Failure::application("no stock\u{1b}[2J"), next: None };
    let (ran, ()) = tokio::join!(waits("bad"), ends("bad", failed));
    let error = ran.error(4);
    assert!(error.contains("no stock") && !error.contains('\u{1b}'), "{error:?}");
}

#[tokio::test]
async fn a_history_is_shown_a_line_an_event() {
    let fixture = Fixture::new().await;
    fixture.run(&START).await.ok();
    let call = ActivityScheduled {
        op: OpId(1),
        name: TypeName::new("charge").unwrap(),
        queue: QueueName::new("bank").unwrap(),
        input: Payload::json(format!("\"{}\"", "x".repeat(500))),
        options: ActivityOptions::default(),
        headers: highwater_protocol::Payloads::default(),
    };
    let outcome = Outcome::Completed(Payload::json("{\"ok\": true}"));
    let failure = Failure::application("two\nlines");
    fixture.append("o-1", vec![Event::ActivityScheduled(Box::new(call))]).await;
    fixture.append("o-1", vec![Event::ActivityClosed { op: OpId(1), attempt: 3, outcome }]).await;
    fixture.append("o-1", vec![Event::WorkflowTaskFailed { failure, attempt: 1, retry_at: Timestamp(0) }]).await;

    let text = fixture.run(&["show", "o-1"]).await.ok();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(lines[0].starts_with('1') && lines[0].ends_with("{\"amount\":5}"), "{text}");
    assert!(lines[1].ends_with('…') && lines[1].chars().count() == 120, "{text}");
    assert!(lines[2].contains("+3.00 s") && lines[2].contains("of charge  {\"ok\":true}"), "{text}");
    assert!(lines[3].contains("two lines"), "{text}");
    let full = fixture.run(&["show", "o-1", "--full"]).await.ok();
    assert!(full.lines().nth(1).unwrap().len() > 500);

    let events = fixture.run(&["show", "o-1", "-o", "json"]).await.json();
    let names: Vec<_> = events.as_array().unwrap().iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["Started", "ActivityScheduled", "ActivityCompleted", "WorkflowTaskFailed"]);
    assert_eq!(
        (&events[2]["number"], &events[2]["attempt"], &events[2]["result"]),
        (&json!(3), &json!(3), &json!({"ok": true}))
    );
    let described = fixture.run(&["describe", "o-1"]).await.ok();
    assert!(described.contains("blocked by     two\n               lines"), "{described}");
}

#[tokio::test]
async fn live_histories_are_handed_to_a_program_with_all_that_a_replay_needs() {
    let fixture = Fixture::new().await;
    fixture.run(&START).await.ok();
    fixture.run(&["start", "other", "--id", "o-2"]).await.ok();
    let shown = fixture.run(&["show", "o-1", "-o", "json"]).await.json();
    let exact: ExportedEvent = serde_json::from_value(shown[0]["exact"].clone()).unwrap();
    let Event::Started(started) = exact.event().unwrap() else { panic!("{exact:?}") };
    assert_eq!((started.workflow_id.as_str(), exact.record), ("o-1", shown[0]["record"].as_u64().unwrap()));

    let printed = fixture.run(&["replay", "--live", "--type", "order", "--program", "grep -rh ."]).await.json();
    assert_eq!(printed, shown);
    let error = fixture.run(&["replay", "--live", "--program", "false"]).await.error(1);
    assert!(error.contains("not every history fits"), "{error}");
    assert!(fixture.run(&["replay"]).await.error(2).contains("PATHS"));
}

#[tokio::test]
async fn a_start_says_what_goes_along_and_a_description_shows_it() {
    let fixture = Fixture::new().await;
    let more = [
        "--delay",
        "1h",
        "--execution-timeout",
        "2h",
        "--retry",
        "3",
        "--memo",
        "from=\"Ann\"",
        "--attribute",
        "customer=Zoë",
        "--attribute",
        "cents=17",
        "--signal",
        "paid=true",
    ];
    fixture.run(&[&START[..], &more].concat()).await.ok();
    let described = fixture.run(&["describe", "o-1", "-o", "json"]).await.json();
    assert_eq!(described["memo"], json!({ "from": "Ann" }));
    assert_eq!(described["attributes"], json!({ "customer": "Zoë", "cents": 17 }));
    assert!(described["delay_until"].is_string() && described["deadline"].is_string(), "{described}");
    let text = fixture.run(&["describe", "o-1"]).await.ok();
    assert!(text.contains("from: \"Ann\"") && text.contains("begins") && text.contains("customer"), "{text}");
    let shown = fixture.run(&["show", "o-1", "-o", "json"]).await.ok();
    assert!(shown.contains("paid"), "{shown}");
    let error = fixture.run(&["start", "order", "--memo", "alone"]).await.error(2);
    assert!(error.contains("NAME=JSON"), "{error}");
}
