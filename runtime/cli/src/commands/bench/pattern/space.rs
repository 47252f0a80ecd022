//! A namespace that is made for a measurement and taken away again. The pattern's streams are those of one, too.

use std::ffi::OsString;

use async_nats::jetstream;
use futures_util::TryStreamExt;
use highwater_broker::{
    Broker, Stream,
    nats::{NatsBroker, NatsConnection},
};
use highwater_protocol::{Namespace, RunId, namespace::Settings, subject::Subjects};

use super::dial::dial;
use crate::exit::Error;

/// What the names of such namespaces begin with, and how many digits follow.
const PREFIX: &str = "bench-s-";
const RANDOM: usize = 8;

/// A namespace of its own, for as long as something is measured.
#[derive(Debug)]
pub(crate) struct Space {
    broker: NatsBroker,
}

impl Space {
    /// Makes one.
    pub(crate) async fn make(
        connection: &NatsConnection,
        environment: &[(&'static str, OsString)],
        settings: Settings,
    ) -> Result<Self, Error> {
        // One of an earlier measurement that was interrupted may be there. The name is as short as that of a namespace
        // is in practice, as it stands in every message several times.
        let random = RunId::generate().to_string();
        let namespace = Namespace::new(format!("{PREFIX}{}", &random[random.len() - RANDOM..]))?;
        match connection.create_namespace(&namespace, settings).await {
            Ok(broker) => Ok(Self { broker }),
            Err(error) => {
                // A part of it may be there.
                let _ = remove(&namespace, environment).await;
                Err(error.into())
            }
        }
    }

    /// The namespace, on the connection that it was made by.
    pub(crate) fn broker(&self) -> &NatsBroker {
        &self.broker
    }

    pub(super) fn subjects(&self) -> Subjects {
        self.broker.subjects().clone()
    }

    pub(super) fn partitions(&self) -> u16 {
        self.broker.settings().partitions
    }

    /// What NATS calls a stream.
    pub(super) async fn stream(&self, stream: Stream) -> Result<String, Error> {
        let status = self.broker.connection().describe(self.broker.namespace()).await?;
        let found = status.streams.into_iter().find(|status| status.stream == stream);
        found.map(|status| status.name).ok_or_else(|| Error::failed("the namespace lacks a stream"))
    }

    /// The bytes that the histories take.
    pub(super) async fn history_bytes(&self) -> Result<u64, Error> {
        let status = self.broker.connection().describe(self.broker.namespace()).await?;
        Ok(status.streams.iter().filter(|status| status.stream == Stream::History).map(|status| status.bytes).sum())
    }

    /// Takes all streams and buckets away. The environment says how to connect.
    pub(crate) async fn remove(&self, environment: &[(&'static str, OsString)]) -> Result<(), Error> {
        remove(self.broker.namespace(), environment).await
    }
}

async fn remove(namespace: &Namespace, environment: &[(&'static str, OsString)]) -> Result<(), Error> {
    let context = jetstream::new(dial(environment).await?);
    let names: Vec<String> = context.stream_names().try_collect().await.map_err(Error::failed)?;
    let (streams, buckets) = (format!("HW_{namespace}_"), format!("KV_HW_{namespace}_"));
    let mut removed = Ok(());
    for name in names.iter().filter(|name| name.starts_with(&streams) || name.starts_with(&buckets)) {
        if let Err(error) = context.delete_stream(name).await {
            removed = removed.and(Err(Error::failed(format_args!("the stream {name} cannot be removed: {error}"))));
        }
    }
    removed
}
