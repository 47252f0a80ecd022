//! The table that people read.

use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets::UTF8_HORIZONTAL_ONLY};

use super::measured::{Measured, Series};

/// What stands where nothing is known.
const UNKNOWN: &str = "-";

pub(super) fn render(measured: &[Measured]) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    table.set_header(["row", "at once", "per s", "p50 ms", "p99 ms", "p99.9 ms", "worker", "NATS"]);
    for row in measured {
        if let Some(engine) = &row.engine {
            table.add_row(cells(row, engine));
        }
        if let Some(pattern) = &row.pattern {
            table.add_row(cells(row, pattern));
        }
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let figures = measured.iter().flat_map(|row| {
        row.figures.iter().map(move |it| format!("{}: {} {} {}", row.row, it.name, number(it.value), it.unit))
    });
    let table = (!table.is_empty()).then(|| table.to_string());
    table.into_iter().chain(figures).collect::<Vec<_>>().join("\n")
}

fn cells(row: &Measured, engine: &Series) -> [String; 8] {
    let cpu = |used| engine.cpu_per_thousand(used).map_or(UNKNOWN.into(), |cpu| format!("{cpu:.3}"));
    [
        row.row.to_owned(),
        row.concurrency.map_or(UNKNOWN.into(), |concurrency| concurrency.to_string()),
        format!("{:.0}", engine.rate()),
        milliseconds(engine.within(0.5)),
        milliseconds(engine.within(0.99)),
        milliseconds(engine.within(0.999)),
        cpu(engine.worker),
        cpu(engine.nats),
    ]
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() * 1_000.0)
}

/// With as many places as say something.
fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        medium if medium >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}
