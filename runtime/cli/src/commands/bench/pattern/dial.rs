//! Connecting, as the broker does.

use std::{ffi::OsString, path::PathBuf};

use async_nats::{Client, ConnectOptions, ServerAddr};

use crate::exit::Error;

/// Messages that may wait in this process for one subscription, and to be sent.
const SUBSCRIPTION_CAPACITY: usize = 1 << 20;
const CLIENT_CAPACITY: usize = 1 << 16;

/// A new connection to the server that an environment names.
pub(super) async fn dial(environment: &[(&'static str, OsString)]) -> Result<Client, Error> {
    let value = |name: &str| environment.iter().find(|(is, _)| *is == name).map(|(_, value)| value);
    let text = |name: &str| value(name).and_then(|value| value.to_str()).filter(|text| !text.is_empty());
    let file = |name: &str| value(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let mut options = ConnectOptions::new()
        .name("highwater bench pattern")
        .subscription_capacity(SUBSCRIPTION_CAPACITY)
        .client_capacity(CLIENT_CAPACITY)
        // All on one node of a cluster: an answer must not overtake the news that somebody listens for it.
        .retain_servers_order();
    if let Some(user) = text("NATS_USER") {
        options = options.user_and_password(user.into(), text("NATS_PASSWORD").unwrap_or_default().into());
    }
    if let Some(token) = text("NATS_TOKEN") {
        options = options.token(token.into());
    }
    if let Some(file) = file("NATS_NKEY") {
        let text = std::fs::read_to_string(&file).map_err(Error::failed)?;
        let seed = text.lines().map(str::trim).find(|line| line.starts_with("SU")).unwrap_or_default();
        options = options.nkey(seed.to_owned());
    }
    if let Some(file) = file("NATS_CREDS") {
        options = options.credentials_file(file).await.map_err(Error::failed)?;
    }
    if let Some(file) = file("NATS_CA") {
        options = options.add_root_certificates(file);
    }
    if let (Some(certificate), Some(key)) = (file("NATS_CERT"), file("NATS_KEY")) {
        options = options.add_client_certificate(certificate, key);
    }
    let urls = text("NATS_URL").unwrap_or(highwater::ConnectOptions::URL);
    let servers: Result<Vec<ServerAddr>, _> = urls.split(',').map(|url| url.trim().parse()).collect();
    options.connect(servers.map_err(Error::failed)?).await.map_err(Error::failed)
}
