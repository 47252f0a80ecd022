//! Connecting.

use std::{
    path::Path,
    sync::{Arc, Weak},
    time::Duration,
};

use async_nats::{Event, ServerError};
use tokio::{sync::watch, time::Instant};

use super::{
    address, dial,
    link::Link,
    options::{ConnectOptions, Nkey},
    replies::Replies,
    version,
};
use crate::{
    broker::BoxFuture,
    error::{ConnectError, Error, ErrorKind},
};

/// Messages that may wait in this process for one subscription. Only a process that does not get to run comes near it.
const SUBSCRIPTION_CAPACITY: usize = 1 << 20;
/// Messages that may wait in this process to be sent.
const CLIENT_CAPACITY: usize = 1 << 16;
/// A server that is silent is asked for a sign of life this often; after the third the connection counts as lost.
const PING_INTERVAL: Duration = Duration::from_secs(5);

/// How long closing waits for what was sent to go out.
const CLOSE_MAX: Duration = Duration::from_secs(2);

/// A connection to NATS. Clones share it; it is closed when the last one and everything made from it is dropped.
///
/// Once connected it comes back for ever after any interruption.
#[derive(Clone, Debug)]
pub struct NatsConnection {
    pub(super) link: Arc<Link>,
    closed: watch::Receiver<bool>,
    options: Arc<ConnectOptions>,
}

impl NatsConnection {
    /// Connects, trying for [`ConnectOptions::connect_timeout`].
    ///
    /// # Errors
    ///
    /// An address, file or version that will not do and refused credentials are told at once; an unreachable server
    /// when the time is over.
    pub async fn connect(options: ConnectOptions) -> Result<Self, ConnectError> {
        Self::connecting(options).await
    }

    /// What async-nats needs to connect is large, and no caller should have to carry it.
    fn connecting(options: ConnectOptions) -> BoxFuture<'static, Result<Self, ConnectError>> {
        Box::pin(Self::establish(options))
    }

    async fn establish(options: ConnectOptions) -> Result<Self, ConnectError> {
        let deadline = Instant::now() + options.connect_timeout;
        let addresses = address::parse(&options.urls)?;
        let url = address::without_secrets(&options.urls);
        let (lost_sender, lost) = watch::channel(0);
        let (closed_sender, closed) = watch::channel(false);

        let nats = prepare(&options, addresses.user).await?;
        // The prefix of answers is only known once there is a client, and the callback is wanted before.
        let (replies_sender, replies_receiver) = watch::channel(Weak::<Replies>::new());
        let lost_sender = Arc::new(lost_sender);
        let nats = nats.event_callback(move |event| {
            let replies = replies_receiver.borrow().upgrade();
            let (lost_sender, closed_sender) = (lost_sender.clone(), closed_sender.clone());
            async move {
                if matches!(event, Event::Closed) {
                    closed_sender.send_replace(true);
                }
                notice(&event, replies.as_deref(), &lost_sender);
            }
        });
        let client = dial::dial(&nats, &addresses.servers, &url, deadline).await?;

        let found = client.server_info().version;
        if !version::is_new_enough(&found) {
            return Err(ConnectError::Version { url, found, needed: version::NEEDED });
        }
        let replies = Arc::new(Replies::new(client.new_inbox()));
        replies_sender.send_replace(Arc::downgrade(&replies));
        let subscriber = client
            .subscribe(replies.subject())
            .await
            .map_err(|error| ConnectError::Unreachable { url: url.clone(), reason: error.to_string() })?;
        let link = Link::new(client, url, options.task_ack_wait, replies, subscriber, lost);
        Ok(Self { link: Arc::new(link), closed, options: Arc::new(options) })
    }

    /// Another connection, made as this one was.
    pub(super) async fn another(&self) -> Result<Self, Error> {
        let options = ConnectOptions::clone(&self.options);
        Self::connect(options).await.map_err(|error| {
            let kind = match &error {
                ConnectError::Unreachable { .. } => ErrorKind::Unavailable,
                ConnectError::Denied { .. } => ErrorKind::Denied,
                ConnectError::Address { .. } | ConnectError::File { .. } | ConnectError::Version { .. } => {
                    ErrorKind::Other
                }
            };
            Error::new(kind, error.to_string())
        })
    }

    /// Closes the connection for everybody who shares it, after what was sent has gone out. For the end of a program
    /// that stops its server too: without this the connection would be told lost.
    pub async fn close(&self) {
        self.closing().await;
    }

    fn closing(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let mut closed = self.closed.clone();
            self.link.hurry();
            if self.link.client.drain().await.is_ok() {
                // A connection that does not close in time is cut when the program ends.
                let _ = tokio::time::timeout(CLOSE_MAX, closed.wait_for(|closed| *closed)).await;
            }
        })
    }

    /// The address or addresses, without credentials.
    pub fn url(&self) -> &str {
        &self.link.url
    }

    /// The version of the server that this process is connected to now.
    pub fn server_version(&self) -> String {
        self.link.client.server_info().version
    }

    /// Whether there is a connection at this moment.
    pub fn is_connected(&self) -> bool {
        self.link.is_connected()
    }
}

