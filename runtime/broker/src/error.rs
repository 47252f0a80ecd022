//! What can go wrong between the engine and the broker.

use highwater_protocol::namespace::{InvalidSettings, Settings};

/// A call to the broker failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// Which sort of failure.
    pub kind: ErrorKind,
    /// What happened, for people.
    pub message: String,
}

/// The sorts of failure that callers treat differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The expected sequence was not the last one: somebody else wrote. Not retryable as it is.
    Conflict,
    /// Another message to the subject is on its way to be stored. This one was not; whether that one will be is open,
    /// and with replicas it may also have been acknowledged a moment ago. Retryable.
    UnderWay,
    /// There is no such stream, message, bucket or key.
    NotFound,
    /// The message is larger than the server accepts.
    TooLarge,
    /// The stream is full or the account is out of storage. Retryable, once an operator has acted.
    Full,
    /// The server refuses: no permission, or wrong credentials.
    Denied,
    /// Nobody listens on the subject.
    NoResponders,
    /// No answer, or no connection: the call may or may not have had its effect. Retryable where that is harmless.
    Unavailable,
    /// The server or the message is not what it should be.
    Other,
}

impl Error {
    /// An error.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// Whether the same call may do better later.
    pub fn is_retryable(&self) -> bool {
        match self.kind {
            ErrorKind::Unavailable | ErrorKind::UnderWay | ErrorKind::NoResponders | ErrorKind::Full => true,
            ErrorKind::Conflict | ErrorKind::NotFound | ErrorKind::TooLarge | ErrorKind::Denied | ErrorKind::Other => {
                false
            }
        }
    }
}

/// A connection could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The address cannot be read.
    #[error("{url:?} is not a NATS address: {reason}; write nats://host:port")]
    Address {
        /// The address.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A credentials, key or certificate file cannot be used.
    #[error("cannot use {what} {path:?}: {reason}")]
    File {
        /// What the file is for.
        what: &'static str,
        /// Its path.
        path: String,
        /// Why.
        reason: String,
    },
    /// Nobody answers.
    #[error("cannot reach NATS at {url}: {reason}; is it running? `highwater dev` starts one")]
    Unreachable {
        /// The address.
        url: String,
        /// Why.
        reason: String,
    },
    /// The server does not let us in.
    #[error("NATS at {url} refuses the credentials: {reason}")]
    Denied {
        /// The address.
        url: String,
        /// Why.
        reason: String,
    },
    /// The server is too old.
    #[error("NATS at {url} is version {found}, Highwater needs at least {needed}")]
    Version {
        /// The address.
        url: String,
        /// Its version.
        found: String,
        /// The oldest that works.
        needed: &'static str,
    },
}

/// A namespace could not be opened or made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NamespaceError {
    /// The settings cannot be.
    #[error(transparent)]
    Settings(#[from] InvalidSettings),
    /// The namespace exists with other settings.
    #[error(
        "the namespace {name:?} exists with other settings: it has {found:?}, {wanted:?} was asked for; but for group_commit they are fixed when it is made, so use the existing ones or another name"
    )]
    Different {
        /// The namespace.
        name: String,
        /// What it has.
        found: Settings,
        /// What was asked for.
        wanted: Settings,
    },
    /// A stream of the namespace has a configuration that Highwater cannot work with.
    #[error(
        "the stream {stream} of namespace {name:?} was changed: {difference}; set it back, or the guarantees do not hold"
    )]
    Stream {
        /// The namespace.
        name: String,
        /// The stream.
        stream: String,
        /// What differs.
        difference: String,
    },
    /// The server would not gain by group commit.
    #[error("group commit needs NATS {needed} or later, this server is version {found}")]
    GroupCommit {
        /// The server's version.
        found: String,
        /// The oldest that gains.
        needed: &'static str,
    },
    /// There is no such namespace.
    #[error("there is no namespace {0:?}; make it with `highwater namespace create {0}`")]
    NotFound(String),
    /// JetStream is off.
    #[error("JetStream is not enabled on this NATS server or account; start nats-server with -js")]
    NoJetStream,
    /// A call to the server failed.
    #[error("cannot set up the namespace: {0}")]
    Broker(#[from] Error),
}
