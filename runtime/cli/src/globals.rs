//! Where NATS is, which namespace is meant, and how the output looks: the same for every command.

use std::{ffi::OsString, path::PathBuf, sync::Arc};

use clap::Args;
use highwater_broker::nats::{ConnectOptions, NatsBroker, NatsConnection};
use highwater_client::Client;
use highwater_protocol::Namespace;

use crate::{
    exit::Error,
    output::{Format, Printer},
};

#[derive(Debug, Args)]
pub(crate) struct Globals {
    /// Address of NATS; several nodes of a cluster with commas in between [default: nats://127.0.0.1:4222]
    #[arg(long, global = true, env = "NATS_URL", help_heading = "Connection")]
    url: Option<String>,
    /// User name
    #[arg(long, global = true, env = "NATS_USER", help_heading = "Connection")]
    user: Option<String>,
    /// Password of the user
    #[arg(long, global = true, env = "NATS_PASSWORD", hide_env_values = true, help_heading = "Connection")]
    password: Option<String>,
    /// Token
    #[arg(long, global = true, env = "NATS_TOKEN", hide_env_values = true, help_heading = "Connection")]
    token: Option<String>,
    /// File with a user's JWT and seed
    #[arg(long, global = true, env = "NATS_CREDS", value_name = "FILE", help_heading = "Connection")]
    creds: Option<PathBuf>,
    /// File with the seed of a user's NKey
    #[arg(long, global = true, env = "NATS_NKEY", value_name = "FILE", help_heading = "Connection")]
    nkey: Option<PathBuf>,
    /// File with the certificates of the authorities that are trusted, instead of the system's
    #[arg(long, global = true, env = "NATS_CA", value_name = "FILE", help_heading = "Connection")]
    tls_ca: Option<PathBuf>,
    /// File with the client's certificate
    #[arg(long, global = true, env = "NATS_CERT", value_name = "FILE", help_heading = "Connection")]
    tls_cert: Option<PathBuf>,
    /// File with the client's key
    #[arg(long, global = true, env = "NATS_KEY", value_name = "FILE", help_heading = "Connection")]
    tls_key: Option<PathBuf>,
    /// Namespace
    #[arg(long, short = 'n', global = true, env = "HIGHWATER_NAMESPACE", default_value = "default")]
    namespace: String,
    /// How the result looks
    #[arg(long, short = 'o', global = true, value_enum, default_value = "text")]
    output: Format,
}

impl Globals {
    /// How the result is printed.
    pub(crate) fn printer(&self) -> Printer {
        Printer::new(self.output)
    }

    /// The namespace that is meant.
    pub(crate) fn namespace(&self) -> Result<Namespace, Error> {
        Ok(Namespace::new(self.namespace.as_str())?)
    }

    /// Whether a server is named.
    pub(crate) fn url_given(&self) -> bool {
        text(self.url.as_deref()).is_some()
    }

    /// Connects.
    pub(crate) async fn connect(&self) -> Result<NatsConnection, Error> {
        Ok(NatsConnection::connect(self.connect_options()?).await?)
    }

    /// Connects and opens the namespace.
    pub(crate) async fn broker(&self) -> Result<NatsBroker, Error> {
        let namespace = self.namespace()?;
        Ok(self.connect().await?.open_namespace(&namespace).await?)
    }

    /// A client of the namespace.
    pub(crate) async fn client(&self) -> Result<Client, Error> {
        Ok(Client::new(Arc::new(self.broker().await?)))
    }

    /// What another process of this program needs in its environment to connect in the same way.
    pub(crate) fn environment(&self) -> Vec<(&'static str, OsString)> {
        let texts = [
            ("NATS_URL", &self.url),
            ("NATS_USER", &self.user),
            ("NATS_PASSWORD", &self.password),
            ("NATS_TOKEN", &self.token),
        ];
        let files = [
            ("NATS_CREDS", &self.creds),
            ("NATS_NKEY", &self.nkey),
            ("NATS_CA", &self.tls_ca),
            ("NATS_CERT", &self.tls_cert),
            ("NATS_KEY", &self.tls_key),
        ];
        let texts = texts.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?.into())));
        texts.chain(files.into_iter().filter_map(|(name, file)| Some((name, file.as_ref()?.into())))).collect()
    }

    /// How to connect.
    pub(crate) fn connect_options(&self) -> Result<ConnectOptions, Error> {
        let url = text(self.url.as_deref()).unwrap_or(ConnectOptions::URL);
        let mut options = ConnectOptions::new(url).name("highwater");
        if let Some(user) = text(self.user.as_deref()) {
            options = options.user(user, self.password.as_deref().unwrap_or_default());
        }
        if let Some(token) = text(self.token.as_deref()) {
            options = options.token(token);
        }
        if let Some(file) = file(self.creds.as_ref()) {
            options = options.credentials_file(file);
        }
        if let Some(file) = file(self.nkey.as_ref()) {
            options = options.nkey_file(file);
        }
        if let Some(file) = file(self.tls_ca.as_ref()) {
            options = options.root_ca_file(file);
        }
        match (file(self.tls_cert.as_ref()), file(self.tls_key.as_ref())) {
            (Some(certificate), Some(key)) => options = options.client_certificate_files(certificate, key),
            (None, None) => {}
            _ => return Err(Error::usage("--tls-cert and --tls-key go together; give both")),
        }
        Ok(options)
    }
}

/// A variable of the environment that is empty counts as not set.
fn text(value: Option<&str>) -> Option<&str> {
    value.filter(|value| !value.is_empty())
}

fn file(value: Option<&PathBuf>) -> Option<&PathBuf> {
    value.filter(|value| !value.as_os_str().is_empty())
}
