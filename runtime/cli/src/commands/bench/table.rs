//! The table that people read.

use std::{fmt::Write as _, time::Duration};

use comfy_table::{CellAlignment, Table, presets::NOTHING};

use super::{
    measured::{Figure, Measured},
    series::Series,
};

/// What stands where nothing is known.
const UNKNOWN: &str = "-";
const COLUMNS: usize = 14;
const HEADER: [&str; COLUMNS] = [
    "row",
    "at\nonce",
    "per s",
    "±\n%",
    "of\npattern",
    "p50\nms",
    "of\npattern",
    "p99\nms",
    "p99.9\nms",
    "max\nms",
    "worker\nCPU s",
    "NATS\nCPU s",
    "bytes\nwritten",
    "bytes\nkept",
];

/// What the columns mean, for the help.
pub(super) const EXPLAINED: &str = "\
How to read the table. Rows from no-op to payload-64k are measured at each concurrency, the others have one of their
own. The line below a row is the same done with no engine: the same messages, as durably stored, from the same client
library, measured in turn with the engine. It asks by an acknowledged publish and has a subscription for each answer;
Highwater's client has one for all, and no acknowledgement when the answer comes soon, and its worker acknowledges tasks
in lots. Which messages these are is told in the source, in bench/pattern/story.rs.

  at once     how many runs, signals, queries … are under way at the same time
  per s       how many are done in a second
  ±           half of what lies between the slowest and the fastest slice of the time, in % of the middle one
  of pattern  the engine's figure as a part of the pattern's: more is better behind \"per s\", less behind \"p50\"
  p50 … max   the time from asking to the answer within which 50 %, 99 %, 99.9 % and all of them were done
  CPU s       seconds on all cores together for 1,000 of them, of the worker and of NATS
  written     bytes that NATS had the system write to disk for each
  kept        bytes that stay in the history of each

A row counts and times runs, from asking for the start to having the result; but signal, query and update count one of
these to a run that waits, and start-only the start alone. A measurement that is interrupted on a server of your own
leaves streams there whose names begin with HW_bench-s- and KV_HW_bench-s-.

What is not known, as of a server elsewhere, is -. The open-loop row starts runs at half of the rate that it has just
measured, whatever becomes of those under way; a time counts from when the run should have begun, and the rate is that
at which they ended. What a step or an activity takes \"beyond a no-op's\" is what ten of them take longer than none at
concurrency 1, divided by ten; it is told when no-op is measured as well.";

pub(super) fn render(measured: &[Measured]) -> String {
    let lines = measured.iter().flat_map(|row| {
        let engine = row.engine.as_ref().map(|engine| line(row, engine, true));
        let pattern = row.pattern.as_ref().map(|pattern| line(row, pattern, false));
        engine.into_iter().chain(pattern)
    });
    let table = aligned(HEADER, lines);
    let figures = figures(measured);
    [table, figures].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n\n")
}

/// A table whose first column is text and whose others are numbers; nothing without lines.
pub(super) fn aligned<const N: usize>(header: [&str; N], lines: impl Iterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header);
    table.add_rows(lines);
    if table.is_empty() {
        return String::new();
    }
    for (number, column) in table.column_iter_mut().enumerate() {
        column.set_padding((u16::from(number > 0), 0));
        if number > 0 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.to_string()
}

fn line(row: &Measured, series: &Series, is_engine: bool) -> [String; COLUMNS] {
    let ratio = row.of_pattern().filter(|_| is_engine);
    let cpu = |used| known(series.cpu_per_thousand(used), |cpu| format!("{cpu:.3}"));
    let concurrency = row.concurrency.filter(|_| is_engine);
    [
        if is_engine { row.row.to_owned() } else { "  pattern".to_owned() },
        concurrency.map_or(String::new(), |concurrency| concurrency.to_string()),
        format!("{:.0}", series.rate()),
        known(series.rate_spread(), |spread| format!("{:.0}", spread * 100.0)),
        ratio.map_or(String::new(), |ratio| format!("{:.0} %", ratio.rate * 100.0)),
        milliseconds(series.within(0.5)),
        ratio.map_or(String::new(), |ratio| format!("{:.2} ×", ratio.p50)),
        milliseconds(series.within(0.99)),
        milliseconds(series.within(0.999)),
        milliseconds(Duration::from_micros(series.times.max())),
        if is_engine { cpu(series.worker) } else { String::new() },
        cpu(series.nats),
        known(series.written(), |bytes| format!("{bytes:.0}")),
        known(series.kept, |bytes| format!("{bytes:.0}")),
    ]
}

/// Numbers with names, below the name of their row.
fn figures(measured: &[Measured]) -> String {
    let mut text = String::new();
    for row in measured.iter().filter(|row| !row.figures.is_empty()) {
        let at = row.concurrency.map_or(String::new(), |concurrency| format!(" at {concurrency}"));
        let _ = writeln!(text, "{}{at}", row.row);
        for Figure { name, value, unit, .. } in &row.figures {
            let _ = writeln!(text, "  {name:<60} {:>12} {unit}", number(*value));
        }
    }
    text.trim_end().to_owned()
}

fn known(value: Option<f64>, show: impl FnOnce(f64) -> String) -> String {
    value.map_or(UNKNOWN.into(), show)
}

fn milliseconds(time: Duration) -> String {
    number(time.as_secs_f64() * 1_000.0)
}

/// With as many places as say something.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 1_000.0 => format!("{value:.0}"),
        medium if medium >= 100.0 => format!("{value:.1}"),
        small if small >= 0.1 || small == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::series::SliceOf, *};

    /// Large figures in every column.
    fn wide(row: &'static str) -> Measured {
        let series = || {
            let mut series = Series::new().unwrap();
            let times = vec![Duration::from_millis(12_345); 1_234_567];
            series.add(&times, SliceOf::new(&times, 1_234_567.0, Duration::from_secs(10), [None; 2]));
            series.kept = Some(123_456.0);
            series
        };
        let (engine, pattern) = (Some(series()), Some(series()));
        Measured { concurrency: Some(512), engine, pattern, ..Measured::new(row) }
    }

    #[test]
    fn the_table_fits_120_columns() {
        let text = render(&[wide("payload-64k").figure("a figure with a name as long as names get", 0.123, "ms")]);
        assert!(text.contains("payload-64k") && text.contains("pattern"), "{text}");
        for line in text.lines().chain(EXPLAINED.lines()) {
            assert!(line.chars().count() <= 120, "{line}");
        }
        let widest = text.lines().map(|line| line.trim_end().chars().count()).max();
        assert!(widest <= Some(120), "{widest:?}\n{text}");
    }

    #[test]
    fn without_rows_that_have_a_rate_there_is_no_table() {
        let text = render(&[Measured::new("replay").figure("events", 1_000_000.0, "events/s")]);
        assert!(text.starts_with("replay\n  events") && text.ends_with("1000000 events/s"), "{text}");
    }
}
