//! What the command is given that it cannot do.

use serde_json::json;

use crate::support::{Fixture, highwater, run};

async fn plain(arguments: &[&str]) -> crate::support::Ran {
    let mut command = highwater();
    command.args(arguments);
    run(command, None).await
}

#[tokio::test]
async fn the_help_names_every_command_and_the_exit_codes() {
    let help = plain(&["--help"]).await.ok();
    for command in
        ["dev", "namespace", "start", "signal", "query", "cancel", "terminate", "result", "describe", "show", "lints"]
    {
        assert!(help.lines().any(|line| line.trim_start().starts_with(command)), "{command}: {help}");
        assert!(plain(&[command, "--help"]).await.ok().contains("Usage"));
    }
    assert!(help.contains("Exit codes"));
}

#[tokio::test]
async fn the_list_for_clippy_is_printed_whole() {
    let printed = plain(&["lints"]).await.ok();
    assert_eq!(printed.trim_end(), highwater::lints::CLIPPY_TOML.trim_end());
    assert!(printed.contains("tokio::select"));
}

#[tokio::test]
async fn what_the_parser_does_not_know_is_a_usage_error() {
    for arguments in [
        &["dance"][..],
        &["start"],
        &["signal", "id"],
        &["describe", "id", "--run", "x"],
        &["start", "order", "--timeout", "1s"],
    ] {
        plain(arguments).await.error(2);
    }
}

#[tokio::test]
async fn input_that_is_not_json_is_refused_before_anything_is_sent() {
    // There is no server at this address, so whoever tried to send would say so.
    let nowhere = ["--url", "nats://127.0.0.1:1"];
    let start = |input: &'static str| [&nowhere[..], &["start", "order", "--input", input]].concat();
    for garbage in ["{", "text", "", "{'a': 1}", "[1,]", "1 2"] {
        let error = plain(&start(garbage)).await.error(2);
        assert!(error.contains("is not JSON"), "{garbage}: {error}");
    }
    let error = plain(&start("@/no/such/file")).await.error(2);
    assert!(error.contains("/no/such/file"), "{error}");
    let error = plain(&[&nowhere[..], &["signal", "id", "name", "--input", "{"]].concat()).await.error(2);
    assert!(error.contains("is not JSON"), "{error}");
}

#[tokio::test]
async fn input_comes_from_the_line_a_file_or_stdin() {
    let fixture = Fixture::new().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("input.json");
    std::fs::write(&file, "{\"from\": \"file\"}\n").unwrap();
    fixture.run(&["start", "order", "--id", "file", "--input", &format!("@{}", file.display())]).await.ok();
    fixture.run_with_stdin(&["start", "order", "--id", "stdin", "--input", "-"], "[1, 2]").await.ok();
    fixture.run(&["start", "order", "--id", "line", "--input", "-5"]).await.ok();
    fixture.run(&["start", "order", "--id", "none"]).await.ok();
    for (id, input) in
        [("file", json!({"from": "file"})), ("stdin", json!([1, 2])), ("line", json!(-5)), ("none", json!(null))]
    {
        let history = fixture.run(&["show", id, "-o", "json"]).await.json();
        assert_eq!(history[0]["input"], input, "{id}");
    }
}

#[tokio::test]
async fn an_id_that_is_none_is_a_usage_error() {
    let fixture = Fixture::new().await;
    for arguments in
        [&["describe", ""][..], &["start", "order", "--id", ""], &["start", ""], &["describe", "x", "-n", "a.b"]]
    {
        let error = fixture.run(arguments).await.error(2);
        assert!(error.contains("empty") || error.contains("letters"), "{error}");
    }
    let long = "x".repeat(600);
    let error = fixture.run(&["describe", &long]).await.error(2);
    assert!(error.contains("512"), "{error}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_with_what_to_do() {
    let error = plain(&["describe", "id", "--url", "nats://127.0.0.1:1"]).await.error(1);
    assert!(error.contains("nats://127.0.0.1:1") && error.contains("highwater dev"), "{error}");
    let error = plain(&["describe", "id", "--url", "http://x"]).await;
    assert_ne!(error.code, Some(0), "{error:?}");
}

#[tokio::test]
async fn a_namespace_that_is_not_there_is_not_found() {
    let fixture = Fixture::new().await;
    let error = fixture.run(&["describe", "id", "-n", "other"]).await.error(3);
    assert!(error.contains("highwater namespace create other"), "{error}");
    fixture.run(&["namespace", "describe", "other"]).await.error(3);
}

#[tokio::test]
async fn a_namespace_is_made_once_with_its_settings() {
    let fixture = Fixture::new().await;
    let name = format!("{}-own", fixture.namespace);
    let made = fixture.run(&["namespace", "create", &name, "--partitions", "8", "-o", "json"]).await.json();
    assert_eq!((&made["name"], &made["settings"]["partitions"]), (&json!(name), &json!(8)));
    fixture.run(&["namespace", "create", &name, "--partitions", "8"]).await.ok();
    let error = fixture.run(&["namespace", "create", &name, "--partitions", "9"]).await.error(1);
    assert!(error.contains("other settings"), "{error}");
    fixture.run(&["namespace", "create", "x", "--replicas", "2"]).await.error(2);
    let status = fixture.run(&["namespace", "describe", &name, "-o", "json"]).await.json();
    assert_eq!(status["settings"]["partitions"], 8);
    assert!(status["streams"].as_array().unwrap().len() >= 5);
    assert!(fixture.run(&["namespace", "describe", &name]).await.ok().contains("8 partitions"));
}

#[tokio::test]
async fn group_commit_is_a_setting_that_can_be_changed() {
    let fixture = Fixture::new().await;
    let name = format!("{}-group", fixture.namespace);
    let made = fixture.run(&["namespace", "create", &name, "--group-commit"]).await.ok();
    assert!(made.ends_with("group commit"), "{made}");
    for (word, on) in [("off", false), ("on", true)] {
        fixture.run(&["namespace", "set", &name, "--group-commit", word]).await.ok();
        let status = fixture.run(&["namespace", "describe", &name, "-o", "json"]).await.json();
        assert_eq!(status["settings"]["group_commit"].as_bool().unwrap_or_default(), on);
    }
    fixture.run(&["namespace", "set", &name]).await.error(2);
    fixture.run(&["namespace", "set", "nowhere", "--group-commit", "on"]).await.error(3);
}
