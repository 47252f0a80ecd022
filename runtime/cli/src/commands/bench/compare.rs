//! Two reports, one beside the other.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::{
    report::FORMAT,
    table::{aligned, number},
};
use crate::exit::Error;

/// What is said behind a change that is no larger than what the slices of one measurement lie apart.
const WITHIN_SPREAD: &str = "within the spread";

/// How a row stands to the same one of an earlier report.
#[derive(Debug)]
pub(super) struct Compared {
    row: String,
    concurrency: Option<u64>,
    lines: Vec<Line>,
}

/// How one figure of a row stands.
#[derive(Debug)]
struct Line {
    what: String,
    before: f64,
    now: f64,
    /// How far the values of one measurement lie apart, as a part of the middle one, where that is known.
    spread: Option<f64>,
}

impl Line {
    fn ratio(&self) -> f64 {
        self.now / self.before
    }

    fn is_within_spread(&self) -> Option<bool> {
        Some((self.ratio() - 1.0).abs() <= self.spread?)
    }
}

/// Reads a report that was kept.
pub(super) fn read(path: &Path) -> Result<Value, Error> {
    let told = |error: &dyn std::fmt::Display| Error::usage(format_args!("--compare {}: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| told(&error))?;
    let report: Value = serde_json::from_str(&text).map_err(|error| told(&error))?;
    if report["format"] == FORMAT {
        return Ok(report);
    }
    Err(told(&format!(
        "this is no report of `highwater bench -o json` that can be compared; it needs the format {FORMAT:?}"
    )))
}

/// Compares the rows that are in both.
pub(super) fn compare(before: &Value, now: &Value) -> Vec<Compared> {
    let rows = |report: &Value| report["rows"].as_array().cloned().unwrap_or_default();
    let before = rows(before);
    let same = |now: &Value| {
        before.iter().find(|row| row["row"] == now["row"] && row["concurrency"] == now["concurrency"]).cloned()
    };
    rows(now).iter().filter_map(|now| Some(compare_row(&same(now)?, now))).collect()
}

/// What is compared of a row: what it is called, where it stands, and where that stands of which the spread is known. A
/// part of the pattern's spreads with both.
const COMPARED: [(&str, &str, &[&str]); 11] = [
    ("per s", "/engine/per_second", &["/engine/per_second_spread"]),
    ("per s, of pattern", "/of_pattern/per_second", &["/engine/per_second_spread", "/pattern/per_second_spread"]),
    ("p50 µs", "/engine/p50_us", &["/engine/p50_spread"]),
    ("p50, of pattern", "/of_pattern/p50", &["/engine/p50_spread", "/pattern/p50_spread"]),
    ("p99 µs", "/engine/p99_us", &["/engine/p99_spread"]),
    ("p99.9 µs", "/engine/p99_9_us", &["/engine/p99_9_spread"]),
    ("CPU s of the worker", "/engine/worker_cpu_seconds_per_1000", &["/engine/worker_cpu_spread"]),
    ("CPU s of NATS", "/engine/nats_cpu_seconds_per_1000", &["/engine/nats_cpu_spread"]),
    ("bytes written", "/engine/bytes_written_each", &[]),
    ("bytes kept", "/engine/bytes_kept_each", &[]),
    ("per s, the pattern", "/pattern/per_second", &["/pattern/per_second_spread"]),
];

fn compare_row(before: &Value, now: &Value) -> Compared {
    let line = |(what, path, spreads): &(&str, &str, &[&str])| {
        let value = |row: &Value, path: &str| row.pointer(path).and_then(Value::as_f64);
        let spread = widest(spreads.iter().flat_map(|path| [value(before, path), value(now, path)]));
        Some(Line { what: (*what).to_owned(), before: value(before, path)?, now: value(now, path)?, spread })
    };
    let mut lines: Vec<Line> = COMPARED.iter().filter_map(line).collect();
    let figures = |row: &Value| row["figures"].as_array().cloned().unwrap_or_default();
    let earlier = figures(before);
    lines.extend(figures(now).iter().filter_map(|now| {
        let before = earlier.iter().find(|before| before["name"] == now["name"])?;
        let what = format!("{}, {}", now["name"].as_str()?, now["unit"].as_str()?);
        let spread = widest([before, now].map(|figure| figure["spread"].as_f64()));
        Some(Line { what, before: before["value"].as_f64()?, now: now["value"].as_f64()?, spread })
    }));
    Compared {
        row: now["row"].as_str().unwrap_or_default().to_owned(),
        concurrency: now["concurrency"].as_u64(),
        lines,
    }
}

/// The widest of these spreads, when all of them are known.
fn widest(spreads: impl IntoIterator<Item = Option<f64>>) -> Option<f64> {
    spreads.into_iter().reduce(|one, other| Some(one?.max(other?)))?
}

/// What was not the same in the two measurements, apart from the engine.
pub(super) fn differences(before: &Value, now: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for part in ["machine", "server", "load"] {
        let names = |report: &Value| report[part].as_object().map(Map::len).unwrap_or_default();
        let wider = if names(before) > names(now) { before } else { now };
        for name in wider[part].as_object().into_iter().flat_map(Map::keys) {
            let [before, now] = [before, now].map(|report| &report[part][name]);
            // Which rows were measured at which concurrency is seen in the rows.
            if before != now && name != "concurrency" {
                found.push(format!("{part}, {name}: {before} before, {now} now"));
            }
        }
    }
    found
}

/// For people.
pub(super) fn render(compared: &[Compared]) -> String {
    if compared.is_empty() {
        return "there is nothing to compare: no row was measured at the same concurrency before".into();
    }
    let lines = compared.iter().flat_map(|row| {
        row.lines.iter().enumerate().map(|(number_of_line, line)| {
            let first = number_of_line == 0;
            let concurrency = row.concurrency.filter(|_| first).map_or(String::new(), |at| at.to_string());
            [
                if first { row.row.clone() } else { String::new() },
                concurrency,
                line.what.clone(),
                number(line.before),
                number(line.now),
                format!("{:.2} ×", line.ratio()),
                line.spread.map_or("?".into(), |spread| format!("{:.0}", spread * 100.0)),
                if line.is_within_spread() == Some(true) { WITHIN_SPREAD.into() } else { String::new() },
            ]
        })
    });
    aligned(["compared", "at\nonce", "", "before", "now", "now of\nbefore", "±\n%", ""], lines)
}

/// For programs.
pub(super) fn json(compared: &[Compared]) -> Value {
    let line = |line: &Line| {
        json!({
            "what": line.what,
            "before": line.before,
            "now": line.now,
            "ratio": line.ratio(),
            "spread": line.spread,
            "within_spread": line.is_within_spread(),
        })
    };
    let row = |row: &Compared| {
        let lines: Vec<Value> = row.lines.iter().map(line).collect();
        json!({ "row": row.row, "concurrency": row.concurrency, "figures": lines })
    };
    compared.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(rate: f64, spread: f64) -> Value {
        let engine = json!({ "per_second": rate, "per_second_spread": spread, "p50_us": 100 });
        let pattern = json!({ "per_second": 1_000.0, "per_second_spread": 0.15 });
        let of_pattern = json!({ "per_second": rate / 1_000.0 });
        let figures = json!([
            { "name": "memory", "value": rate, "unit": "MiB" },
            { "name": "late", "value": rate, "unit": "ms", "spread": spread },
        ]);
        json!({
            "format": FORMAT,
            "machine": { "cores": 2 },
            "rows": [
                {
                    "row": "no-op", "concurrency": 64, "engine": engine, "pattern": pattern,
                    "of_pattern": of_pattern, "figures": figures,
                },
                { "row": "only here", "concurrency": rate, "engine": engine, "figures": [] },
            ],
        })
    }

    fn the_rate(before: f64, now: f64, spread: f64) -> Line {
        let mut compared = compare(&report(before, 0.01), &report(now, spread));
        assert_eq!(compared.len(), 1, "{compared:?}");
        compared.remove(0).lines.remove(0)
    }

    #[test]
    fn a_change_that_is_smaller_than_the_spread_is_told_as_such() {
        let change = the_rate(1_000.0, 1_100.0, 0.05);
        assert!((change.ratio() - 1.1).abs() < 1e-9);
        assert_eq!(change.is_within_spread(), Some(false));
        assert_eq!(the_rate(1_000.0, 1_100.0, 0.2).is_within_spread(), Some(true));
        let text = render(&compare(&report(1_000.0, 0.2), &report(1_100.0, 0.01)));
        assert!(text.contains("1.10 ×") && text.contains(WITHIN_SPREAD), "{text}");
    }

    #[test]
    fn a_part_of_the_pattern_spreads_with_both() {
        let compared = compare(&report(1_000.0, 0.01), &report(1_100.0, 0.02));
        let is_within =
            |what: &str| compared[0].lines.iter().find(|line| line.what == what).unwrap().is_within_spread();
        assert_eq!(
            ["per s", "per s, of pattern", "late, ms", "memory, MiB"].map(is_within),
            [Some(false), Some(true), Some(false), None]
        );
    }

    #[test]
    fn figures_are_found_by_their_names() {
        let compared = compare(&report(10.0, 0.0), &report(20.0, 0.0));
        let memory = compared[0].lines.iter().find(|line| line.what == "memory, MiB").unwrap();
        assert!((memory.ratio() - 2.0).abs() < 1e-9 && memory.is_within_spread().is_none());
        assert_eq!(json(&compared)[0]["figures"][0]["ratio"], 2.0);
    }

    #[test]
    fn another_machine_is_told() {
        let (before, mut now) = (report(1.0, 0.0), report(1.0, 0.0));
        assert_eq!(differences(&before, &now), Vec::<String>::new());
        now["machine"]["cores"] = json!(8);
        assert_eq!(differences(&before, &now), ["machine, cores: 2 before, 8 now"]);
    }

    #[test]
    fn a_file_that_is_no_report_is_told() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for text in ["", "[]", "{\"format\": \"other\"}"] {
            std::fs::write(file.path(), text).unwrap();
            let error = read(file.path()).unwrap_err();
            assert!(error.message.contains("--compare"), "{error:?}");
        }
    }
}
