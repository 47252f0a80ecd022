//! `highwater bench`: what it measures, keeps and compares, for a moment each.

use std::{collections::BTreeSet, path::Path};

use highwater_broker::{
    Broker, PlainMessage, Stream,
    nats::{ConnectOptions, NatsConnection},
};
use highwater_devserver::DevServer;
use highwater_protocol::{Headers, Namespace, namespace::Settings};
use serde_json::Value;

use crate::support::{DEADLINE, Fixture, Ran, highwater, run};

/// What is told of the engine and of the pattern on a machine that tells everything.
const FIGURES: [&str; 16] = [
    "count",
    "seconds",
    "per_second",
    "per_second_spread",
    "per_second_of_slices",
    "p50_us",
    "p50_spread",
    "p99_us",
    "p99_spread",
    "p99_9_us",
    "p99_9_spread",
    "max_us",
    "nats_cpu_seconds_per_1000",
    "load_cpu_seconds_per_1000",
    "bytes_written_each",
    "bytes_kept_each",
];

async fn bench(arguments: &[&str]) -> Ran {
    let mut command = highwater();
    command.arg("bench").args(arguments);
    run(command, None).await
}

/// The report of a bench that ended well. What it says meanwhile goes to stderr.
#[track_caller]
fn report(ran: &Ran) -> Value {
    assert_eq!(ran.code, Some(0), "{ran:?}");
    serde_json::from_str(&ran.stdout).unwrap()
}

#[track_caller]
fn every_figure_is_there(series: &Value, only: &[&str]) {
    for name in FIGURES.iter().chain(only) {
        assert!(!series[*name].is_null(), "{name} is missing: {series}");
    }
    assert!(series["count"].as_u64() > Some(0) && series["per_second"].as_f64() > Some(0.0), "{series}");
    let times = ["p50_us", "p99_us", "p99_9_us", "max_us"].map(|name| series[name].as_u64().unwrap());
    assert!(times[0] > 0 && times.is_sorted(), "{series}");
}

/// Measures rows that are a unit of work, done again and again, and checks that everything is told of them.
async fn measured(rows: &[&str], concurrency: u64) -> Value {
    let concurrency_text = concurrency.to_string();
    let arguments = ["--duration", "50ms", "--concurrency", &concurrency_text, "-o", "json", "--rows", &rows.join(",")];
    let report = report(&bench(&arguments).await);
    let measured = report["rows"].as_array().unwrap();
    let names: BTreeSet<&str> = measured.iter().map(|row| row["row"].as_str().unwrap()).collect();
    assert_eq!(names, rows.iter().copied().collect());
    for row in measured {
        let expected = if row["row"] == "open-loop" { Value::Null } else { concurrency.into() };
        assert_eq!(row["concurrency"], expected);
        // Only Linux tells what processes use.
        if cfg!(target_os = "linux") {
            every_figure_is_there(&row["engine"], &["worker_cpu_seconds_per_1000", "worker_rss_bytes"]);
            every_figure_is_there(&row["pattern"], &[]);
        }
        assert!(row["of_pattern"]["per_second"].as_f64() > Some(0.0), "{row}");
        assert!(row["of_pattern"]["p50"].as_f64() > Some(0.0), "{row}");
    }
    report
}

#[tokio::test]
async fn rows_of_whole_runs_are_measured_beside_the_pattern() {
    let report = measured(&["no-op", "steps", "activities", "parallel", "child", "open-loop"], 1).await;
    let step = report["rows"].as_array().unwrap().iter().find(|row| row["row"] == "steps").unwrap();
    assert_eq!((&step["unit"], step["figures"].as_array().unwrap().len()), (&"run".into(), 3), "{step}");
    assert!(report["machine"]["cores"].as_u64() > Some(0), "{report}");
    assert_eq!(report["machine"]["debug_build"], cfg!(debug_assertions));
    let profile = report["machine"]["profile"].as_str().unwrap();
    assert!(env!("CARGO_BIN_EXE_highwater").contains(&format!("/{profile}/highwater")), "{profile}");
    assert!(report["server"]["nats_version"].is_string() && report["server"]["url"].is_null(), "{report}");
    assert_eq!(report["load"]["duration_seconds"], 0.05);
}

