use clap::{Args, Subcommand, ValueEnum};
use highwater_broker::nats::NamespaceStatus;
use highwater_protocol::namespace::Settings;
use serde_json::{Value, json};

use crate::{exit::Error, globals::Globals};

/// Make a namespace, look at one, or change it
#[derive(Debug, Args)]
pub(crate) struct Namespace {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Create(Create),
    Describe(Describe),
    Set(Set),
}

/// Make a namespace; its settings are fixed for ever, but for --group-commit
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
    /// Store what is published at the same time by one write to the disk: for servers with `sync_interval: always`
    #[arg(long)]
    group_commit: bool,
}

/// Change what can be changed of a namespace; workers and clients see it when they start
#[derive(Debug, Args)]
struct Set {
    /// Name; that of --namespace otherwise
    name: Option<String>,
    /// Store what is published at the same time by one write to the disk: for servers with `sync_interval: always`
    #[arg(long, value_name = "on|off", hide_possible_values = true)]
    group_commit: Switch,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
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
            Action::Set(set) => set.run(globals).await,
        }
    }
}

impl Create {
    async fn run(self, globals: &Globals) -> Result<(), Error> {
        let name = highwater_protocol::Namespace::new(self.name)?;
        let Self { partitions, replicas, group_commit, .. } = self;
        let settings = Settings { partitions, replicas, group_commit, ..Settings::default() };
        settings.check().map_err(Error::usage)?;
        let made = globals.connect().await?.create_namespace(&name, settings).await?;
        print_settings(globals, &name, made.settings())
    }
}

impl Set {
    async fn run(self, globals: &Globals) -> Result<(), Error> {
        let name = named(self.name, globals)?;
        let on = self.group_commit == Switch::On;
        let changed = globals.connect().await?.set_group_commit(&name, on).await?;
        print_settings(globals, &name, changed.settings())
    }
}

impl Describe {
    async fn run(self, globals: &Globals) -> Result<(), Error> {
        let name = named(self.name, globals)?;
        let status = globals.connect().await?.describe(&name).await?;
        globals.printer().print(|| text(name.as_str(), &status), || value(name.as_str(), &status))
    }
}

fn named(name: Option<String>, globals: &Globals) -> Result<highwater_protocol::Namespace, Error> {
    match name {
        Some(name) => Ok(highwater_protocol::Namespace::new(name)?),
        None => globals.namespace(),
    }
}

fn print_settings(globals: &Globals, name: &highwater_protocol::Namespace, settings: &Settings) -> Result<(), Error> {
    globals
        .printer()
        .print(|| headline(name.as_str(), settings), || json!({ "name": name.as_str(), "settings": settings }))
}

fn headline(name: &str, settings: &Settings) -> String {
    let Settings { partitions, replicas, group_commit, .. } = settings;
    let copies = if *replicas == 1 { "1 replica".into() } else { format!("{replicas} replicas") };
    let group = if *group_commit { ", group commit" } else { "" };
    format!("namespace {name}: {partitions} partitions, {copies}{group}")
}

fn text(name: &str, status: &NamespaceStatus) -> String {
    let mut lines = vec![headline(name, &status.settings)];
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
