//! What a test runs in.

use std::path::{Path, PathBuf};

use highwater::prelude::*;
use highwater_devserver::DevServer;
use tempfile::TempDir;

use super::{Gates, Ledger, Site, WorkerProcess};

/// A NATS server of a test's own, a folder for the ledger and the gates, and the worker processes.
#[derive(Debug)]
pub struct World {
    /// The server.
    pub server: DevServer,
    /// A connection to it.
    pub highwater: Highwater,
    /// What ran.
    pub ledger: Ledger,
    /// What is held up.
    pub gates: Gates,
    program: PathBuf,
    workers: usize,
    folder: TempDir,
}

impl World {
    /// Starts a server. `program` is the worker's program: `env!("CARGO_BIN_EXE_test-worker")`, which only a test knows.
    pub async fn start(program: impl AsRef<Path>) -> Self {
        let server = DevServer::builder().start().await.expect("a NATS server can be started");
        let highwater = Highwater::connect_to(server.url()).await.expect("it lets us in");
        let folder = TempDir::new().expect("there is a folder for temporary files");
        let Site { ledger, gates, .. } = Site::new(folder.path(), "the test");
        Self { server, highwater, ledger, gates, program: program.as_ref().to_owned(), workers: 0, folder }
    }

    /// Starts another worker process. Its name is `w1` for the first one, and so on.
    pub fn worker(&mut self) -> WorkerProcess {
        self.workers += 1;
        WorkerProcess::start(&self.program, self.server.url(), self.folder.path(), &format!("w{}", self.workers))
    }

    /// The client.
    pub fn client(&self) -> Client {
        self.highwater.client()
    }

    /// Waits until this has been done so many times.
    pub async fn until(&self, what: &str, times: usize) {
        super::eventually(&format!("{what}, {times} times"), async || (self.ledger.count(what) >= times).then_some(()))
            .await;
    }
}