/// Reacts to what async-nats tells.
fn notice(event: &Event, replies: Option<&Replies>, lost: &watch::Sender<u64>) {
    match event {
        Event::Disconnected => {
            tracing::warn!("the connection to NATS is lost");
            lost.send_modify(|count| *count += 1);
            if let Some(replies) = replies {
                replies.lost();
            }
        }
        Event::Connected => tracing::info!("connected to NATS"),
        Event::ServerError(ServerError::Other(text)) => {
            tracing::warn!("NATS says: {text}");
            if let (Some((verb, subject)), Some(replies)) = (violation(text), replies) {
                match verb {
                    "Publish" => replies.denied(subject, text),
                    _ => replies.denied_to_listen(subject),
                }
            }
        }
        // Every attempt to come back says so; that the connection is lost was told before.
        Event::ClientError(_) | Event::Closed | Event::Draining => tracing::debug!("NATS connection: {event}"),
        other => tracing::warn!("NATS connection: {other}"),
    }
}

/// What was not allowed, and on which subject: `Permissions Violation for Publish to "subject"`.
fn violation(text: &str) -> Option<(&str, &str)> {
    let (verb, rest) = text.strip_prefix("Permissions Violation for ")?.split_once(" to \"")?;
    Some((verb, rest.split('"').next()?))
}

/// Translates the options, and checks every file so that a bad one is told by its name.
async fn prepare(
    options: &ConnectOptions,
    url_user: Option<(String, Option<String>)>,
) -> Result<async_nats::ConnectOptions, ConnectError> {
    let mut nats = async_nats::ConnectOptions::new()
        .subscription_capacity(SUBSCRIPTION_CAPACITY)
        .client_capacity(CLIENT_CAPACITY)
        .ping_interval(PING_INTERVAL)
        .request_timeout(None)
        .connection_timeout(options.connect_timeout.clamp(Duration::from_secs(1), ConnectOptions::CONNECT_TIMEOUT))
        .reconnect_delay_callback(dial::reconnect_delay)
        .require_tls(options.require_tls);
    if let Some(name) = &options.name {
        nats = nats.name(name);
    }
    if let Some(prefix) = &options.inbox_prefix {
        nats = nats.custom_inbox_prefix(prefix);
    }
    match (&options.user, url_user) {
        (Some((user, password)), _) => nats = nats.user_and_password(user.clone(), password.clone()),
        (None, Some((user, Some(password)))) => nats = nats.user_and_password(user, password),
        // A name alone is how a token stands in an address.
        (None, Some((token, None))) => nats = nats.token(token),
        (None, None) => {}
    }
    if let Some(token) = &options.token {
        nats = nats.token(token.clone());
    }
    match &options.nkey {
        None => {}
        Some(Nkey::Seed(seed)) => nats = nats.nkey(seed.trim().to_owned()),
        Some(Nkey::File(path)) => {
            let text = read("the NKey file", path, "SU")?;
            let seed = text.lines().map(str::trim).find(|line| line.starts_with("SU")).unwrap_or_default();
            nats = nats.nkey(seed.to_owned());
        }
    }
    if let Some(path) = &options.credentials {
        nats = nats.credentials_file(path).await.map_err(|error| file("the credentials file", path, &error))?;
    }
    if let Some(path) = &options.root_ca {
        read("the root certificates", path, "-----BEGIN CERTIFICATE-----")?;
        nats = nats.add_root_certificates(path.clone());
    }
    if let Some((certificate, key)) = &options.client_certificate {
        read("the client certificate", certificate, "-----BEGIN CERTIFICATE-----")?;
        read("the client key", key, "PRIVATE KEY-----")?;
        nats = nats.add_client_certificate(certificate.clone(), key.clone());
    }
    Ok(nats)
}

/// Reads a file that must have `mark` in it.
fn read(what: &'static str, path: &Path, mark: &str) -> Result<String, ConnectError> {
    let text = std::fs::read_to_string(path).map_err(|error| file(what, path, &error))?;
    if !text.contains(mark) {
        return Err(file(what, path, &format!("it has no {mark}")));
    }
    Ok(text)
}

fn file(what: &'static str, path: &Path, reason: &impl ToString) -> ConnectError {
    ConnectError::File { what, path: path.display().to_string(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subject_of_a_permissions_violation_is_read() {
        let text = "Permissions Violation for Publish to \"hw.a.b\"";
        assert_eq!(violation(text), Some(("Publish", "hw.a.b")));
        let text = "Permissions Violation for Subscription to \"hw.>\" using queue \"q\"";
        assert_eq!(violation(text), Some(("Subscription", "hw.>")));
        assert_eq!(violation("Stale Connection"), None);
    }
}
