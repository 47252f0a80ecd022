//! What a program with telemetry exports, by its environment.

mod collector;

use std::{
    io::ErrorKind,
    net::TcpListener,
    process::{Output, Stdio},
    time::Duration,
};

use collector::{Collector, Seen};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use tokio::{process::Command, time::timeout};

/// How long the program may take at all.
const PATIENCE: Duration = Duration::from_secs(30);

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// For tests that count spans: a machine that is busy with other tests is slow to connect.
const PATIENT: (&str, &str) = ("OTEL_EXPORTER_OTLP_TIMEOUT", "20000");

/// Runs the program to its end, in this environment and no other.
async fn run(flavour: &str, variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_telemetry-probe"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OTEL_") || name == "RUST_LOG") {
        command.env_remove(name);
    }
    command.arg(flavour).envs(variables.iter().copied()).stdin(Stdio::null()).kill_on_drop(true);
    timeout(PATIENCE, command.output()).await.expect("the program ends in time").expect("the program runs")
}

/// What it said after this label.
fn said(output: &Output, label: &str) -> String {
    let text = String::from_utf8_lossy(&output.stdout);
    let found = text.lines().find_map(|line| line.strip_prefix(label));
    found.unwrap_or_else(|| panic!("no {label:?} in {output:?}")).trim().to_owned()
}

fn flush_time(output: &Output) -> Duration {
    Duration::from_millis(said(output, "flushed in ms:").parse().expect("a number"))
}

fn find<'a>(seen: &'a [Seen], name: &str) -> &'a Seen {
    seen.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no span {name} in {seen:#?}"))
}

#[tokio::test]
async fn spans_of_both_kinds_reach_the_collector_under_one_another() {
    for flavour in ["current", "multi"] {
        let collector = Collector::start();
        let output = run(flavour, &[(ENDPOINT, &collector.endpoint), PATIENT]).await;
        assert!(output.status.success(), "{output:?}");
        assert_eq!(said(&output, "exports:"), "true");

        let seen = collector.seen();
        assert_eq!(seen.len(), 3, "{seen:#?}");
        let (outer, inner, innermost) = (find(&seen, "outer"), find(&seen, "inner"), find(&seen, "innermost"));
        assert_eq!(outer.parent_id, "", "{outer:#?}");
        assert_eq!((&inner.parent_id, &innermost.parent_id), (&outer.span_id, &inner.span_id));
        assert!(seen.iter().all(|span| span.trace_id == outer.trace_id && span.resource["service.name"] == "probe"));
        assert_eq!(outer.attributes["colour"], "green");
        assert_eq!(inner.attributes["size"], "7");
        assert!(inner.resource.contains_key("process.pid"));
        assert_eq!((outer.kind, &outer.error), (SpanKind::Internal as i32, &Some("out of paint".into())));
        assert_eq!(innermost.error, None);
    }
}

#[tokio::test]
async fn the_environment_names_the_service_and_goes_with_every_batch() {
    let collector = Collector::start();
    let variables = [
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", collector.endpoint.as_str()),
        (ENDPOINT, "http://127.0.0.1:1"),
        ("OTEL_SERVICE_NAME", "shop"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-team=blue"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        PATIENT,
    ];
    let output = run("multi", &variables).await;
    assert!(output.status.success(), "{output:?}");
    let seen = collector.wait_until(|seen| seen.len() == 3).await;
    assert_eq!(seen[0].resource["service.name"], "shop");
    assert_eq!(seen[0].resource["deployment.environment.name"], "test");
    assert_eq!(seen[0].headers["x-team"], "blue");
    assert_eq!(seen[0].headers["grpc-encoding"], "gzip");
}

#[tokio::test]
async fn a_name_among_the_resource_attributes_goes_before_the_programs_own() {
    let collector = Collector::start();
    let variables =
        [(ENDPOINT, collector.endpoint.as_str()), ("OTEL_RESOURCE_ATTRIBUTES", "service.name=shop"), PATIENT];
    run("multi", &variables).await;
    assert_eq!(collector.wait_until(|seen| seen.len() == 3).await[0].resource["service.name"], "shop");
}

#[tokio::test]
async fn the_sampler_of_the_environment_decides() {
    let collector = Collector::start();
    let output = run("multi", &[(ENDPOINT, &collector.endpoint), ("OTEL_TRACES_SAMPLER", "always_off")]).await;
    assert!(output.status.success(), "{output:?}");
    assert!(collector.seen().is_empty(), "{:#?}", collector.seen());
}

#[tokio::test]
async fn a_collector_that_is_not_there_holds_nobody_up() {
    let gone = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("it is bound");
    for flavour in ["current", "multi"] {
        let output = run(flavour, &[(ENDPOINT, &format!("http://{gone}"))]).await;
        assert!(output.status.success(), "{output:?}");
        assert!(flush_time(&output) < Duration::from_secs(1), "{output:?}");
    }
}

#[tokio::test]
async fn a_collector_that_never_answers_holds_nobody_up() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let endpoint = format!("http://{}", silent.local_addr().expect("it is bound"));
    for flavour in ["current", "multi"] {
        let output = run(flavour, &[(ENDPOINT, &endpoint)]).await;
        assert!(output.status.success(), "{output:?}");
        assert!(flush_time(&output) < Duration::from_secs(1), "{output:?}");
    }
    assert!(silent.accept().is_ok(), "it was tried");
}

#[tokio::test]
async fn nothing_is_tried_when_it_is_switched_off() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("it can be asked without waiting");
    let endpoint = format!("http://{}", listener.local_addr().expect("it is bound"));
    for off in [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")] {
        let output = run("current", &[(ENDPOINT, &endpoint), off]).await;
        assert!(output.status.success(), "{output:?}");
        assert_eq!(said(&output, "exports:"), "false", "{off:?}");
        // The program has ended, so whatever it tried is in the backlog.
        assert_eq!(listener.accept().expect_err("nobody connected").kind(), ErrorKind::WouldBlock, "{off:?}");
    }
    let output = run("current", &[]).await;
    assert_eq!(said(&output, "exports:"), "false", "without an endpoint");
}

#[tokio::test]
async fn a_protocol_that_is_not_spoken_here_is_refused() {
    let variables = [(ENDPOINT, "http://127.0.0.1:4318"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")];
    let output = run("current", &variables).await;
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("OTEL_EXPORTER_OTLP_PROTOCOL is \"http/protobuf\"") && text.contains("grpc"), "{text}");
}

#[tokio::test]
async fn an_endpoint_that_is_no_address_is_refused() {
    let output = run("current", &[(ENDPOINT, "http://no address")]).await;
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("OTEL_EXPORTER_OTLP_ENDPOINT"), "{output:?}");
}

#[tokio::test]
async fn logs_go_to_stderr_as_rust_log_says() {
    let log = async |variables: &[(&str, &str)]| {
        String::from_utf8_lossy(&run("current", variables).await.stderr).into_owned()
    };
    assert!(log(&[]).await.contains("at work"));
    assert_eq!(log(&[("RUST_LOG", "warn")]).await, "");
}
