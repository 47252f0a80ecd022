//! Where is measured: on private servers, or on those that are there.

use std::{
    ffi::OsString,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use highwater::{ConnectOptions, Highwater};
use highwater_broker::{
    NamespaceError,
    nats::{NatsBroker, NatsConnection},
};
use highwater_devserver::{Builder, DevServer, Locator};
use highwater_protocol::{Namespace, namespace::Settings};
use serde_json::{Value, json};

use super::{
    nats::{Nats, Profile},
    pattern::Space,
    settings::{Load, Nature},
    stage::{NAMESPACE, Stage},
};
use crate::{exit::Error, globals::Globals};

/// How long a cluster may take until namespaces can be made in it.
const CLUSTER_MAX: Duration = Duration::from_mins(1);
/// The pause between two tries.
const AGAIN: Duration = Duration::from_millis(200);

/// One or several NATS servers, and how a process gets in.
#[derive(Debug)]
pub(crate) struct Place {
    servers: Vec<DevServer>,
    profile: Option<Profile>,
    options: ConnectOptions,
    /// The namespace on a server that belongs to somebody else whose settings those of the rows have.
    like: Option<Namespace>,
    nature: Nature,
    /// What a worker process needs in its environment to get in.
    environment: Vec<(&'static str, OsString)>,
}

impl Place {
    /// Starts private servers, or connects to the one that is named.
    pub(crate) async fn open(globals: &Globals, nature: Nature) -> Result<Self, Error> {
        if globals.url_given() {
            if nature.sync_always {
                return Err(Error::usage(
                    "--sync-always is for a private server; for the one at --url put `sync_interval: always` into the \
                     jetstream block of its configuration",
                ));
            }
            let (options, environment) = (globals.connect_options()?, globals.environment());
            let like = Some(globals.namespace()?);
            return Ok(Self { servers: Vec::new(), profile: None, options, like, nature, environment });
        }
        let (servers, profile) = private_servers(nature).await?;
        let urls = servers.iter().map(DevServer::url).collect::<Vec<_>>().join(",");
        let options = ConnectOptions::new(&urls).name("highwater bench");
        let environment = vec![("NATS_URL", urls.into())];
        Ok(Self { servers, profile, options, like: None, nature, environment })
    }

    /// Everything that a row needs, in a namespace of its own.
    pub(crate) async fn stage(&self, row: &str, load: &Load) -> Result<Stage, Error> {
        let connection = NatsConnection::connect(self.options.clone()).await?;
        let settings = self.settings(&connection).await?;
        let (borrowed, broker) = if self.is_private() {
            (None, self.make(&connection, &Namespace::new(format!("bench-{row}"))?, settings).await?)
        } else {
            let space = Space::make(&connection, &self.environment, settings).await?;
            let broker = space.broker().clone();
            (Some(space), broker)
        };
        let namespace = broker.namespace().clone();
        let mut environment = self.environment.clone();
        environment.push((NAMESPACE, namespace.as_str().into()));
        Ok(Stage {
            highwater: Highwater::on(Arc::new(broker)),
            namespace,
            borrowed,
            load: load.clone(),
            nats: self.nats(),
            options: self.options.clone(),
            environment,
        })
    }

    fn is_private(&self) -> bool {
        self.like.is_none()
    }

    /// The settings of the rows' namespaces: what was asked for, otherwise those of the namespace that is to be
    /// measured.
    async fn settings(&self, connection: &NatsConnection) -> Result<Settings, Error> {
        let Some(like) = &self.like else { return Ok(self.nature.settings(Settings::default())) };
        match connection.open_namespace(like).await {
            Ok(found) => Ok(self.nature.settings(found.settings().clone())),
            Err(NamespaceError::NotFound(_)) => Ok(self.nature.settings(Settings::default())),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes a namespace on a private server. A cluster that has just begun takes its time until it can.
    async fn make(
        &self,
        connection: &NatsConnection,
        namespace: &Namespace,
        settings: Settings,
    ) -> Result<NatsBroker, Error> {
        let begun = Instant::now();
        loop {
            match connection.create_namespace(namespace, settings.clone()).await {
                Err(NamespaceError::NoJetStream | NamespaceError::Broker(_))
                    if self.servers.len() > 1 && begun.elapsed() < CLUSTER_MAX =>
                {
                    tokio::time::sleep(AGAIN).await;
                }
                made => return Ok(made?),
            }
        }
    }

    /// What was measured on, for programs. What is not known is null.
    pub(crate) async fn json(&self) -> Result<Value, Error> {
        let connection = NatsConnection::connect(self.options.clone()).await?;
        let is_private = self.is_private();
        let sync = if self.nature.sync_always { "always" } else { "default" };
        let settings = self.settings(&connection).await?;
        Ok(json!({
            "nats_version": connection.server_version(),
            "url": (!is_private).then(|| connection.url()),
            "private_servers": self.servers.len(),
            "sync_interval": is_private.then_some(sync),
            "partitions": settings.partitions,
            "replicas": settings.replicas,
            "group_commit": settings.group_commit,
        }))
    }

    /// Stops the private servers.
    pub(crate) async fn close(self) -> Result<(), Error> {
        for server in self.servers {
            server.stop().await.map_err(Error::failed)?;
        }
        Ok(())
    }

    fn nats(&self) -> Nats {
        Nats { pids: self.servers.iter().filter_map(DevServer::pid).collect(), profile: self.profile }
    }
}

/// One server, or a cluster of as many as there shall be replicas.
async fn private_servers(nature: Nature) -> Result<(Vec<DevServer>, Option<Profile>), Error> {
    let locator = Locator::from_env().on_progress(|step| eprintln!("{step}"));
    let builder = DevServer::builder().locator(locator).sync_always(nature.sync_always);
    let count = usize::from(nature.replicas.unwrap_or(1));
    if count == 1 {
        let profile = Profile::anywhere().map_err(Error::failed)?;
        let server = builder.config(profile.config()).start().await.map_err(Error::failed)?;
        return Ok((vec![server], Some(profile)));
    }
    let members = builder.cluster(count).map_err(Error::failed)?;
    let servers = try_join_all(members.into_iter().map(Builder::start)).await.map_err(Error::failed)?;
    Ok((servers, None))
}
