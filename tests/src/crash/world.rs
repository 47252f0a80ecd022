//! What a test runs in.

use std::path::{Path, PathBuf};

use futures_util::future::try_join_all;
use highwater::prelude::*;
use highwater_broker::nats::{ConnectOptions, NatsConnection};
use highwater_devserver::{Builder, DevServer};
use highwater_protocol::{Namespace, namespace::Settings};
use tempfile::TempDir;

use super::{Gates, Ledger, Site, WorkerProcess};

/// A NATS server of a test's own, or a cluster, a folder for the ledger and the gates, and the worker processes.
#[derive(Debug)]
pub struct World {
    /// The server.
    pub server: DevServer,
    /// The other members of its cluster.
    pub others: Vec<DevServer>,
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
    /// Starts a server. `program` is the worker's program: `env!("CARGO_BIN_EXE_test-worker")`, which only a test
    /// knows.
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

    /// As [`start`](Self::start), with a cluster of three servers that each have a copy of everything.
    pub async fn start_cluster(program: impl AsRef<Path>) -> Self {
        let members = DevServer::builder().cluster(3).expect("there are free ports");
        let servers = try_join_all(members.into_iter().map(Builder::start)).await;
        let mut servers = servers.expect("NATS servers can be started");
        let connection = NatsConnection::connect(ConnectOptions::new(urls(&servers))).await.expect("it lets us in");
        let settings = Settings { replicas: 3, ..Settings::default() };
        // The members have to find each other first.
        super::eventually("a namespace can be made", async || {
            connection.create_namespace(&Namespace::default(), settings.clone()).await.ok()
        })
        .await;
        let mut world = Self::on(servers.remove(0), program).await;
        world.others = servers;
        world.highwater = Highwater::connect_to(&world.urls()).await.expect("it lets us in");
        world
    }

    async fn on(server: DevServer, program: impl AsRef<Path>) -> Self {
        let highwater = Highwater::connect_to(server.url()).await.expect("it lets us in");
        let folder = TempDir::new().expect("there is a folder for temporary files");
        let Site { ledger, gates, .. } = Site::new(folder.path(), "the test");
        Self {
            server,
            others: Vec::new(),
            highwater,
            ledger,
            gates,
            program: program.as_ref().to_owned(),
            workers: 0,
            folder,
        }
    }

    /// Starts another worker process. Its name is `w1` for the first one, and so on.
    pub fn worker(&mut self) -> WorkerProcess {
        self.workers += 1;
        WorkerProcess::start(&self.program, &self.urls(), self.folder.path(), &format!("w{}", self.workers))
    }

    /// The member of the cluster at this place, from 0 on.
    pub fn member(&self, at: usize) -> &DevServer {
        at.checked_sub(1).map_or(&self.server, |other| &self.others[other])
    }

    /// Where all servers are.
    fn urls(&self) -> String {
        urls([&self.server].into_iter().chain(&self.others))
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

fn urls<'a>(servers: impl IntoIterator<Item = &'a DevServer>) -> String {
    servers.into_iter().map(DevServer::url).collect::<Vec<_>>().join(",")
}
