//! The pattern's streams: those of a namespace that is made for it and taken away again.

use async_nats::{Client, jetstream};
use futures_util::TryStreamExt;
use highwater_broker::{Broker, Stream, nats::NatsConnection};
use highwater_protocol::{Namespace, RunId, namespace::Settings, subject::Subjects};

use super::super::stage::Stage;
use crate::exit::Error;

/// What the names of the pattern's namespaces begin with, and how many digits follow.
const PREFIX: &str = "bench-p-";
const RANDOM: usize = 8;

/// A namespace without an engine.
#[derive(Debug)]
pub(super) struct Space {
    connection: NatsConnection,
    namespace: Namespace,
    settings: Settings,
    subjects: Subjects,
}

impl Space {
    /// Makes one with the settings of the namespace that the engine has, but for group commit: what that gains is to be
    /// seen.
    pub(super) async fn make(stage: &Stage) -> Result<Self, Error> {
        // One of an earlier measurement that was interrupted may be there. The name is as short as that of a namespace is
        // in practice, as it stands in every message several times.
        let random = RunId::generate().to_string();
        let namespace = Namespace::new(format!("{PREFIX}{}", &random[random.len() - RANDOM..]))?;
        let broker = stage.highwater.broker();
        let connection = broker.connection().clone();
        let settings = Settings { group_commit: false, ..broker.settings().clone() };
        let made = connection.create_namespace(&namespace, settings.clone()).await?;
        let subjects = made.subjects().clone();
        Ok(Self { connection, namespace, settings, subjects })
    }

    pub(super) fn subjects(&self) -> Subjects {
        self.subjects.clone()
    }

    pub(super) fn partitions(&self) -> u16 {
        self.settings.partitions
    }

    /// What NATS calls a stream.
    pub(super) async fn stream(&self, stream: Stream) -> Result<String, Error> {
        let status = self.connection.describe(&self.namespace).await?;
        let found = status.streams.into_iter().find(|status| status.stream == stream);
        found.map(|status| status.name).ok_or_else(|| Error::failed("the namespace lacks a stream"))
    }

    /// The bytes that the histories take.
    pub(super) async fn history_bytes(&self) -> Result<u64, Error> {
        let status = self.connection.describe(&self.namespace).await?;
        Ok(status.streams.iter().filter(|status| status.stream == Stream::History).map(|status| status.bytes).sum())
    }

    /// Takes all streams and buckets away.
    pub(super) async fn remove(&self, client: &Client) -> Result<(), Error> {
        let context = jetstream::new(client.clone());
        let names: Vec<String> = context.stream_names().try_collect().await.map_err(Error::failed)?;
        let (streams, buckets) = (format!("HW_{}_", self.namespace), format!("KV_HW_{}_", self.namespace));
        for name in names.iter().filter(|name| name.starts_with(&streams) || name.starts_with(&buckets)) {
            context.delete_stream(name).await.map_err(Error::failed)?;
        }
        Ok(())
    }
}
