//! Making and opening namespaces.
//!
//! The config bucket comes first, with a claim: the settings that whoever began wanted. Then come all streams and
//! buckets, and last the key that says that the namespace is there. Every step can be repeated and done by several at
//! once, so whoever finds a claim without the last key completes what another one left.

use std::time::Duration;

use async_nats::jetstream::stream::Config;
use futures_util::future::try_join_all;
use highwater_protocol::{Namespace, namespace::Settings};
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::{
    NatsBroker, NatsConnection,
    direct::NoBody,
    kv::Kv,
    names,
    refusal::{Refusal, STREAM_NAME_IN_USE, STREAM_NOT_FOUND},
    streams,
};
use crate::{
    broker::{BoxFuture, Bucket, Stream},
    error::{Error, ErrorKind, NamespaceError},
};

/// The key whose presence says that the namespace is complete.
const PUBLISHED: &str = "namespace";
/// The key with the settings of a namespace that is being made.
const CLAIM: &str = "creating";
/// How often opening and making are tried in turn, while others do the same.
const ATTEMPTS: u32 = 5;

/// How long after the first one an attempt to open a namespace may begin, when those before had no answer. A cluster
/// that loses a server may take more than ten seconds to agree on who leads which of its streams.
const OPENING_MAX: Duration = Duration::from_secs(20);
/// The wait between two of them.
const OPENING_PAUSE: Duration = Duration::from_millis(500);

/// What a namespace is made of, and how much there is of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NamespaceStatus {
    /// Its settings.
    pub settings: Settings,
    /// Its streams.
    pub streams: Vec<StreamStatus>,
}

/// How much there is in a stream.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StreamStatus {
    /// Which one.
    pub stream: Stream,
    /// What NATS calls it.
    pub name: String,
    /// How many messages there are.
    pub messages: u64,
    /// How many bytes they take.
    pub bytes: u64,
    /// The sequence of the first one.
    pub first_seq: u64,
    /// The sequence of the last one there ever was.
    pub last_seq: u64,
    /// How many consumers there are.
    pub consumers: u64,
}

#[derive(Deserialize)]
struct Info {
    config: Config,
    state: State,
}

#[derive(Deserialize)]
struct State {
    messages: u64,
    bytes: u64,
    first_seq: u64,
    last_seq: u64,
    consumer_count: u64,
}

type Opened = Result<NatsBroker, NamespaceError>;

impl NatsConnection {
    /// Makes a namespace and opens it. One that exists with these settings is opened; several processes may do it at
    /// once.
    ///
    /// # Errors
    ///
    /// [`NamespaceError::Different`] when it exists with other settings, [`NamespaceError::Stream`] when a stream was
    /// changed or taken away since.
    pub async fn create_namespace(
        &self,
        namespace: &Namespace,
        settings: Settings,
    ) -> Result<NatsBroker, NamespaceError> {
        self.creating(namespace, settings).await
    }

    fn creating<'a>(&'a self, namespace: &'a Namespace, settings: Settings) -> BoxFuture<'a, Opened> {
        Box::pin(async move {
            settings.check()?;
            self.check_group_commit(&settings)?;
            self.create_config(namespace, &settings).await?;
            let config = self.config(namespace);
            let claimed = match read(&config, PUBLISHED).await? {
                Some(found) => return self.opened(namespace, same(namespace, found, settings)?).await,
                None => self.claim(&config, &settings).await?,
            };
            let settings = same(namespace, claimed, settings)?;
            self.complete(namespace, settings).await
        })
    }

    /// Opens a namespace that exists. One whose making was interrupted is completed. While NATS does not answer
    /// it is tried again, for 20 seconds and however long the last attempt takes.
    ///
    /// # Errors
    ///
    /// [`NamespaceError::NotFound`] when there is none, [`NamespaceError::Stream`] when a stream was changed or taken
    /// away since it was made.
    pub async fn open_namespace(&self, namespace: &Namespace) -> Result<NatsBroker, NamespaceError> {
        self.opening(namespace).await
    }

    fn opening<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Opened> {
        Box::pin(async move {
            let begun = Instant::now();
            loop {
                match self.open_at_once(namespace).await {
                    Err(NamespaceError::Broker(error))
                        if error.kind == ErrorKind::Unavailable && begun.elapsed() < OPENING_MAX =>
                    {
                        tracing::warn!(%namespace, %error, "NATS does not answer for a namespace; it is tried again");
                    }
                    opened => return opened,
                }
                sleep(OPENING_PAUSE).await;
            }
        })
    }

