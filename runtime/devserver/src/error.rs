//! What can go wrong, one type per operation.

use std::io;
use std::time::Duration;

use crate::locate::LocateError;

/// Why a server did not start.
///
/// ```
/// use highwater_devserver::StartError;
///
/// fn again(error: &StartError) -> bool {
///     error.is_retryable()
/// }
/// # let _ = again;
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// There is no NATS server and none could be installed.
    #[error(transparent)]
    Locate(#[from] LocateError),
    /// Files or processes of this machine refused.
    #[error("cannot run a NATS server here: {0}")]
    Io(#[from] io::Error),
    /// The chosen port belongs to somebody else.
    #[error("the port for the NATS server is in use; choose another one or none. Its log ends:\n{log}")]
    #[non_exhaustive]
    PortInUse {
        /// The last lines of the server's log.
        log: String,
    },
    /// The server ended before it answered.
    #[error("the NATS server exited with code {code} before it was ready; correct what its log names:\n{log}")]
    #[non_exhaustive]
    Exited {
        /// The exit code, as a shell counts it.
        code: i32,
        /// The last lines of the server's log.
        log: String,
    },
    /// The server runs and does not answer.
    #[error("the NATS server did not answer within {waited:?} ({reason}); its log ends:\n{log}")]
    #[non_exhaustive]
    NotReady {
        /// How long it was given.
        waited: Duration,
        /// What the last attempt to talk to it met.
        reason: String,
        /// The last lines of the server's log.
        log: String,
    },
    /// A stopped server has no data to restart on.
    #[error("the NATS server was stopped and cannot restart; start a new one on the same data folder")]
    Stopped,
}

impl StartError {
    /// Whether the same call can succeed later without a change.
    ///
    /// ```
    /// # use highwater_devserver::StartError;
    /// assert!(!StartError::Stopped.is_retryable());
    /// ```
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::PortInUse { .. } | Self::NotReady { .. } => true,
            Self::Locate(_) | Self::Io(_) | Self::Exited { .. } | Self::Stopped => false,
        }
    }
}

/// Why a running server could not be stopped, killed, paused or resumed.
///
/// ```
/// # async fn example(server: highwater_devserver::DevServer) {
/// if let Err(error) = server.stop().await {
///     eprintln!("{error}");
/// }
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// The signal could not be sent.
    #[error("cannot signal the NATS server: {0}")]
    Signal(#[from] io::Error),
    /// The signal had no effect for this long.
    #[error("the NATS server still runs after {waited:?}; its disk may hang. It will be ended when this process is")]
    #[non_exhaustive]
    StillRunning {
        /// How long was waited.
        waited: Duration,
    },
}

impl ControlError {
    /// Whether the same call can succeed later without a change.
    ///
    /// ```
    /// # use highwater_devserver::ControlError;
    /// fn again(error: &ControlError) -> bool {
    ///     error.is_retryable()
    /// }
    /// # let _ = again;
    /// ```
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::StillRunning { .. } => true,
            Self::Signal(_) => false,
        }
    }
}
