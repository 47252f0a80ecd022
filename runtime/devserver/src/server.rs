//! A private NATS server, from start to clean-up.

mod builder;
mod config;
mod launch;
mod ready;
mod signal;
mod supervisor;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use self::config::Options;
use self::launch::{START_TIMEOUT, launch, wait_ready};
use self::ready::Address;
use self::signal::Signal;
use self::supervisor::{State, Supervisor};
use crate::error::{ControlError, StartError};
use crate::locate::Located;

pub use self::builder::Builder;

/// How long a server may take to flush and exit before it is killed.
const STOP_GRACE: Duration = Duration::from_secs(15);
/// How long the whole clean-up may take: the grace, and removing files.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(30);
/// Pause between two looks at a process.
const POLL: Duration = Duration::from_millis(1);
/// Pause between two attempts to take the old port again.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// A NATS server with JetStream that belongs to this process.
///
/// It listens on loopback only. It ends, and its temporary folders go, when
/// it is stopped, when this value is dropped, and when this process ends in
/// whatever way, SIGKILL included. After a drop the server ends on its own a
/// moment later; [`stop`](Self::stop) waits for it.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use highwater_devserver::DevServer;
///
/// let server = DevServer::builder().start().await?;
/// println!("connect to {}", server.url());
/// server.stop().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct DevServer {
    shared: Arc<Shared>,
    binary: Located,
    address: Address,
    data_dir: PathBuf,
    log: PathBuf,
}

/// What restarts and blocking tasks need.
#[derive(Debug)]
struct Shared {
    binary: PathBuf,
    options: Options,
    store_dir: PathBuf,
    run_dir: PathBuf,
    supervisor: Mutex<Supervisor>,
}

impl DevServer {
    /// A server with the default settings: any free port, temporary data.
    ///
    /// ```
    /// let builder = highwater_devserver::DevServer::builder().max_payload(65_536);
    /// # let _ = builder;
    /// ```
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The address for clients, such as `nats://127.0.0.1:40001`; it begins
    /// with `tls://` where the configuration demands TLS.
    ///
    /// ```no_run
    /// # fn example(server: &highwater_devserver::DevServer) {
    /// println!("NATS_URL={}", server.url());
    /// # }
    /// ```
    pub fn url(&self) -> &str {
        &self.address.url
    }

    /// The port that the server listens on; restarts keep it.
    ///
    /// ```no_run
    /// # fn example(server: &highwater_devserver::DevServer) {
    /// let proxied = std::net::TcpStream::connect(("127.0.0.1", server.port()));
    /// # }
    /// ```
    pub fn port(&self) -> u16 {
        self.address.port
    }