    fn open_at_once<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Opened> {
        Box::pin(async move {
            let config = self.config(namespace);
            let published = match read(&config, PUBLISHED).await {
                Err(NamespaceError::Broker(error)) if error.kind == ErrorKind::NotFound => {
                    return Err(NamespaceError::NotFound(namespace.as_str().into()));
                }
                published => published?,
            };
            if let Some(settings) = published {
                return self.opened(namespace, settings).await;
            }
            match read(&config, CLAIM).await? {
                Some(settings) => self.complete(namespace, settings).await,
                None => Err(NamespaceError::NotFound(namespace.as_str().into())),
            }
        })
    }

    /// Opens a namespace with whatever settings it has; one that does not exist is made with the default ones.
    ///
    /// # Errors
    ///
    /// As [`open_namespace`](Self::open_namespace), but for its absence.
    pub async fn open_or_create(&self, namespace: &Namespace) -> Result<NatsBroker, NamespaceError> {
        self.opening_or_creating(namespace).await
    }

    fn opening_or_creating<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Opened> {
        Box::pin(async move {
            let mut attempt = 0;
            loop {
                attempt += 1;
                let opened = match self.open_namespace(namespace).await {
                    Err(NamespaceError::NotFound(_)) => self.create_namespace(namespace, Settings::default()).await,
                    opened => return opened,
                };
                match opened {
                    // Somebody else was faster, with other settings.
                    Err(NamespaceError::Different { .. }) if attempt < ATTEMPTS => {}
                    opened => return opened,
                }
            }
        })
    }

    /// What a namespace is made of, and how much there is of it.
    ///
    /// # Errors
    ///
    /// As [`open_namespace`](Self::open_namespace).
    pub async fn describe(&self, namespace: &Namespace) -> Result<NamespaceStatus, NamespaceError> {
        self.describing(namespace).await
    }

    fn describing<'a>(&'a self, namespace: &'a Namespace) -> BoxFuture<'a, Result<NamespaceStatus, NamespaceError>> {
        Box::pin(async move {
            let broker = self.open_namespace(namespace).await?;
            let streams = names::STREAMS.map(async |stream| {
                let name = names::stream(namespace, stream);
                let State { messages, bytes, first_seq, last_seq, consumer_count } = self.info(&name).await?.state;
                let consumers = consumer_count;
                Ok::<_, Error>(StreamStatus { stream, name, messages, bytes, first_seq, last_seq, consumers })
            });
            Ok(NamespaceStatus { settings: broker.settings().clone(), streams: try_join_all(streams).await? })
        })
    }

    fn config(&self, namespace: &Namespace) -> Kv {
        Kv::new(self.link.clone(), &names::bucket(namespace, Bucket::Config))
    }

    /// Makes the config bucket. It may exist with another number of replicas, by a claim of other settings.
    async fn create_config(&self, namespace: &Namespace, settings: &Settings) -> Result<(), NamespaceError> {
        match self.create_stream(&streams::bucket(namespace, settings, Bucket::Config)).await {
            Err(refusal) if refusal.code == STREAM_NAME_IN_USE => Ok(()),
            created => created.map_err(setup_error),
        }
    }

