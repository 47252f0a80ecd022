//! The table that people read.

use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets::UTF8_HORIZONTAL_ONLY};

use super::load::Measured;

pub(super) fn render(measured: &[Measured]) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    table.set_header(["row", "at once", "runs/s", "p50", "p99"]);
    for row in measured {
        table.add_row([
            row.row.to_string(),
            row.concurrency.to_string(),
            format!("{:.0}", row.runs_per_second()),
            time(row.percentile(0.5)),
            time(row.percentile(0.99)),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

fn time(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1_000.0)
}