    /// The folder that JetStream stores in.
    ///
    /// ```no_run
    /// # fn example(server: &highwater_devserver::DevServer) {
    /// println!("data in {}", server.data_dir().display());
    /// # }
    /// ```
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The file that the server logs to; it goes when the server is stopped.
    ///
    /// ```no_run
    /// # fn example(server: &highwater_devserver::DevServer) -> std::io::Result<()> {
    /// print!("{}", std::fs::read_to_string(server.log_file())?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn log_file(&self) -> &Path {
        &self.log
    }

    /// Which program runs, its version, and how it was found.
    ///
    /// ```no_run
    /// # fn example(server: &highwater_devserver::DevServer) {
    /// println!("nats-server {}", server.binary().version);
    /// # }
    /// ```
    pub fn binary(&self) -> &Located {
        &self.binary
    }

    /// The process id, or `None` while the server is not running.
    ///
    /// ```no_run
    /// # fn example(server: &highwater_devserver::DevServer) {
    /// assert!(server.pid().is_some());
    /// # }
    /// ```
    pub fn pid(&self) -> Option<u32> {
        self.shared.supervisor().pid()
    }

    /// Stops the server, lets it flush its data, and waits until it is gone
    /// and the temporary folders are removed. Stopping twice does nothing.
    ///
    /// ```no_run
    /// # async fn example(server: highwater_devserver::DevServer) {
    /// server.stop().await.unwrap();
    /// # }
    /// ```
    pub async fn stop(&self) -> Result<(), ControlError> {
        self.blocking(Shared::stop).await
    }

    /// Kills the server with SIGKILL, as a crash would, and waits until the
    /// process is gone. The data stays for [`restart`](Self::restart).
    ///
    /// ```no_run
    /// # async fn example(server: &highwater_devserver::DevServer) {
    /// server.kill().await.unwrap();
    /// assert_eq!(server.pid(), None);
    /// # }
    /// ```
    pub async fn kill(&self) -> Result<(), ControlError> {
        self.blocking(Shared::kill).await
    }

    /// Freezes the server: connections stay open and nothing answers, as on
    /// a machine that stalls. [`resume`](Self::resume) ends it. On systems
    /// other than Linux the freeze begins a moment after this returns.
    ///
    /// ```no_run
    /// # async fn example(server: &highwater_devserver::DevServer) {
    /// server.pause().await.unwrap();
    /// server.resume().await.unwrap();
    /// # }
    /// ```
    pub async fn pause(&self) -> Result<(), ControlError> {
        self.blocking(Shared::pause).await
    }

    /// Ends a [`pause`](Self::pause).
    ///
    /// ```no_run
    /// # async fn example(server: &highwater_devserver::DevServer) {
    /// server.resume().await.unwrap();
    /// # }
    /// ```
    pub async fn resume(&self) -> Result<(), ControlError> {
        self.blocking(|shared| Ok(shared.supervisor().signal(Signal::Continue)?)).await
    }

    /// Starts the server again on the same data and the same port, after a
    /// [`kill`](Self::kill) or from running, and waits until it answers.
    ///
    /// ```no_run
    /// # async fn example(server: &highwater_devserver::DevServer) {
    /// server.kill().await.unwrap();
    /// server.restart().await.unwrap();
    /// # }
    /// ```
    pub async fn restart(&self) -> Result<(), StartError> {
        let port = self.address.port;
        self.blocking(move |shared| shared.restart(port)).await
    }

    /// Processes and files block, and a runtime's threads must not.
    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&Shared) -> T + Send + 'static) -> T {
        let shared = Arc::clone(&self.shared);
        crate::blocking(move || work(&shared)).await
    }
}

impl Shared {
    fn supervisor(&self) -> MutexGuard<'_, Supervisor> {
        self.supervisor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self) -> Result<(), ControlError> {
        if self.supervisor().release(RELEASE_TIMEOUT) {
            return Ok(());
        }
        Err(ControlError::StillRunning { waited: RELEASE_TIMEOUT })
    }

    fn kill(&self) -> Result<(), ControlError> {
        let supervisor = self.supervisor();
        supervisor.signal(Signal::Kill)?;
        if supervisor.wait_exit(STOP_GRACE) {
            return Ok(());
        }
        Err(ControlError::StillRunning { waited: STOP_GRACE })
    }

    fn pause(&self) -> Result<(), ControlError> {
        let supervisor = self.supervisor();
        supervisor.signal(Signal::Stop)?;
        let deadline = Instant::now() + STOP_GRACE;
        while let Some(pid) = supervisor.pid() {
            if signal::is_frozen(pid) {
                break;
            }
            if Instant::now() > deadline {
                return Err(ControlError::StillRunning { waited: STOP_GRACE });
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    fn restart(&self, port: u16) -> Result<(), StartError> {
        let mut supervisor = self.supervisor();
        if supervisor.state() == State::Gone {
            return Err(StartError::Stopped);
        }
        if !supervisor.terminate(STOP_GRACE)? {
            return Err(StartError::Io(std::io::Error::other("the old server does not end")));
        }
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            // The old supervisor guards the run folder until the new one
            // does: it is let go by the assignment, not before.
            *supervisor = launch(&self.binary, &self.options, &self.store_dir, &self.run_dir, port)?;
            match wait_ready(&supervisor, &self.options, &self.run_dir) {
                Ok(_) => return Ok(()),
                // The port comes from the range that clients' own ends use,
                // and one that retries can hold it for a moment.
                Err(StartError::PortInUse { .. }) if Instant::now() < deadline => {
                    std::thread::sleep(RETRY_PAUSE);
                }
                Err(error) => return Err(error),
            }
        }
    }
}