    /// Claims a namespace for these settings; returns those of whoever was first.
    async fn claim(&self, config: &Kv, settings: &Settings) -> Result<Settings, NamespaceError> {
        match config.put(CLAIM, encode(settings)?, Some(0)).await {
            Ok(_) => Ok(settings.clone()),
            Err(error) if error.kind == ErrorKind::Conflict => match read(config, CLAIM).await? {
                Some(claimed) => Ok(claimed),
                None => Err(error.into()),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// Makes what is missing and publishes the settings.
    async fn complete(&self, namespace: &Namespace, settings: Settings) -> Result<NatsBroker, NamespaceError> {
        settings.check()?;
        try_join_all(configs(namespace, &settings).into_iter().map(async |config| {
            match self.create_stream(&config).await {
                // It is there and differs; whether that matters is seen below.
                Err(refusal) if refusal.code == STREAM_NAME_IN_USE => Ok(()),
                created => created.map_err(setup_error),
            }
        }))
        .await?;
        self.verify(namespace, &settings).await?;
        match self.publish(namespace, &settings, 0).await {
            Ok(()) => Ok(self.broker(namespace, settings)),
            // Somebody else completed it as well, by the same claim.
            Err(error) if error.kind == ErrorKind::Conflict => Ok(self.broker(namespace, settings)),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes the settings for all to read, behind those of a revision.
    pub(super) async fn publish(&self, namespace: &Namespace, settings: &Settings, revision: u64) -> Result<(), Error> {
        self.config(namespace).put(PUBLISHED, encode(settings)?, Some(revision)).await.map(|_| ())
    }

    /// The settings of a namespace that is complete, and the revision of their entry.
    pub(super) async fn published(&self, namespace: &Namespace) -> Result<(Settings, u64), NamespaceError> {
        let found = read_entry(&self.config(namespace), PUBLISHED).await?;
        found.ok_or_else(|| NamespaceError::NotFound(namespace.as_str().into()))
    }

    async fn opened(&self, namespace: &Namespace, settings: Settings) -> Result<NatsBroker, NamespaceError> {
        settings.check()?;
        self.verify(namespace, &settings).await?;
        Ok(self.broker(namespace, settings))
    }

    /// Checks that all streams are as the guarantees need them.
    async fn verify(&self, namespace: &Namespace, settings: &Settings) -> Result<(), NamespaceError> {
        try_join_all(configs(namespace, settings).into_iter().map(async |wanted| {
            let difference = match self.info(&wanted.name).await {
                Ok(info) => streams::difference(&wanted, &info.config),
                Err(refusal) if refusal.code == STREAM_NOT_FOUND => Some("it is missing".to_owned()),
                Err(refusal) => return Err(setup_error(refusal)),
            };
            let (name, stream) = (namespace.as_str().to_owned(), wanted.name);
            difference.map_or(Ok(()), |difference| Err(NamespaceError::Stream { name, stream, difference }))
        }))
        .await?;
        Ok(())
    }

    async fn create_stream(&self, config: &Config) -> Result<(), Refusal> {
        let call = format!("STREAM.CREATE.{}", config.name);
        self.link.api_once::<serde::de::IgnoredAny>(&call, config).await.map(|_| ())
    }

    async fn info(&self, stream: &str) -> Result<Info, Refusal> {
        self.link.api(&format!("STREAM.INFO.{stream}"), &NoBody {}).await
    }

    fn broker(&self, namespace: &Namespace, settings: Settings) -> NatsBroker {
        NatsBroker::new(self.clone(), namespace.clone(), settings)
    }
}

/// All streams and buckets, as they have to be.
pub(super) fn configs(namespace: &Namespace, settings: &Settings) -> Vec<Config> {
    let streams = names::STREAMS.map(|stream| streams::stream(namespace, settings, stream));
    let buckets = names::BUCKETS.map(|bucket| streams::bucket(namespace, settings, bucket));
    streams.into_iter().chain(buckets).collect()
}

/// Settings in the config bucket.
async fn read(config: &Kv, key: &str) -> Result<Option<Settings>, NamespaceError> {
    Ok(read_entry(config, key).await?.map(|(settings, _)| settings))
}

/// Settings in the config bucket, and the revision of their entry.
async fn read_entry(config: &Kv, key: &str) -> Result<Option<(Settings, u64)>, NamespaceError> {
    let found = config.link.get_from_leader(&config.stream, &config.last_of(key)?).await.map_err(setup_error)?;
    let Some(entry) = found.and_then(super::kv::value) else { return Ok(None) };
    let settings: Settings = serde_json::from_slice(&entry.value).map_err(|error| {
        Error::new(ErrorKind::Other, format!("the key {key:?} of {} cannot be read: {error}", config.stream))
    })?;
    Ok(Some((settings, entry.revision)))
}

fn encode(settings: &Settings) -> Result<bytes::Bytes, Error> {
    let json = serde_json::to_vec(settings).map_err(|error| Error::new(ErrorKind::Other, error.to_string()))?;
    Ok(json.into())
}

fn same(namespace: &Namespace, found: Settings, wanted: Settings) -> Result<Settings, NamespaceError> {
    if found == wanted {
        return Ok(found);
    }
    Err(NamespaceError::Different { name: namespace.as_str().into(), found, wanted })
}

fn setup_error(refusal: Refusal) -> NamespaceError {
    if refusal.is_no_jetstream() { NamespaceError::NoJetStream } else { NamespaceError::Broker(refusal.error) }
}
