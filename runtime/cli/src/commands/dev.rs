use std::{path::PathBuf, time::Duration};

use clap::Args;
use highwater_broker::nats::{ConnectOptions, NatsConnection};
use highwater_devserver::{DevServer, Locator, StartError};
use serde_json::json;

use crate::{exit::Error, globals::Globals};

/// How often is looked whether the server still runs.
const LOOK: Duration = Duration::from_millis(500);

/// Run a NATS server for development, until Ctrl-C
///
/// Finds a nats-server program, or installs one, and runs it on this machine with the namespace made. Without --data
/// everything in it is gone at the end.
#[derive(Debug, Args)]
pub(crate) struct Dev {
    /// Folder to keep the data in
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Port to listen on; 0 for any free one
    #[arg(long, default_value_t = 4222)]
    port: u16,
}

impl Dev {
    pub(crate) async fn run(self, globals: &Globals) -> Result<(), Error> {
        let namespace = globals.namespace()?;
        // Listening begins before there is something to clean up.
        let stopped = stop_signal()?;
        tokio::pin!(stopped);
        let server = tokio::select! {
            server = self.start() => server?,
            () = &mut stopped => return Ok(()),
        };
        let outcome = tokio::select! {
            outcome = serve(globals, &namespace, &server, self.data.is_some()) => outcome,
            () = &mut stopped => Ok(()),
        };
        let ended = server.stop().await.map_err(Error::failed);
        outcome.and(ended)
    }

    async fn start(&self) -> Result<DevServer, Error> {
        let locator = Locator::from_env().on_progress(|step| eprintln!("{step}"));
        let mut builder = DevServer::builder().locator(locator).port((self.port != 0).then_some(self.port));
        if let Some(data) = &self.data {
            builder = builder.data_dir(data);
        }
        builder.start().await.map_err(|error| match error {
            StartError::PortInUse { .. } => Error::failed(format_args!(
                "port {} is taken, perhaps by another `highwater dev`; choose one with --port, or --port 0 for any",
                self.port
            )),
            other => Error::failed(other),
        })
    }
}

/// Makes the namespace, tells how to connect, and waits until the server is gone.
async fn serve(
    globals: &Globals,
    namespace: &highwater_protocol::Namespace,
    server: &DevServer,
    keeps_data: bool,
) -> Result<(), Error> {
    let connection = NatsConnection::connect(ConnectOptions::new(server.url()).name("highwater dev")).await?;
    connection.open_or_create(namespace).await?;
    let (url, data) = (server.url(), server.data_dir().display());
    let kept = if keeps_data { "kept" } else { "gone at the end" };
    let version = &server.binary().version;
    let other = if namespace.as_str() == "default" { String::new() } else { format!(" -n {namespace}") };
    globals.printer().print(
        || {
            format!(
                "NATS {version} at {url}, namespace {namespace}, data in {data} ({kept})\n\n  \
                 export NATS_URL={url}\n\n  \
                 highwater{other} start order --queue shop --id order-1 --input '{{\"amount\": 5}}'\n  \
                 highwater{other} describe order-1\n  \
                 highwater{other} show order-1\n\n\
                 Ctrl-C ends it."
            )
        },
        || json!({ "url": url, "namespace": namespace, "data_dir": data.to_string(), "nats_version": version.to_string() }),
    )?;
    while server.pid().is_some() {
        tokio::time::sleep(LOOK).await;
    }
    Err(Error::failed("the NATS server has ended by itself; start it again, with --data to keep what is in it"))
}

/// Ends when the user or the system wants this process to end.
#[cfg(unix)]
fn stop_signal() -> Result<impl Future<Output = ()>, Error> {
    use tokio::signal::unix::{SignalKind, signal};

    let listen = |kind| signal(kind).map_err(|error| Error::failed(format_args!("cannot listen for signals: {error}")));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    let mut hangup = listen(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}

#[cfg(not(unix))]
fn stop_signal() -> Result<impl Future<Output = ()>, Error> {
    Ok(async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}
