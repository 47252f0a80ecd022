//! Where is measured: on private servers, or on those that are there.

use std::{
    ffi::OsString,
    net::{Ipv4Addr, TcpListener},
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
use highwater_protocol::Namespace;
use serde_json::{Value, json};

use super::{
    nats::{Nats, Profile},
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
    /// The namespace of all rows; on a private server each row has its own.
    namespace: Option<Namespace>,
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
            let namespace = Some(globals.namespace()?);
            return Ok(Self { servers: Vec::new(), profile: None, options, namespace, nature, environment });
        }
        let (servers, profile) = private_servers(nature).await?;
        let urls = servers.iter().map(DevServer::url).collect::<Vec<_>>().join(",");
        let options = ConnectOptions::new(&urls).name("highwater bench");
        let environment = vec![("NATS_URL", urls.into())];
        Ok(Self { servers, profile, options, namespace: None, nature, environment })
    }

    /// Everything that a row needs, in a namespace of the row's own where that can be.
    pub(crate) async fn stage(&self, row: &str, load: &Load) -> Result<Stage, Error> {
        let namespace = match &self.namespace {
            Some(namespace) => namespace.clone(),
            None => Namespace::new(format!("bench-{row}"))?,
        };
        let connection = NatsConnection::connect(self.options.clone()).await?;
        let broker = self.open_namespace(&connection, &namespace).await?;
        let mut environment = self.environment.clone();
        environment.push((NAMESPACE, namespace.as_str().into()));
        Ok(Stage {
            highwater: Highwater::on(Arc::new(broker)),
            namespace,
            load: load.clone(),
            nats: self.nats(),
            options: self.options.clone(),
            environment,
        })
    }

    /// Opens a namespace; what does not exist is made. A cluster that has just begun takes its time until it can.
    async fn open_namespace(&self, connection: &NatsConnection, namespace: &Namespace) -> Result<NatsBroker, Error> {
        let begun = Instant::now();
        let asked_for = self.nature.replicas.is_some() || self.nature.group_commit;
        loop {
            let opened = if asked_for {
                connection.create_namespace(namespace, self.nature.namespace()).await
            } else {
                connection.open_or_create(namespace).await
            };
            match opened {
                Err(NamespaceError::NoJetStream | NamespaceError::Broker(_))
                    if self.servers.len() > 1 && begun.elapsed() < CLUSTER_MAX =>
                {
                    tokio::time::sleep(AGAIN).await;
                }
                opened => return Ok(opened?),
            }
        }
    }

    /// What was measured on, for programs. What is not known is null.
    pub(crate) async fn json(&self) -> Result<Value, Error> {
        let connection = NatsConnection::connect(self.options.clone()).await?;
        let is_private = !self.servers.is_empty();
        let sync = if self.nature.sync_always { "always" } else { "default" };
        let settings = match &self.namespace {
            Some(namespace) => self.open_namespace(&connection, namespace).await?.settings().clone(),
            None => self.nature.namespace(),
        };
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
    let members = members_of_a_cluster(&builder, count).map_err(Error::failed)?;
    let servers = try_join_all(members.into_iter().map(Builder::start)).await.map_err(Error::failed)?;
    Ok((servers, None))
}

/// Servers that find each other: every one needs to know the ports of all before any of them runs.
fn members_of_a_cluster(builder: &Builder, count: usize) -> std::io::Result<Vec<Builder>> {
    let free = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    // All are held until all are found, so that they differ.
    let held = (0..count).map(|_| free()).collect::<Result<Vec<_>, _>>()?;
    let addresses = held.iter().map(TcpListener::local_addr).collect::<Result<Vec<_>, _>>()?;
    let routes: Vec<String> = addresses.iter().map(|address| format!("\"nats://{address}\"")).collect();
    let routes = routes.join(", ");
    let member = |(number, address)| {
        builder.clone().config(format!(
            "server_name: bench-{number}\ncluster {{ name: bench, listen: \"{address}\", routes: [{routes}] }}"
        ))
    };
    Ok(addresses.iter().enumerate().map(member).collect())
}
