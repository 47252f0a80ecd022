//! Programs that bring their own NATS server: examples, first steps, tests by hand.

use std::{fmt, ops::Deref};

use highwater_broker::BoxFuture;
use highwater_devserver::{ControlError, DevServer, StartError};

use crate::{Highwater, OpenError};

/// A namespace on the server that `NATS_URL` names or, without it, on a private server that lives as long as this.
///
/// A private server keeps nothing: it is for trying things out. For work that is to last, run a NATS server and use
/// [`Highwater::connect`].
///
/// ```no_run
/// # async fn example() -> Result<(), highwater::dev::DevError> {
/// let highwater = highwater::dev::connect().await?;
/// let client = highwater.client();
/// highwater.close().await?;
/// # Ok(()) }
/// ```
pub struct Dev {
    highwater: Highwater,
    server: Option<DevServer>,
}

/// There is no server to connect to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DevError {
    /// A private server could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The server does not let us in.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The private server could not be stopped.
    #[error(transparent)]
    Stop(#[from] ControlError),
}

/// Connects as `NATS_URL` says; without it, starts a private server first. That server is found on this machine, or
/// downloaded or built once, which takes up to a minute.
pub async fn connect() -> Result<Dev, DevError> {
    connecting().await
}

fn connecting() -> BoxFuture<'static, Result<Dev, DevError>> {
    Box::pin(async move {
        if std::env::var_os("NATS_URL").is_some() {
            return Ok(Dev { highwater: Highwater::connect().await?, server: None });
        }
        tracing::info!("starting a private NATS server, as NATS_URL names none");
        let server = DevServer::builder().start().await?;
        Ok(Dev { highwater: Highwater::connect_to(server.url()).await?, server: Some(server) })
    })
}

impl Dev {
    /// Whether the server is a private one.
    pub fn is_private(&self) -> bool {
        self.server.is_some()
    }

    /// Closes the connection, and stops the server if it is a private one.
    pub async fn close(self) -> Result<(), DevError> {
        self.closing().await
    }

    fn closing(self) -> BoxFuture<'static, Result<(), DevError>> {
        Box::pin(async move {
            self.highwater.close().await;
            if let Some(server) = self.server {
                server.stop().await?;
            }
            Ok(())
        })
    }
}

impl Deref for Dev {
    type Target = Highwater;
    fn deref(&self) -> &Highwater {
        &self.highwater
    }
}

impl fmt::Debug for Dev {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dev").field("highwater", &self.highwater).finish_non_exhaustive()
    }
}
