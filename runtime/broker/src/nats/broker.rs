//! A namespace, as the engine uses it.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::TryFutureExt;
use highwater_protocol::{Namespace, QueueName, Timestamp, namespace::Settings, subject::Subjects};

use super::{
    NatsConnection,
    direct::Which,
    early::EarlyAcks,
    group::Group,
    kv::Kv,
    link::Link,
    names,
    tasks::{Feed, Queue},
};
use crate::{
    broker::{BoxFuture, BoxStream, Broker, Bucket, Entry, KvEvent, Publish, Stream},
    error::Error,
    message::{Delivered, Message, PlainMessage, PubAck, Task},
    rules::ttl,
};

/// A namespace on a NATS server. Clones share it.
#[derive(Clone)]
pub struct NatsBroker {
    shared: Arc<Shared>,
}

struct Shared {
    connection: NatsConnection,
    namespace: Namespace,
    settings: Settings,
    subjects: Subjects,
    feeds: Mutex<HashMap<QueueName, Feed>>,
    /// Where the namespace commits in groups.
    group: Option<Arc<Group>>,
    early: EarlyAcks,
}

impl NatsBroker {
    pub(super) fn new(connection: NatsConnection, namespace: Namespace, settings: Settings) -> Self {
        let subjects = Subjects::new(&namespace, settings.partitions);
        let feeds = Mutex::default();
        let group = settings.group_commit.then(|| Arc::new(Group::new(connection.link.clone(), &namespace, &subjects)));
        let early = EarlyAcks::new(&connection.link);
        Self { shared: Arc::new(Shared { connection, namespace, settings, subjects, feeds, group, early }) }
    }

    /// The namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.shared.namespace
    }

    /// Its settings.
    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// The connection that it is reached by.
    pub fn connection(&self) -> &NatsConnection {
        &self.shared.connection
    }

    fn link(&self) -> Arc<Link> {
        self.shared.connection.link.clone()
    }

    fn stream(&self, stream: Stream) -> String {
        names::stream(&self.shared.namespace, stream)
    }

    fn kv(&self, bucket: Bucket) -> Kv {
        let kv = Kv::new(self.link(), &names::bucket(&self.shared.namespace, bucket));
        match &self.shared.group {
            // A worker writes the offsets of all its partitions at about the same time.
            Some(group) if bucket == Bucket::Offsets => kv.grouped(group.clone()),
            _ => kv,
        }
    }

    fn feed(&self, queue: &QueueName) -> Feed {
        // Nothing panics while it holds the lock, and a map is whole at any time.
        let mut feeds = self.shared.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(feed) = feeds.get(queue).filter(|feed| !feed.has_ended()) {
            return feed.clone();
        }
        let served = Queue {
            stream: self.stream(Stream::Tasks),
            consumer: names::task_consumer(queue),
            filter: self.shared.subjects.task_filter(queue),
        };
        let feed = Feed::new(self.link(), served);
        feeds.insert(queue.clone(), feed.clone());
        feed
    }
}

impl fmt::Debug for NatsBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsBroker")
            .field("namespace", &self.shared.namespace)
            .field("url", &self.shared.connection.url())
            .finish_non_exhaustive()
    }
}

impl Broker for NatsBroker {
    fn subjects(&self) -> &Subjects {
        &self.shared.subjects
    }

    fn payload_max(&self) -> usize {
        self.shared.connection.link.client.max_payload()
    }

