//! Where workflows and activities leave traces.

use std::{path::Path, sync::OnceLock, time::Duration};

use super::{Entry, Gates, Ledger};

/// The variable that names the folder of the ledger and the gates.
pub(crate) const FOLDER: &str = "HIGHWATER_TEST_FOLDER";
/// The variable that names the worker.
pub(crate) const WORKER: &str = "HIGHWATER_TEST_WORKER";

/// A ledger and gates, and the name under which this process writes.
#[derive(Clone, Debug)]
pub struct Site {
    /// What ran.
    pub ledger: Ledger,
    /// What is held up.
    pub gates: Gates,
    worker: String,
}

impl Site {
    /// The site in this folder, for a worker of this name.
    pub fn new(folder: &Path, worker: &str) -> Self {
        Self { ledger: Ledger::new(folder), gates: Gates::new(folder), worker: worker.to_owned() }
    }

    /// The site of this worker process.
    pub fn here() -> Self {
        static HERE: OnceLock<Site> = OnceLock::new();
        let from_environment = || {
            let variable = |name| std::env::var(name).unwrap_or_else(|error| panic!("{name}: {error}"));
            Self::new(Path::new(&variable(FOLDER)), &variable(WORKER))
        };
        HERE.get_or_init(from_environment).clone()
    }

    /// The name under which this process writes.
    pub fn worker(&self) -> &str {
        &self.worker
    }

    /// Notes that something was done here.
    pub fn note(&self, what: impl Into<String>, detail: impl Into<String>) -> Result<(), String> {
        let entry = Entry { what: what.into(), worker: self.worker.clone(), detail: detail.into() };
        self.ledger.add(&entry).map_err(|error| error.to_string())
    }

    /// Does something that a test can count and hold up: notes that it started, takes its time, passes the gate of its
    /// name, and notes that it is done.
    pub async fn perform(&self, name: &str, takes: Duration, detail: &str) -> Result<(), String> {
        self.note(format!("{name} started"), detail)?;
        tokio::time::sleep(takes).await;
        self.gates.pass(name).await;
        self.note(format!("{name} done"), detail)
    }
}