#[tokio::test]
async fn rows_of_requests_and_payloads_are_measured_beside_the_pattern() {
    let rows = ["signal", "query", "update", "start-only", "payload-1k", "payload-64k"];
    let report = measured(&rows, 3).await;
    let units: Vec<&Value> = report["rows"].as_array().unwrap().iter().map(|row| &row["unit"]).collect();
    assert_eq!(units, ["signal", "query", "update", "start", "run", "run"]);
    for talk in &report["rows"].as_array().unwrap()[..3] {
        let figures = talk["figures"].as_array().unwrap();
        let [publish, times] = [0, 1].map(|at| figures[at]["value"].as_f64().unwrap());
        let p50 = talk["engine"]["p50_us"].as_f64().unwrap() / 1_000.0;
        assert!(publish > 0.0 && (times * publish - p50).abs() < 1e-6, "{talk}");
    }
}

#[tokio::test]
async fn a_measurement_is_compared_with_an_earlier_one_on_a_server_that_is_there() {
    let fixture = Fixture::new().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("before.json");
    let short = ["bench", "--rows", "no-op", "--duration", "50ms", "--concurrency", "2"];
    let first = fixture.run(&[&short[..], &["-o", "json"]].concat()).await;
    let before = report(&first);
    assert!(before["server"]["url"].is_string() && before["server"]["sync_interval"].is_null(), "{before}");
    assert!(
        before["rows"][0]["engine"]["nats_cpu_seconds_per_1000"].is_null(),
        "it belongs to somebody else: {before}"
    );
    std::fs::write(&file, &first.stdout).unwrap();

    let compare = ["--compare", file.to_str().unwrap()];
    let second = fixture.run(&[&short[..], &compare, &["-o", "json"]].concat()).await;
    assert!(!second.stderr.contains("not measured alike"), "{}", second.stderr);
    let now = report(&second);
    let compared = &now["compared"][0];
    assert_eq!((&compared["row"], &compared["concurrency"]), (&"no-op".into(), &2.into()));
    let rate = &compared["figures"][0];
    assert_eq!(rate["before"], before["rows"][0]["engine"]["per_second"]);
    assert_eq!(rate["now"], now["rows"][0]["engine"]["per_second"]);
    assert!(rate["spread"].is_number() && rate["within_spread"].is_boolean(), "{rate}");

    let longer = ["bench", "--rows", "no-op", "--duration", "60ms", "--concurrency", "2"];
    let third = fixture.run(&[&longer[..], &compare].concat()).await;
    assert!(third.stderr.contains("not measured alike: load, duration_seconds"), "{}", third.stderr);
    assert!(third.stdout.contains("compared") && third.stdout.contains("pattern"), "{}", third.stdout);
}

