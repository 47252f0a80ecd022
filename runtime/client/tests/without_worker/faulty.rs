//! A broker that does what it is told to publishes, and everything else as NATS does it.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::TryFutureExt;
use highwater_broker::{
    BoxFuture, BoxStream, Broker, Bucket, Delivered, Entry, Error, ErrorKind, KvEvent, Message, PlainMessage, PubAck,
    Publish, Stream, Task,
};
use highwater_protocol::{QueueName, Timestamp, subject::Subjects};
use tokio::time::sleep;

/// What becomes of a publish.
pub(crate) enum Fault {
    /// It goes through.
    None,
    /// It goes through, and its acknowledgement is lost.
    AckLost,
    /// It does not go through.
    Fails(ErrorKind),
    /// Something else happens before it.
    After(BoxFuture<'static, ()>),
}

pub(crate) struct Faulty {
    inner: Arc<dyn Broker>,
    decide: Box<dyn Fn(&Publish) -> Fault + Send + Sync>,
    /// How often the leader was asked for a last message.
    pub(crate) looks: AtomicUsize,
    /// What is sent without an acknowledgement is lost.
    pub(crate) loses_offers: AtomicBool,
    /// So many times the leader does not answer when it is asked for a message by its sequence.
    pub(crate) lost_gets: AtomicUsize,
    /// The same when it is asked for a last message.
    pub(crate) lost_looks: AtomicUsize,
}

/// How long an answer of the leader's is waited for.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

impl Faulty {
    pub(crate) fn new(inner: Arc<dyn Broker>, decide: impl Fn(&Publish) -> Fault + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            inner,
            decide: Box::new(decide),
            looks: AtomicUsize::new(0),
            loses_offers: AtomicBool::new(false),
            lost_gets: AtomicUsize::new(0),
            lost_looks: AtomicUsize::new(0),
        })
    }
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

/// Whether this call is one of those that are lost.
fn is_lost(left: &AtomicUsize) -> bool {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}

fn unanswered<T: Send + 'static>() -> Answer<T> {
    Box::pin(async {
        sleep(ANSWER_WAIT).await;
        Err(Error::new(ErrorKind::Unavailable, "made to get no answer by the test"))
    })
}

type Reader<T> = BoxFuture<'static, Result<BoxStream<Result<T, Error>>, Error>>;
type Answer<T> = BoxFuture<'static, Result<T, Error>>;

impl Broker for Faulty {
    fn publish(&self, message: Publish) -> Answer<PubAck> {
        let fault = (self.decide)(&message);
        let inner = self.inner.clone();
        let away = |kind| Error::new(kind, "made to fail by the test");
        Box::pin(async move {
            match fault {
                Fault::None => inner.publish(message).await,
                Fault::AckLost => {
                    inner.publish(message).await?;
                    Err(away(ErrorKind::Unavailable))
                }
                Fault::Fails(kind) => Err(away(kind)),
                Fault::After(before) => {
                    before.await;
                    inner.publish(message).await
                }
            }
        })
    }

    fn offer(&self, message: Publish) -> Answer<Option<PubAck>> {
        if self.loses_offers.load(Ordering::Relaxed) {
            return Box::pin(std::future::ready(Ok(None)));
        }
        Box::pin(self.publish(message).map_ok(Some))
    }

    fn subjects(&self) -> &Subjects {
        self.inner.subjects()
    }
    fn payload_max(&self) -> usize {
        self.inner.payload_max()
    }
    fn server_time(&self) -> Answer<Timestamp> {
        self.inner.server_time()
    }
    fn get(&self, stream: Stream, seq: u64) -> Answer<Option<Message>> {
        self.inner.get(stream, seq)
    }
    fn get_from_leader(&self, stream: Stream, seq: u64) -> Answer<Option<Message>> {
        if is_lost(&self.lost_gets) { unanswered() } else { self.inner.get_from_leader(stream, seq) }
    }
    fn last(&self, stream: Stream, subject: String) -> Answer<Option<Message>> {
        self.inner.last(stream, subject)
    }
    fn last_from_leader(&self, stream: Stream, subject: String) -> Answer<Option<Message>> {
        self.looks.fetch_add(1, Ordering::Relaxed);
        if is_lost(&self.lost_looks) { unanswered() } else { self.inner.last_from_leader(stream, subject) }
    }
    fn last_seq(&self, stream: Stream) -> Answer<u64> {
        self.inner.last_seq(stream)
    }
    fn delete(&self, stream: Stream, seq: u64) -> Answer<()> {
        self.inner.delete(stream, seq)
    }
    fn purge(&self, stream: Stream, subject: String, up_to: u64) -> Answer<u64> {
        self.inner.purge(stream, subject, up_to)
    }
    fn read(&self, stream: Stream, subjects: Vec<String>, from_seq: u64) -> Reader<Delivered> {
        self.inner.read(stream, subjects, from_seq)
    }
    fn take_tasks(&self, queue: QueueName, max: usize, wait: Duration) -> Answer<Vec<Task>> {
        self.inner.take_tasks(queue, max, wait)
    }
    fn task_ack_wait(&self) -> Duration {
        self.inner.task_ack_wait()
    }
    fn kv_get(&self, bucket: Bucket, key: String) -> Answer<Option<Entry>> {
        self.inner.kv_get(bucket, key)
    }
    fn kv_put(&self, bucket: Bucket, key: String, value: Bytes, revision: Option<u64>) -> Answer<u64> {
        self.inner.kv_put(bucket, key, value, revision)
    }
    fn kv_delete(&self, bucket: Bucket, key: String) -> Answer<()> {
        self.inner.kv_delete(bucket, key)
    }
    fn kv_watch(&self, bucket: Bucket) -> Reader<KvEvent> {
        self.inner.kv_watch(bucket)
    }
    fn kv_list(&self, bucket: Bucket) -> Answer<Vec<(String, Entry)>> {
        self.inner.kv_list(bucket)
    }
    fn kv_ttl(&self, bucket: Bucket) -> Option<Duration> {
        self.inner.kv_ttl(bucket)
    }
    fn send(&self, message: PlainMessage) -> Answer<()> {
        self.inner.send(message)
    }
    fn request(&self, message: PlainMessage, wait: Duration) -> Answer<PlainMessage> {
        self.inner.request(message, wait)
    }
    fn subscribe(&self, subject: String) -> Answer<BoxStream<PlainMessage>> {
        self.inner.subscribe(subject)
    }
    fn new_inbox(&self) -> String {
        self.inner.new_inbox()
    }
    fn flush(&self) -> Answer<()> {
        self.inner.flush()
    }

    fn dedicated(&self) -> Answer<Arc<dyn Broker>> {
        self.inner.dedicated()
    }
}
