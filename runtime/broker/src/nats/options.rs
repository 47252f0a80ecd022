//! How to connect.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

/// Where NATS is and how to get in.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use highwater_broker::nats::{ConnectOptions, NatsConnection};
///
/// let options = ConnectOptions::new("nats://127.0.0.1:4222").name("orders");
/// let connection = NatsConnection::connect(options).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ConnectOptions {
    pub(super) urls: String,
    pub(super) name: Option<String>,
    pub(super) user: Option<(String, String)>,
    pub(super) token: Option<String>,
    pub(super) nkey: Option<Nkey>,
    pub(super) credentials: Option<PathBuf>,
    pub(super) root_ca: Option<PathBuf>,
    pub(super) client_certificate: Option<(PathBuf, PathBuf)>,
    pub(super) require_tls: bool,
    pub(super) connect_timeout: Duration,
    pub(super) inbox_prefix: Option<String>,
    pub(super) task_ack_wait: Duration,
}

#[derive(Clone)]
pub(super) enum Nkey {
    Seed(String),
    File(PathBuf),
}

impl ConnectOptions {
    /// The address when none is given.
    pub const URL: &str = "nats://127.0.0.1:4222";
    /// How long connecting may take when nothing else is said.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
    /// How long a task stays with a process that shows no progress, when nothing else is said.
    pub const TASK_ACK_WAIT: Duration = Duration::from_secs(10);

    /// Servers at these addresses: one or several, separated by commas, as `nats://host:port`, `tls://host:port`,
    /// `nats://user:password@host:port` or `host:port`. Several are nodes of one cluster, any of which will do.
    pub fn new(urls: impl Into<String>) -> Self {
        Self {
            urls: urls.into(),
            name: None,
            user: None,
            token: None,
            nkey: None,
            credentials: None,
            root_ca: None,
            client_certificate: None,
            require_tls: false,
            connect_timeout: Self::CONNECT_TIMEOUT,
            inbox_prefix: None,
            task_ack_wait: Self::TASK_ACK_WAIT,
        }
    }

    /// What the environment says: `NATS_URL` (see [`new`](Self::new)), `NATS_USER` and `NATS_PASSWORD`, `NATS_NKEY` (a
    /// file with a seed), `NATS_CREDS` (a credentials file), `NATS_CA` (a file with root certificates), `NATS_CERT` and
    /// `NATS_KEY` (files with a client's certificate and key). Variables that are empty count as not set.
    pub fn from_env() -> Self {
        Self::from_lookup(|name| std::env::var(name).ok())
    }

    /// [`from_env`](Self::from_env) with an environment of one's own.
    ///
    /// ```
    /// use highwater_broker::nats::ConnectOptions;
    ///
    /// let options = ConnectOptions::from_lookup(|name| (name == "NATS_URL").then(|| "nats://example".into()));
    /// assert!(format!("{options:?}").contains("nats://example"));
    /// ```
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let get = |name| lookup(name).filter(|value| !value.is_empty());
        let mut options = Self::new(get("NATS_URL").unwrap_or_else(|| Self::URL.into()));
        if let Some(user) = get("NATS_USER") {
            options = options.user(user, get("NATS_PASSWORD").unwrap_or_default());
        }
        if let Some(path) = get("NATS_NKEY") {
            options = options.nkey_file(path);
        }
        if let Some(path) = get("NATS_CREDS") {
            options = options.credentials_file(path);
        }
        if let Some(path) = get("NATS_CA") {
            options = options.root_ca_file(path);
        }
        if let (Some(certificate), Some(key)) = (get("NATS_CERT"), get("NATS_KEY")) {
            options = options.client_certificate_files(certificate, key);
        }
        options
    }

    /// What the server calls this connection in its reports.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// A user and its password.
    pub fn user(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.user = Some((user.into(), password.into()));
        self
    }

    /// A token.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// The seed of a user's NKey, `SU…`.
    pub fn nkey_seed(mut self, seed: impl Into<String>) -> Self {
        self.nkey = Some(Nkey::Seed(seed.into()));
        self
    }

    /// A file with the seed of a user's NKey.
    pub fn nkey_file(mut self, path: impl AsRef<Path>) -> Self {
        self.nkey = Some(Nkey::File(path.as_ref().into()));
        self
    }

    /// A file with a user's JWT and seed, as `nsc` writes it.
    pub fn credentials_file(mut self, path: impl AsRef<Path>) -> Self {
        self.credentials = Some(path.as_ref().into());
        self
    }

    /// A file with the certificates (PEM) of the authorities that are trusted, instead of the system's.
    pub fn root_ca_file(mut self, path: impl AsRef<Path>) -> Self {
        self.root_ca = Some(path.as_ref().into());
        self
    }

    /// Files (PEM) with this client's certificate and its key.
    pub fn client_certificate_files(mut self, certificate: impl AsRef<Path>, key: impl AsRef<Path>) -> Self {
        self.client_certificate = Some((certificate.as_ref().into(), key.as_ref().into()));
        self
    }

    /// Whether to refuse servers that do not offer TLS.
    pub fn require_tls(mut self, required: bool) -> Self {
        self.require_tls = required;
        self
    }

    /// How long connecting may take in all, attempts included. Default: [`CONNECT_TIMEOUT`](Self::CONNECT_TIMEOUT).
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// What the subjects begin with that this process gets its answers on, instead of `_INBOX`. With one per user,
    /// permissions can keep users from reading each other's answers.
    pub fn inbox_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.inbox_prefix = Some(prefix.into());
        self
    }

    /// How long a task stays with a process that shows no progress. All processes that serve a queue must use the same.
    /// Default: [`TASK_ACK_WAIT`](Self::TASK_ACK_WAIT).
    pub fn task_ack_wait(mut self, wait: Duration) -> Self {
        self.task_ack_wait = wait;
        self
    }
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self::new(Self::URL)
    }
}

impl fmt::Debug for ConnectOptions {
    /// Without secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectOptions")
            .field("urls", &super::address::without_secrets(&self.urls))
            .field("name", &self.name)
            .field("user", &self.user.as_ref().map(|(user, _)| user))
            .field("credentials", &self.credentials)
            .field("root_ca", &self.root_ca)
            .field("client_certificate", &self.client_certificate)
            .field("require_tls", &self.require_tls)
            .field("connect_timeout", &self.connect_timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_read() {
        let options = ConnectOptions::from_lookup(|name| {
            Some(
                match name {
                    "NATS_URL" => "a:1,b:2",
                    "NATS_USER" => "u",
                    "NATS_PASSWORD" => "p",
                    "NATS_CERT" => "c.pem",
                    "NATS_KEY" => "k.pem",
                    _ => "",
                }
                .into(),
            )
        });
        assert_eq!(options.urls, "a:1,b:2");
        assert_eq!(options.user, Some(("u".into(), "p".into())));
        assert_eq!(options.client_certificate, Some(("c.pem".into(), "k.pem".into())));
        assert!(options.credentials.is_none() && options.nkey.is_none());
    }

    #[test]
    fn secrets_are_not_shown() {
        let options = ConnectOptions::new("nats://me:hush@host").user("u", "hush").token("hush").nkey_seed("hush");
        assert!(!format!("{options:?}").contains("hush"));
    }
}
