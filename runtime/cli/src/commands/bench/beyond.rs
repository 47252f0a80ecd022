//! What one operation of a run takes: what the run takes beyond one that does nothing.

use super::{measured::Measured, rows::Row, series::Series};

/// The row that does nothing.
const NOTHING: &str = "no-op";

/// Adds what one operation takes to the rows that have several in sequence, measured one at a time.
pub(super) fn add(rows: &[&'static dyn Row], measured: &mut [Measured]) {
    let alone = |row: &Measured| row.concurrency == Some(1);
    let p50s = |row: &Measured| {
        let p50 = |series: &Option<Series>| series.as_ref().map(|series| series.within(0.5).as_secs_f64() * 1_000.0);
        p50(&row.engine).zip(p50(&row.pattern))
    };
    let Some(nothing) = measured.iter().find(|row| row.row == NOTHING && alone(row)).and_then(p50s) else { return };
    for row in measured.iter_mut().filter(|row| alone(row)) {
        let operations = rows.iter().find(|it| it.name() == row.row).and_then(|it| it.operations());
        let Some(((what, count), whole)) = operations.zip(p50s(row)) else { continue };
        let engine = (whole.0 - nothing.0) / f64::from(count);
        let pattern = (whole.1 - nothing.1) / f64::from(count);
        row.add(format!("{what}, p50 beyond a no-op's"), engine, "ms");
        row.add(format!("{what}, the same of the pattern"), pattern, "ms");
        row.add(format!("{what}, of pattern"), engine / pattern, "×");
    }
}
