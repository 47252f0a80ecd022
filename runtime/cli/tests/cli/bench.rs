//! `highwater bench`: what it measures, keeps and compares, for a moment each.

use std::{collections::BTreeSet, path::Path};

use highwater_devserver::DevServer;
use serde_json::Value;

use crate::support::{Fixture, Ran, highwater, run};

/// The rows that are a unit of work, done again and again.
const ORDINARY: [&str; 12] = [
    "no-op",
    "steps",
    "activities",
    "parallel",
    "signal",
    "query",
    "update",
    "child",
    "start-only",
    "payload-1k",
    "payload-64k",
    "open-loop",
];

/// What is told of the engine and of the pattern on a machine that tells everything.
const FIGURES: [&str; 14] = [
    "count",
    "seconds",
    "per_second",
    "per_second_spread",
    "per_second_of_slices",
    "p50_us",
    "p50_spread",
    "p99_us",
    "p99_9_us",
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

#[tokio::test]
async fn every_ordinary_row_is_measured_beside_the_pattern() {
    let rows = ORDINARY.join(",");
    let ran = bench(&["--rows", &rows, "--duration", "50ms", "--concurrency", "1,3", "-o", "json"]).await;
    let report = report(&ran);
    let measured = report["rows"].as_array().unwrap();
    let names: BTreeSet<&str> = measured.iter().map(|row| row["row"].as_str().unwrap()).collect();
    assert_eq!(names, BTreeSet::from(ORDINARY));
    for row in measured {
        let concurrency = row["concurrency"].as_u64();
        assert!(matches!((row["row"].as_str(), concurrency), (Some("open-loop"), None) | (_, Some(1 | 3))), "{row}");
        // Only Linux tells what processes use.
        if cfg!(target_os = "linux") {
            every_figure_is_there(&row["engine"], &["worker_cpu_seconds_per_1000", "worker_rss_bytes"]);
            every_figure_is_there(&row["pattern"], &[]);
        }
        assert!(row["of_pattern"]["per_second"].as_f64() > Some(0.0), "{row}");
        assert!(row["of_pattern"]["p50"].as_f64() > Some(0.0), "{row}");
    }
    let unit = |name: &str| measured.iter().find(|row| row["row"] == name).unwrap()["unit"].as_str().unwrap();
    assert_eq!(["steps", "query", "start-only"].map(unit), ["run", "query", "start"]);
    let step = measured.iter().find(|row| row["row"] == "steps" && row["concurrency"] == 1).unwrap();
    assert_eq!(step["figures"].as_array().unwrap().len(), 3, "{step}");
    assert!(report["machine"]["cores"].as_u64() > Some(0), "{report}");
    assert_eq!(report["machine"]["debug_build"], cfg!(debug_assertions));
    assert!(report["server"]["nats_version"].is_string() && report["server"]["url"].is_null(), "{report}");
    assert_eq!(report["load"]["duration_seconds"], 0.05);
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
async fn a_server_that_syncs_always_is_measured_and_told() {
    let arguments = ["--sync-always", "--rows", "no-op", "--duration", "50ms", "--concurrency", "2", "-o", "json"];
    let report = report(&bench(&arguments).await);
    assert_eq!(report["server"]["sync_interval"], "always");
    assert_eq!((&report["server"]["replicas"], &report["server"]["group_commit"]), (&1.into(), &false.into()));
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
