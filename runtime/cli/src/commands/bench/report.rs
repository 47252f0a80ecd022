//! Everything that was measured, in the form in which it is kept and compared.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::{Outcome, machine, measured::Measured, place::Place, settings::Load};
use crate::exit::Error;

/// What tells a report from other JSON. It grows with a change after which older reports cannot be compared.
pub(super) const FORMAT: &str = "highwater bench 2";

/// A report, but for what was measured.
#[derive(Debug)]
pub(super) struct Frame(Value);

impl Frame {
    /// Notes what is measured on, and how.
    pub(super) async fn new(place: &Place, load: &Load) -> Result<Self, Error> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_secs());
        Ok(Self(json!({
            "format": FORMAT,
            "highwater_version": env!("CARGO_PKG_VERSION"),
            "measured_at_unix_seconds": now.ok(),
            "machine": machine::json(),
            "server": place.json().await?,
            "load": load.json(),
        })))
    }

    /// The whole report.
    pub(super) fn with(&self, outcome: &Outcome) -> Value {
        let mut whole = self.0.clone();
        whole["rows"] = outcome.measured.iter().map(Measured::json).collect();
        let failed = outcome.failed.iter().map(|(row, reason)| json!({ "row": row, "reason": reason }));
        whole["failed"] = failed.collect();
        whole
    }
}
