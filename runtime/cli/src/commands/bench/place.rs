//! Where is measured: a private server, or one that is there.

use std::{ffi::OsString, path::PathBuf, sync::Arc};

use highwater::{ConnectOptions, Highwater};
use highwater_broker::nats::NatsConnection;
use highwater_devserver::{DevServer, Locator};
use highwater_protocol::Namespace;

use super::{
    settings::Load,
    stage::Stage,
    usage::{self, Usage},
};
use crate::{exit::Error, globals::Globals};

/// A NATS server, and how a process gets in.
#[derive(Debug)]
pub(crate) struct Place {
    servers: Vec<DevServer>,
    options: ConnectOptions,
    /// The namespace of all rows; on a private server each row has its own.
    namespace: Option<Namespace>,
    /// What a worker process needs in its environment to get in.
    environment: Vec<(&'static str, OsString)>,
}

/// The processes of NATS, when they are ours to look at.
#[derive(Clone, Debug)]
pub(crate) struct Nats {
    /// The process ids. Empty for a server elsewhere.
    pub(crate) pids: Vec<u32>,
    /// Where they store. Empty for a server elsewhere.
    pub(crate) folders: Vec<PathBuf>,
}

impl Nats {
    /// What all of its processes have used so far together; nothing when that cannot be known.
    pub(crate) fn usage(&self) -> Option<Usage> {
        self.pids.iter().map(|pid| usage::of(*pid)).reduce(|sum, more| Some(sum?.and(more?)))?
    }
}

impl Place {
    /// Starts a private server, or connects to the one that is named.
    pub(crate) async fn open(globals: &Globals) -> Result<Self, Error> {
        if globals.url_given() {
            let (options, environment) = (globals.connect_options()?, globals.environment());
            let namespace = Some(globals.namespace()?);
            return Ok(Self { servers: Vec::new(), options, namespace, environment });
        }
        let locator = Locator::from_env().on_progress(|step| eprintln!("{step}"));
        let server = DevServer::builder().locator(locator).start().await.map_err(Error::failed)?;
        let environment = vec![("NATS_URL", server.url().into())];
        let options = ConnectOptions::new(server.url()).name("highwater bench");
        Ok(Self { servers: vec![server], options, namespace: None, environment })
    }

    /// Everything that a row needs, in a namespace of the row's own where that can be.
    pub(crate) async fn stage(&self, row: &str, load: &Load) -> Result<Stage, Error> {
        let namespace = match &self.namespace {
            Some(namespace) => namespace.clone(),
            None => Namespace::new(format!("bench-{row}"))?,
        };
        let connection = NatsConnection::connect(self.options.clone()).await?;
        let broker = connection.open_or_create(&namespace).await?;
        let mut environment = self.environment.clone();
        environment.push(("HIGHWATER_NAMESPACE", namespace.as_str().into()));
        Ok(Stage {
            highwater: Highwater::on(Arc::new(broker)),
            namespace,
            load: load.clone(),
            nats: self.nats(),
            options: self.options.clone(),
            environment,
        })
    }

    /// Stops the private server.
    pub(crate) async fn close(self) -> Result<(), Error> {
        for server in self.servers {
            server.stop().await.map_err(Error::failed)?;
        }
        Ok(())
    }

    fn nats(&self) -> Nats {
        Nats {
            pids: self.servers.iter().filter_map(DevServer::pid).collect(),
            folders: self.servers.iter().map(|server| server.data_dir().to_owned()).collect(),
        }
    }
}
