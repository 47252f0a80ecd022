//! What a server can be started with.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::config::Options;
use super::launch::{launch, wait_ready};
use super::{DevServer, Shared};
use crate::error::StartError;
use crate::locate::Locator;

/// Settings of a [`DevServer`] to be.
///
/// ```no_run
/// # async fn example() -> Result<(), highwater_devserver::StartError> {
/// let server = highwater_devserver::DevServer::builder()
///     .data_dir("dev-data")
///     .port(4222)
///     .sync_always(true)
///     .start()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "a builder starts nothing until `start` is called"]
pub struct Builder {
    data_dir: Option<PathBuf>,
    locator: Option<Locator>,
    options: Options,
}

impl Builder {
    /// Keeps the data in this folder, which is created if need be and never
    /// removed. The default is a temporary one that goes with the server.
    ///
    /// ```
    /// # use highwater_devserver::DevServer;
    /// let builder = DevServer::builder().data_dir("dev-data");
    /// # let _ = builder;
    /// ```
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(path.into());
        self
    }

    /// Listens on this port; `None`, the default, takes any free one.
    ///
    /// ```
    /// # use highwater_devserver::DevServer;
    /// let builder = DevServer::builder().port(4222);
    /// # let _ = builder;
    /// ```
    pub fn port(mut self, port: impl Into<Option<u16>>) -> Self {
        self.options.port = port.into();
        self
    }

    /// Makes JetStream write through to the disk on every message, so that
    /// even a loss of power loses nothing that was acknowledged.
    ///
    /// ```
    /// # use highwater_devserver::DevServer;
    /// let builder = DevServer::builder().sync_always(true);
    /// # let _ = builder;
    /// ```
    pub fn sync_always(mut self, on: bool) -> Self {
        self.options.sync_always = on;
        self
    }

    /// The largest message that the server accepts, in bytes.
    ///
    /// ```
    /// # use highwater_devserver::DevServer;
    /// let builder = DevServer::builder().max_payload(8 * 1024 * 1024);
    /// # let _ = builder;
    /// ```
    pub fn max_payload(mut self, bytes: u32) -> Self {
        self.options.max_payload = Some(bytes);
        self
    }

    /// Adds text to the server's configuration file, for accounts,
    /// permissions, TLS or an operator's JWT. Calls add up.
    ///
    /// ```
    /// # use highwater_devserver::DevServer;
    /// let builder = DevServer::builder()
    ///     .config("authorization { user: app, password: secret }");
    /// # let _ = builder;
    /// ```
    pub fn config(mut self, text: impl AsRef<str>) -> Self {
        self.options.extra.push_str(text.as_ref());
        self.options.extra.push('\n');
        self
    }

    /// Looks for the `nats-server` program in this way; the default is
    /// [`Locator::from_env`].
    ///
    /// ```
    /// # use highwater_devserver::{DevServer, Locator};
    /// let builder = DevServer::builder().locator(Locator::from_env());
    /// # let _ = builder;
    /// ```
    pub fn locator(mut self, locator: Locator) -> Self {
        self.locator = Some(locator);
        self
    }

    /// The settings of so many servers that make a cluster, so that streams
    /// can have replicas. They have to be started together, and can be killed
    /// and restarted one by one. Streams can be made once they have found each
    /// other, some seconds later.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use highwater_devserver::{Builder, DevServer};
    /// use tokio::task::JoinSet;
    ///
    /// let members = DevServer::builder().cluster(3)?;
    /// let starting: JoinSet<_> = members.into_iter().map(Builder::start).collect();
    /// let servers = starting.join_all().await.into_iter().collect::<Result<Vec<_>, _>>()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn cluster(self, members: usize) -> std::io::Result<Vec<Self>> {
        let free = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        // All are held until all are found, so that they differ.
        let held = (0..members).map(|_| free()).collect::<Result<Vec<_>, _>>()?;
        let addresses = held.iter().map(TcpListener::local_addr).collect::<Result<Vec<_>, _>>()?;
        let routes: Vec<String> = addresses.iter().map(|address| format!("\"nats://{address}\"")).collect();
        let routes = routes.join(", ");
        let member = |(number, address)| {
            self.clone().config(format!(
                "server_name: member-{number}\ncluster {{ name: private, listen: \"{address}\", routes: [{routes}] }}"
            ))
        };
        Ok(addresses.iter().enumerate().map(member).collect())
    }

    /// Finds or installs the program, starts it and waits for its answer.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), highwater_devserver::StartError> {
    /// let server = highwater_devserver::DevServer::builder().start().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn start(self) -> Result<DevServer, StartError> {
        crate::blocking(move || self.start_blocking()).await
    }

    /// [`start`](Self::start) for code without an async runtime, such as a
    /// server in a `static` that all tests of a binary share.
    ///
    /// ```no_run
    /// use std::sync::LazyLock;
    /// use highwater_devserver::DevServer;
    ///
    /// static SERVER: LazyLock<DevServer> =
    ///     LazyLock::new(|| DevServer::builder().start_blocking().unwrap());
    /// ```
    pub fn start_blocking(self) -> Result<DevServer, StartError> {
        let locator = self.locator.unwrap_or_else(Locator::from_env);
        let binary = locator.locate_blocking()?;

        let run_dir = run_dir()?;
        let store_dir = match self.data_dir {
            // The server changes folder for nobody, yet its log and errors
            // read better with the whole path.
            Some(path) => std::path::absolute(path)?,
            None => run_dir.path().join("data"),
        };
        fs::create_dir_all(&store_dir)?;
        let port = self.options.port.unwrap_or(0);
        let supervisor = launch(&binary.path, &self.options, &store_dir, run_dir.path(), port)?;
        // From here on the supervisor removes it.
        let run_dir = run_dir.keep();
        let address = wait_ready(&supervisor, &self.options, &run_dir)?;
        tracing::debug!(url = %address.url, version = %binary.version, "nats-server is ready");

        Ok(DevServer {
            address,
            data_dir: store_dir.clone(),
            log: run_dir.join("server.log"),
            shared: Arc::new(Shared {
                binary: binary.path.clone(),
                options: self.options,
                store_dir,
                run_dir,
                supervisor: Mutex::new(supervisor),
            }),
            binary,
        })
    }
}

/// A temporary folder for this user alone, as the configuration in it can
/// hold passwords.
fn run_dir() -> std::io::Result<tempfile::TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("highwater-nats-");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
    builder.tempdir()
}
