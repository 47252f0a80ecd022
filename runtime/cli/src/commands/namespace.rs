use clap::{Args, Subcommand};
use highwater_broker::nats::NamespaceStatus;
use highwater_protocol::namespace::Settings;
use serde_json::{Value, json};

use crate::{exit::Error, globals::Globals};

/// Make a namespace, or look at one
#[derive(Debug, Args)]
pub(crate) struct Namespace {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Create(Create),
    Describe(Describe),
}

/// Make a namespace; its settings are fixed for ever
#[derive(Debug, Args)]
struct Create {
    /// Name: letters, digits, - and _
    name: String,
    /// How many partitions: the most workers that can share the workflows of one queue
    #[arg(long, default_value_t = Settings::default().partitions)]
    partitions: u16,
    /// How many copies NATS keeps of everything: 1, 3 or 5
    #[arg(long, default_value_t = Settings::default().replicas)]
    replicas: u8,
}

/// Show what a namespace is made of and how much there is in it
#[derive(Debug, Args)]
struct Describe {
    /// Name; that of --namespace otherwise
    name: Option<String>,
}

impl Namespace {
    pub(crate) async fn run(self, globals: &Globals) -> Result<(), Error> {
        match self.action {
            Action::Create(create) => create.run(globals).await,
            Action::Describe(describe) => describe.run(globals).await,
        }
    }
}

impl Create {
    async fn run(self, globals: &Globals) -> Result<(), Error> {
        let name = highwater_protocol::Namespace::new(self.name)?;
        let settings = Settings { partitions: self.partitions, replicas: self.replicas, ..Settings::default() };
        settings.check().map_err(Error::usage)?;
        let made = globals.connect().await?.create_namespace(&name, settings).await?;
        let Settings { partitions, replicas, .. } = made.settings();
        globals.printer().print(
            || format!("namespace {name}: {partitions} partitions, {}", copies(*replicas)),
            || json!({ "name": name, "settings": made.settings() }),
        )
    }
}

impl Describe {
    async fn run(self, globals: &Globals) -> Result<(), Error> {
        let name = match self.name {
            Some(name) => highwater_protocol::Namespace::new(name)?,
            None => globals.namespace()?,
        };
        let status = globals.connect().await?.describe(&name).await?;
        globals.printer().print(|| text(name.as_str(), &status), || value(name.as_str(), &status))
    }
}

fn copies(replicas: u8) -> String {
    if replicas == 1 { "1 replica".into() } else { format!("{replicas} replicas") }
}

fn text(name: &str, status: &NamespaceStatus) -> String {
    let Settings { partitions, replicas, .. } = &status.settings;
    let mut lines = vec![format!("namespace {name}: {partitions} partitions, {}", copies(*replicas))];
    let width = status.streams.iter().map(|stream| stream.name.len()).max().unwrap_or(0);
    lines.extend(status.streams.iter().map(|stream| {
        format!(
            "  {:<width$}  {:>12} messages  {:>15} bytes  last sequence {}",
            stream.name, stream.messages, stream.bytes, stream.last_seq
        )
    }));
    lines.join("\n")
}

fn value(name: &str, status: &NamespaceStatus) -> Value {
    let streams = status.streams.iter().map(|stream| {
        json!({
            "name": stream.name,
            "messages": stream.messages,
            "bytes": stream.bytes,
            "first_seq": stream.first_seq,
            "last_seq": stream.last_seq,
            "consumers": stream.consumers,
        })
    });
    json!({ "name": name, "settings": status.settings, "streams": streams.collect::<Vec<_>>() })
}
