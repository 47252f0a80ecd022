//! What a test runs in.

use std::path::{Path, PathBuf};

use highwater::prelude::*;
use highwater_broker::nats::{ConnectOptions, NatsConnection};
use highwater_devserver::DevServer;
use highwater_protocol::{Namespace, namespace::Settings};
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
        Self::on(DevServer::builder().start().await.expect("a NATS server can be started"), program).await
    }

    /// As [`start`](Self::start), with a server that writes everything to the disk before it answers, and a namespace
    /// that commits in groups.
    pub async fn start_with_group_commit(program: impl AsRef<Path>) -> Self {
        let server = DevServer::builder().sync_always(true).start().await.expect("a NATS server can be started");
        let connection = NatsConnection::connect(ConnectOptions::new(server.url())).await.expect("it lets us in");
        let settings = Settings { group_commit: true, ..Settings::default() };
        connection.create_namespace(&Namespace::default(), settings).await.expect("there is no namespace yet");
        Self::on(server, program).await
    }

    async fn on(server: DevServer, program: impl AsRef<Path>) -> Self {
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
