//! What a row is measured with.

use std::{ffi::OsString, sync::Arc};

use highwater::{Client, ConnectOptions, Highwater};
use highwater_broker::{
    Stream,
    nats::{NamespaceStatus, NatsConnection},
};
use highwater_protocol::Namespace;

use super::{
    nats::Nats,
    pattern::Space,
    settings::Load,
    worker_process::{WorkerProcess, WorkerSettings},
};
use crate::exit::Error;

/// What tells a worker process its namespace.
pub(super) const NAMESPACE: &str = "HIGHWATER_NAMESPACE";

/// A namespace on a server, with a connection for the load.
#[derive(Debug)]
pub(crate) struct Stage {
    /// The load's connection.
    pub(crate) highwater: Highwater,
    /// The namespace of the row.
    pub(crate) namespace: Namespace,
    /// The same where it has to be taken away again, as the server is not a private one.
    pub(super) borrowed: Option<Space>,
    /// What the person who measures asked for.
    pub(crate) load: Load,
    /// The processes of NATS.
    pub(crate) nats: Nats,
    pub(super) options: ConnectOptions,
    pub(crate) environment: Vec<(&'static str, OsString)>,
}

impl Stage {
    /// The load's client.
    pub(crate) fn client(&self) -> Client {
        self.highwater.client()
    }

    /// Another connection to the same namespace.
    pub(crate) async fn connect(&self) -> Result<Highwater, Error> {
        let connection = NatsConnection::connect(self.options.clone()).await?;
        Ok(Highwater::on(Arc::new(connection.open_namespace(&self.namespace).await?)))
    }

    /// Starts a worker in a process of its own and waits until it is at work. Every worker knows the workflows of all
    /// rows.
    pub(crate) async fn start_worker(&self, settings: WorkerSettings) -> Result<WorkerProcess, Error> {
        let threads = settings.threads.or(self.load.threads);
        let busy_poll = settings.busy_poll.or(self.load.busy_poll);
        WorkerProcess::start(&self.environment, WorkerSettings { threads, busy_poll, ..settings }).await
    }

    /// How much there is in the namespace's streams.
    pub(crate) async fn stored(&self) -> Result<NamespaceStatus, Error> {
        Ok(self.highwater.broker().connection().describe(&self.namespace).await?)
    }

    /// The bytes that the histories take.
    pub(crate) async fn history_bytes(&self) -> Result<u64, Error> {
        let streams = self.stored().await?.streams;
        Ok(streams.iter().filter(|status| status.stream == Stream::History).map(|status| status.bytes).sum())
    }

    /// The same in another namespace of the same servers, which is there.
    pub(crate) async fn at(&self, namespace: &Namespace) -> Result<Self, Error> {
        let connection = NatsConnection::connect(self.options.clone()).await?;
        let broker = connection.open_namespace(namespace).await?;
        let mut environment = self.environment.clone();
        environment.retain(|(name, _)| *name != NAMESPACE);
        environment.push((NAMESPACE, namespace.as_str().into()));
        Ok(Self {
            highwater: Highwater::on(Arc::new(broker)),
            namespace: namespace.clone(),
            borrowed: None,
            load: self.load.clone(),
            nats: self.nats.clone(),
            options: self.options.clone(),
            environment,
        })
    }

    /// Closes the load's connection, and leaves nothing on a server that belongs to somebody else.
    pub(crate) async fn close(self) -> Result<(), Error> {
        self.highwater.close().await;
        match self.borrowed {
            Some(space) => space.remove(&self.environment).await,
            None => Ok(()),
        }
    }
}