    fn server_time(&self) -> BoxFuture<'static, Result<Timestamp, Error>> {
        let (link, stream) = (self.link(), self.stream(Stream::Inbox));
        Box::pin(async move { link.server_time(&stream).await })
    }

    fn publish(&self, message: Publish) -> BoxFuture<'static, Result<PubAck, Error>> {
        if let Some(group) = self.shared.group.clone() {
            return Box::pin(async move { group.publish(message).await });
        }
        let link = self.link();
        Box::pin(async move {
            let mut storing = link.begin_storing(message)?;
            Ok(storing.acknowledged().await?)
        })
    }

    fn publish_with_answer(
        &self,
        message: Publish,
        answer: PlainMessage,
    ) -> BoxFuture<'static, Result<(PubAck, bool), Error>> {
        if self.shared.group.is_some() {
            // A batch has one acknowledgement.
            return Box::pin(self.publish(message).map_ok(|ack| (ack, false)));
        }
        let Self { shared } = self.clone();
        Box::pin(async move {
            let link = shared.connection.link.clone();
            shared.early.publish(link, &shared.subjects, message, answer).await
        })
    }

    fn offer(&self, message: Publish) -> BoxFuture<'static, Result<Option<PubAck>, Error>> {
        if self.shared.group.is_some() {
            // What goes out in a batch is acknowledged with it.
            return Box::pin(self.publish(message).map_ok(Some));
        }
        let link = self.link();
        Box::pin(async move { link.offer(message).await.map(|()| None) })
    }

    fn get(&self, stream: Stream, seq: u64) -> BoxFuture<'static, Result<Option<Message>, Error>> {
        let (link, stream) = (self.link(), self.stream(stream));
        Box::pin(async move { link.get_direct(&stream, &Which::seq(seq)).await })
    }

    fn get_each(&self, stream: Stream, seqs: &[u64]) -> BoxStream<Result<Option<Message>, Error>> {
        Box::pin(self.link().get_each_direct(self.stream(stream), seqs))
    }

    fn get_from_leader(&self, stream: Stream, seq: u64) -> BoxFuture<'static, Result<Option<Message>, Error>> {
        let (link, stream) = (self.link(), self.stream(stream));
        Box::pin(async move { Ok(link.get_from_leader(&stream, &Which::seq(seq)).await?) })
    }

    fn last(&self, stream: Stream, subject: String) -> BoxFuture<'static, Result<Option<Message>, Error>> {
        let (link, stream) = (self.link(), self.stream(stream));
        Box::pin(async move { link.get_direct(&stream, &Which::last(subject)).await })
    }

    fn last_from_leader(&self, stream: Stream, subject: String) -> BoxFuture<'static, Result<Option<Message>, Error>> {
        let (link, stream) = (self.link(), self.stream(stream));
        Box::pin(async move { Ok(link.get_from_leader(&stream, &Which::last(subject)).await?) })
    }

    fn last_seq(&self, stream: Stream) -> BoxFuture<'static, Result<u64, Error>> {
        let (link, stream) = (self.link(), self.stream(stream));
        Box::pin(async move { link.last_seq(&stream).await })
    }

    fn delete(&self, stream: Stream, seq: u64) -> BoxFuture<'static, Result<(), Error>> {
        let (link, stream) = (self.link(), self.stream(stream));
        Box::pin(async move { link.delete(&stream, seq).await })
    }

    fn purge(&self, stream: Stream, subject: String, up_to: u64) -> BoxFuture<'static, Result<u64, Error>> {
        let (link, stream) = (self.link(), self.stream(stream));
        Box::pin(async move { link.purge(&stream, &subject, up_to).await })
    }

    fn read(
        &self,
        stream: Stream,
        subjects: Vec<String>,
        from_seq: u64,
    ) -> BoxFuture<'static, Result<BoxStream<Result<Delivered, Error>>, Error>> {
        let (link, stream) = (self.link(), self.stream(stream));
        Box::pin(async move {
            let reader: BoxStream<_> = Box::pin(link.read(stream, subjects, from_seq).await?);
            Ok(reader)
        })
    }

    fn take_tasks(&self, queue: QueueName, max: usize, wait: Duration) -> BoxFuture<'static, Result<Vec<Task>, Error>> {
        let broker = self.clone();
        Box::pin(async move { broker.feed(&queue).take(&broker.link(), max, wait).await })
    }

    fn task_ack_wait(&self) -> Duration {
        self.shared.connection.link.task_ack_wait
    }

    fn kv_get(&self, bucket: Bucket, key: String) -> BoxFuture<'static, Result<Option<Entry>, Error>> {
        let kv = self.kv(bucket);
        Box::pin(async move { kv.get(&key).await })
    }

    fn kv_put(
        &self,
        bucket: Bucket,
        key: String,
        value: Bytes,
        revision: Option<u64>,
    ) -> BoxFuture<'static, Result<u64, Error>> {
        let kv = self.kv(bucket);
        Box::pin(async move { kv.put(&key, value, revision).await })
    }

    fn kv_delete(&self, bucket: Bucket, key: String) -> BoxFuture<'static, Result<(), Error>> {
        let kv = self.kv(bucket);
        Box::pin(async move { kv.delete(&key).await })
    }

    fn kv_watch(&self, bucket: Bucket) -> BoxFuture<'static, Result<BoxStream<Result<KvEvent, Error>>, Error>> {
        let kv = self.kv(bucket);
        Box::pin(async move {
            let watcher: BoxStream<_> = Box::pin(kv.watch().await?);
            Ok(watcher)
        })
    }

    fn kv_list(&self, bucket: Bucket) -> BoxFuture<'static, Result<Vec<(String, Entry)>, Error>> {
        let kv = self.kv(bucket);
        Box::pin(async move { kv.list().await })
    }

    fn kv_ttl(&self, bucket: Bucket) -> Option<Duration> {
        ttl(bucket)
    }

    fn send(&self, message: PlainMessage) -> BoxFuture<'static, Result<(), Error>> {
        let link = self.link();
        Box::pin(async move { link.send(message).await })
    }

    fn request(&self, message: PlainMessage, wait: Duration) -> BoxFuture<'static, Result<PlainMessage, Error>> {
        let link = self.link();
        Box::pin(async move { link.request(message, wait).await })
    }

    fn subscribe(&self, subject: String) -> BoxFuture<'static, Result<BoxStream<PlainMessage>, Error>> {
        let link = self.link();
        Box::pin(async move {
            let messages: BoxStream<_> = Box::pin(link.subscribe(subject).await?);
            Ok(messages)
        })
    }

    fn new_inbox(&self) -> String {
        self.shared.connection.link.client.new_inbox()
    }

    fn flush(&self) -> BoxFuture<'static, Result<(), Error>> {
        let link = self.link();
        Box::pin(async move { link.round_trip().await })
    }

    fn dedicated(&self) -> BoxFuture<'static, Result<Arc<dyn Broker>, Error>> {
        let Shared { connection, namespace, settings, .. } = &*self.shared;
        let (connection, namespace, settings) = (connection.clone(), namespace.clone(), settings.clone());
        Box::pin(async move {
            let connection = connection.another().await?;
            let broker: Arc<dyn Broker> = Arc::new(Self::new(connection, namespace, settings));
            Ok(broker)
        })
    }
}