#[tokio::test]
async fn nothing_is_left_on_a_server_that_is_there() {
    let server = DevServer::builder().max_payload(40_000).start().await.unwrap();
    let connection = NatsConnection::connect(ConnectOptions::new(server.url())).await.unwrap();
    let settings = Settings { partitions: 4, ..Settings::default() };
    let broker = connection.create_namespace(&Namespace::new("shop").unwrap(), settings).await.unwrap();
    let there = ["--url", server.url(), "--namespace", "shop", "-o", "json"];
    let rows = ["--rows", "cold-resume,no-op", "--runs", "5", "--duration", "50ms"];
    let report = report(&bench(&[&rows[..], &there].concat()).await);
    let fails = bench(&[&["--rows", "payload-64k", "--duration", "50ms"][..], &there].concat()).await;
    assert_eq!(fails.code, Some(1), "{fails:?}");
    assert_eq!(report["server"]["partitions"], 4, "as the namespace has it that is there");
    assert_eq!(broker.last_seq(Stream::History).await.unwrap(), 0);
    let question = PlainMessage {
        subject: "$JS.API.STREAM.NAMES".into(),
        reply: None,
        headers: Headers::new(),
        payload: Vec::new().into(),
    };
    let answer: Value = serde_json::from_slice(&broker.request(question, DEADLINE).await.unwrap().payload).unwrap();
    let names = answer["streams"].as_array().unwrap();
    let left: Vec<_> = names.iter().filter(|name| name.as_str().unwrap().contains("HW_bench-")).collect();
    assert!(!names.is_empty() && left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_cluster_with_copies_and_group_commit_is_measured_and_told() {
    let nature = ["--replicas", "3", "--group-commit", "--sync-always"];
    let row = ["--rows", "no-op,steps", "--duration", "50ms", "--concurrency", "8", "-o", "json"];
    let report = report(&bench(&[nature.as_slice(), &row].concat()).await);
    let server = &report["server"];
    assert_eq!((&server["replicas"], &server["group_commit"]), (&3.into(), &true.into()));
    assert_eq!((&server["private_servers"], &server["sync_interval"]), (&3.into(), &"always".into()));
    for row in report["rows"].as_array().unwrap() {
        assert!(row["engine"]["count"].as_u64() > Some(0) && row["pattern"]["count"].as_u64() > Some(0), "{report}");
        // All three are counted.
        if cfg!(target_os = "linux") {
            assert!(row["engine"]["nats_cpu_seconds_per_1000"].as_f64() > Some(0.0), "{report}");
        }
    }
}

#[tokio::test]
async fn a_server_that_syncs_always_is_measured_and_told() {
    let arguments = ["--sync-always", "--rows", "no-op", "--duration", "50ms", "--concurrency", "2", "-o", "json"];
    let report = report(&bench(&arguments).await);
    assert_eq!(report["server"]["sync_interval"], "always");
    assert_eq!((&report["server"]["replicas"], &report["server"]["group_commit"]), (&1.into(), &false.into()));
    assert!(report["rows"][0]["engine"]["count"].as_u64() > Some(0), "{report}");
}

#[tokio::test]
async fn a_worker_that_is_not_as_everybodys_is_measured_and_told() {
    let worker = ["--busy-poll", "1ms 500us", "--threads", "1"];
    let row = ["--rows", "no-op", "--duration", "50ms", "--concurrency", "2", "-o", "json"];
    let report = report(&bench(&[worker.as_slice(), &row].concat()).await);
    assert_eq!(
        (&report["load"]["busy_poll_seconds"], &report["load"]["workflow_threads"]),
        (&0.0015.into(), &1.into())
    );
    assert!(report["rows"][0]["engine"]["count"].as_u64() > Some(0), "{report}");
}

#[tokio::test]
async fn a_row_that_fails_takes_nothing_from_the_others() {
    let server = DevServer::builder().max_payload(40_000).start().await.unwrap();
    let rows = ["--rows", "payload-64k,no-op", "--duration", "50ms", "--concurrency", "2", "-o", "json"];
    let ran = bench(&[&rows[..], &["--url", server.url()]].concat()).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("payload-64k cannot be measured") && ran.stderr.contains("1 of the rows"), "{ran:?}");
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&report["rows"][0]["row"], &report["failed"][0]["row"]), (&"no-op".into(), &"payload-64k".into()));
    assert!(report["failed"][0]["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{report}");
}

#[tokio::test]
async fn what_cannot_be_measured_is_told_at_once() {
    for (wrong, named) in [
        (&["--concurrency", "0"][..], "--concurrency"),
        (&["--concurrency", "1,many"], "many"),
        (&["--concurrency", "100000"], "65536"),
        (&["--duration", "0s"], "50ms"),
        (&["--duration", "1d"], "1h"),
        (&["--duration", "soon"], "--duration"),
        (&["--rows", "nothing"], "no-op"),
        (&["--replicas", "2"], "1, 3 or 5"),
        (&["--threads", "0"], "--threads"),
        (&["--busy-poll", "always"], "--busy-poll"),
        (&["--compare", "/no/such/report"], "/no/such/report"),
        (&["--sync-always", "--url", "nats://127.0.0.1:1"], "sync_interval"),
    ] {
        let error = bench(wrong).await.error(2);
        assert!(error.contains(named), "{wrong:?}: {error}");
    }
    let no_report = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    bench(&["--compare", no_report.to_str().unwrap()]).await.error(2);
}

#[tokio::test]
async fn the_help_explains_the_columns() {
    let help = bench(&["--help"]).await.ok();
    for explained in ["of pattern", "p50", "kept", "no-op", "--compare"] {
        assert!(help.contains(explained), "{explained}: {help}");
    }
}
