//! The rows of `highwater bench` that are no unit of work done again and again, each with small numbers.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::{highwater, run};

/// The figures of a row by name.
type Figures = BTreeMap<String, f64>;

/// Measures rows and returns their figures. No figure may be missing a value.
async fn measured(rows: &[&str], sizes: &[&str]) -> BTreeMap<String, Figures> {
    let mut command = highwater();
    command.args(["bench", "-o", "json", "--rows", &rows.join(",")]).args(sizes);
    let ran = run(command, None).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    let row = |row: &Value| {
        let figures = row["figures"].as_array().unwrap().iter();
        let figure = |it: &Value| (it["name"].as_str().unwrap().to_owned(), it["value"].as_f64().unwrap());
        (row["row"].as_str().unwrap().to_owned(), figures.map(figure).collect())
    };
    let measured: BTreeMap<String, Figures> = report["rows"].as_array().unwrap().iter().map(row).collect();
    assert_eq!(measured.len(), rows.len(), "{report}");
    measured
}

/// The values of these figures, each of which is more than nothing.
#[track_caller]
fn values<const N: usize>(figures: &Figures, names: [&str; N]) -> [f64; N] {
    names.map(|name| {
        let value = figures.get(name).unwrap_or_else(|| panic!("{name} is missing: {figures:?}"));
        assert!(*value > 0.0, "{name}: {figures:?}");
        *value
    })
}

/// A figure that counts something.
#[track_caller]
fn counted(figures: &Figures, name: &str) -> u64 {
    values(figures, [name])[0] as u64
}

/// Half, nearly all and all of some times.
#[track_caller]
fn spread(figures: &Figures, of: &str) -> [f64; 4] {
    let [p50, p99, p99_9, max] = ["p50", "p99", "p99.9", "max"].map(|part| format!("{of} {part}"));
    let times = values(figures, [&p50, &p99, &p99_9, &max]);
    assert!(times.is_sorted(), "{figures:?}");
    times
}

#[tokio::test]
async fn late_timers_cold_runs_and_replays_are_measured() {
    let rows = ["timer-cached", "timer-evicted", "replay", "cold-resume"];
    let measured = measured(&rows, &["--duration", "300ms", "--runs", "40"]).await;
    for row in ["timer-cached", "timer-evicted"] {
        assert_eq!(counted(&measured[row], "timers"), 40);
        spread(&measured[row], "late");
        assert!(measured[row]["late min"] >= 0.0, "a timer is never early: {measured:?}");
    }
    // The server looks at its timers four times a second, and nobody else wakes these runs.
    assert!(measured["timer-evicted"]["late max"] > 50.0, "{measured:?}");
    let replay = &measured["replay"];
    let names = ["events of the long history", "long history", "long history, from the bytes of its records"];
    let [events, rate, decoding] = values(replay, names);
    assert!(events > 10_000.0 && rate > decoding, "{replay:?}");
    values(replay, ["events of the short history", "short history"]);
    // A run that has to be rebuilt first takes longer.
    let (cold, cached) = (spread(&measured["cold-resume"], "cold"), spread(&measured["cold-resume"], "cached"));
    assert!(cold[0] > cached[0], "{measured:?}");
}

#[tokio::test]
async fn a_takeover_is_measured_from_the_kill() {
    let measured = measured(&["takeover"], &["--runs", "40"]).await;
    let takeover = &measured["takeover"];
    let [runs, activities] = values(takeover, ["runs of the killed worker", "activities of the killed worker"]);
    assert!((1.0..40.0).contains(&runs) && activities >= 1.0, "{takeover:?}");
    let lease = values(takeover, ["its lease has ended"])[0];
    for of in ["waiting runs", "runs with an activity"] {
        let [first, half, all] = ["the first", "half of them", "all"].map(|part| format!("{of}: {part}"));
        let times = values(takeover, [&first, &half, &all]);
        assert!(times.is_sorted() && times[0] >= lease, "{takeover:?}");
    }
}

#[tokio::test]
async fn what_very_many_runs_cost_is_measured() {
    let rows = ["cached-run", "noisy-neighbour", "wear", "full-stream", "sleeping"];
    let sizes = ["--runs", "30", "--fan-out", "50", "--stream-messages", "300", "--sleeping", "300"];
    let measured = measured(&rows, &[&sizes[..], &["--duration", "300ms"]].concat()).await;
    values(&measured["cached-run"], ["memory of a run, with all that came first"]);
    let noisy = &measured["noisy-neighbour"];
    for of in ["alone", "beside it", "alone again"] {
        let [rate, p50, p99] = ["", " p50", " p99"].map(|part| format!("no-op {of}{part}"));
        let [_, p50, p99] = values(noisy, [&rate, &p50, &p99]);
        assert!(p50 <= p99, "{noisy:?}");
    }
    values(noisy, ["times slower beside it", "times longer p99 beside it", "the run with the activities"]);
    values(&measured["wear"], ["first runs", "last runs", "times slower at last"]);
    let full_stream = &measured["full-stream"];
    values(full_stream, ["filled"]);
    for what in ["no-op", "cold resume"] {
        let [full, empty, before] =
            ["full", "empty, in turn with it", "before it was filled"].map(|when| format!("{what} p50, {when}"));
        let [full, empty, before] = values(full_stream, [&full, &empty, &before]);
        let [than_empty, than_before] =
            ["the empty one in turn", "before"].map(|than| format!("{what}, times longer than {than}"));
        let times = values(full_stream, [&than_empty, &than_before]);
        assert!((times[0] - full / empty).abs() < 1e-6 && (times[1] - full / before).abs() < 1e-6, "{times:?}");
    }
    let sleeping = &measured["sleeping"];
    let [waiting, asleep] = values(sleeping, ["stored for a waiting run", "stored for a sleeping run"]);
    // There is a timer beside the record.
    assert!(asleep > waiting, "{sleeping:?}");
    assert_eq!(counted(sleeping, "woken"), 30);
    spread(sleeping, "on record after waking");
}
