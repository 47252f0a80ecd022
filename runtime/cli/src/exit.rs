//! How a command ends other than well.

use std::{fmt::Display, process::ExitCode};

/// The exit codes. They are part of the command's interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The operation failed.
    Failed = 1,
    /// It was asked for in a wrong way. The parser of the arguments uses the same code.
    Usage = 2,
    /// There is no such workflow, run or namespace.
    NotFound = 3,
    /// The workflow that was waited for has ended without a result.
    RunFailed = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// What is told on stderr, and the exit code.
#[derive(Debug)]
pub(crate) struct Error {
    pub(crate) exit: Exit,
    pub(crate) message: String,
}

impl Error {
    pub(crate) fn new(exit: Exit, message: impl Display) -> Self {
        Self { exit, message: message.to_string() }
    }

    pub(crate) fn failed(message: impl Display) -> Self {
        Self::new(Exit::Failed, message)
    }

    pub(crate) fn usage(message: impl Display) -> Self {
        Self::new(Exit::Usage, message)
    }
}

impl From<highwater_client::InvalidId> for Error {
    fn from(error: highwater_client::InvalidId) -> Self {
        Self::usage(error)
    }
}

/// Gives each error of the client its exit code.
macro_rules! exits {
    ($($error:ty { $($pattern:pat => $exit:ident),+ $(,)? })+) => {
        $(impl From<$error> for Error {
            fn from(error: $error) -> Self {
                let exit = match &error {
                    $($pattern => Exit::$exit,)+
                    _ => Exit::Failed,
                };
                Self::new(exit, error)
            }
        })+
    };
}

exits! {
    highwater_client::StartError { highwater_client::StartError::Name(_) => Usage }
    highwater_client::SignalError {
        highwater_client::SignalError::Name(_) => Usage,
        highwater_client::SignalError::NotFound { .. } => NotFound,
    }
    highwater_client::QueryError {
        highwater_client::QueryError::Name(_) => Usage,
        highwater_client::QueryError::NotFound { .. } => NotFound,
    }
    highwater_client::UpdateError<highwater_protocol::Failure> {
        highwater_client::UpdateError::Name(_) => Usage,
        highwater_client::UpdateError::NotFound { .. } => NotFound,
    }
    highwater_client::CancelError { highwater_client::CancelError::NotFound { .. } => NotFound }
    highwater_client::TerminateError { highwater_client::TerminateError::NotFound { .. } => NotFound }
    highwater_client::DescribeError { highwater_client::DescribeError::NotFound { .. } => NotFound }
    highwater_client::ReadHistoriesError {
        highwater_client::ReadHistoriesError::History(highwater_client::ReadHistoryError::NotFound { .. }) => NotFound,
    }
    highwater_client::ReadHistoryError { highwater_client::ReadHistoryError::NotFound { .. } => NotFound }
    highwater_broker::NamespaceError {
        highwater_broker::NamespaceError::NotFound(_) => NotFound,
        highwater_broker::NamespaceError::Settings(_) => Usage,
    }
    highwater_broker::ConnectError { highwater_broker::ConnectError::Address { .. } => Usage }
}
