//! What the engine needs of a broker.

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{TryFutureExt, stream::FuturesOrdered};
use highwater_protocol::{Headers, QueueName, Timestamp, subject::Subjects};

use crate::{
    error::Error,
    message::{Delivered, Message, PlainMessage, PubAck, Task},
};

/// A future on the heap that can move between threads.
///
/// Behind every public `async fn` that does much stands a plain function that returns one of these: it is compiled with
/// its crate, while the body of an `async fn` would be compiled again in every program that awaits it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A stream of items on the heap that can move between threads.
pub type BoxStream<T> = Pin<Box<dyn futures_util::Stream<Item = T> + Send>>;

/// The streams of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// The histories: the only truth.
    History,
    /// Requests to runs.
    Inbox,
    /// Activity tasks.
    Tasks,
    /// Armed and fired timers.
    Timers,
    /// Requests that could not be accepted.
    Rejected,
}

/// The buckets of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bucket {
    /// The namespace's settings.
    Config,
    /// Who is alive. Entries expire.
    Workers,
    /// Leases and offsets.
    Offsets,
    /// Attempts, heartbeats and cancellations of activities. Entries expire.
    Activities,
}

/// A message to store.
#[derive(Clone, Debug, Default)]
pub struct Publish {
    /// Its subject. It decides the stream.
    pub subject: String,
    /// Its headers.
    pub headers: Headers,
    /// Its body.
    pub payload: Bytes,
    /// Store it only when this is the sequence of the last message of its subject; 0 when there must be none.
    pub expect_last: Option<u64>,
    /// Store one message with this id within the stream's window of 30 s; a second one is acknowledged and dropped.
    pub id: Option<String>,
    /// Keep it until `at` and then publish it to `target`, a subject of the same stream.
    pub schedule: Option<Schedule>,
}

/// When and where a message goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The instant; one in the past fires at once.
    pub at: Timestamp,
    /// The subject that it is published to.
    pub target: String,
}

/// A value of a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub value: Bytes,
    /// The revision, for conditional updates.
    pub revision: u64,
}

/// A change in a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KvEvent {
    /// A key has a new value.
    Put {
        /// The key.
        key: String,
        /// The value.
        entry: Entry,
    },
    /// A key is gone: deleted or expired.
    Gone {
        /// The key.
        key: String,
    },
    /// All values that were there at the beginning have been told.
    CaughtUp,
}

/// What the engine needs of a broker. A handle is cheap to share.
///
/// Errors say whether a call may be retried; none of the calls retries by itself, except readers and watchers, which
/// go on after a lost connection until they are dropped.
pub trait Broker: fmt::Debug + Send + Sync + 'static {
    /// The subjects of the namespace that this handle is for.
    fn subjects(&self) -> &Subjects;

    /// The largest message the server accepts, in bytes, headers included.
    fn payload_max(&self) -> usize;

    /// The server's clock now (over NATS: the `ts` field of a `STREAM.INFO` answer). Off by at most the round trip.
    fn server_time(&self) -> BoxFuture<'static, Result<Timestamp, Error>>;

    /// Stores a message and waits until the server has it. Calls may be in flight by the thousand; those to one
    /// subject are stored in the order of the calls' first polls.
    ///
    /// [`ErrorKind::NoResponders`](crate::ErrorKind::NoResponders), [`ErrorKind::Conflict`](crate::ErrorKind::Conflict)
    /// and [`ErrorKind::UnderWay`](crate::ErrorKind::UnderWay) mean that it was not stored,
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) that it may have been or may still be.
    fn publish(&self, message: Publish) -> BoxFuture<'static, Result<PubAck, Error>>;

    /// Stores a message as [`publish`](Self::publish) does, and sends an early answer right behind it, before it is
    /// known whether it is stored. The answer gets a reply subject: there the stream's acknowledgement goes, so that
    /// whoever listens to both hears of it at the same time as this process. Says whether the answer was sent; it is
    /// not where the acknowledgement has to go elsewhere.
    fn publish_with_answer(
        &self,
        message: Publish,
        answer: PlainMessage,
    ) -> BoxFuture<'static, Result<(PubAck, bool), Error>> {
        drop(answer);
        Box::pin(self.publish(message).map_ok(|ack| (ack, false)))
    }

    /// Sends a message to be stored, and does not have to wait for the acknowledgement: without one, nothing is known.
    ///
    /// For whoever hears by another way what came of it, mostly, and can publish it once more with the same id
    /// otherwise.
    fn offer(&self, message: Publish) -> BoxFuture<'static, Result<Option<PubAck>, Error>> {
        Box::pin(self.publish(message).map_ok(Some))
    }

    /// Reads one message by its sequence, from any replica. A miss proves nothing.
    fn get(&self, stream: Stream, seq: u64) -> BoxFuture<'static, Result<Option<Message>, Error>>;

    /// Reads messages by their sequences, from any replica, and yields what became of each in the order of `seqs`. All
    /// are asked for at once, so this is for as many as may be under way at a time. A miss proves nothing.
    fn get_each(&self, stream: Stream, seqs: &[u64]) -> BoxStream<Result<Option<Message>, Error>> {
        Box::pin(seqs.iter().map(|seq| self.get(stream, *seq)).collect::<FuturesOrdered<_>>())
    }

    /// Reads one message by its sequence, from the leader: a miss is proof of absence.
    fn get_from_leader(&self, stream: Stream, seq: u64) -> BoxFuture<'static, Result<Option<Message>, Error>>;

    /// Reads the last message of a subject (wildcards allowed), from any replica. A miss proves nothing.
    fn last(&self, stream: Stream, subject: String) -> BoxFuture<'static, Result<Option<Message>, Error>>;

    /// Reads the last message of a subject (wildcards allowed), from the leader: a miss is proof of absence.
    fn last_from_leader(&self, stream: Stream, subject: String) -> BoxFuture<'static, Result<Option<Message>, Error>>;

    /// The sequence of the stream's last message, by the leader.
    fn last_seq(&self, stream: Stream) -> BoxFuture<'static, Result<u64, Error>>;

    /// Deletes one message. Deleting what is not there is no error.
    fn delete(&self, stream: Stream, seq: u64) -> BoxFuture<'static, Result<(), Error>>;

    /// Deletes the messages of a subject up to and including a sequence. A subject is always named: a purge by sequence
    /// alone would take armed timers and the starts of queues that nobody has served yet.
    fn purge(&self, stream: Stream, subject: String, up_to: u64) -> BoxFuture<'static, Result<u64, Error>>;

    /// Reads a stream in order from a sequence on, without acknowledgements: the messages of these subjects, then new
    /// ones as they come. It begins with [`Delivered::CaughtUp`] when there is nothing yet, and tells it once.
    ///
    /// It goes on after interruptions, without gaps and repeats. A stream that has less than was read of it, or
    /// something else, lost messages: that is an error of kind [`ErrorKind::Other`](crate::ErrorKind::Other), and the
    /// end.
    fn read(
        &self,
        stream: Stream,
        subjects: Vec<String>,
        from_seq: u64,
    ) -> BoxFuture<'static, Result<BoxStream<Result<Delivered, Error>>, Error>>;

    /// Takes up to `max` tasks of a queue, waiting up to `wait` for the first one. Each is this process's until its ack
    /// wait passes without progress.
    fn take_tasks(&self, queue: QueueName, max: usize, wait: Duration) -> BoxFuture<'static, Result<Vec<Task>, Error>>;

    /// How long a task stays with a process that shows no progress.
    fn task_ack_wait(&self) -> Duration;

    /// Reads a value, from the leader.
    fn kv_get(&self, bucket: Bucket, key: String) -> BoxFuture<'static, Result<Option<Entry>, Error>>;

    /// Writes a value. With a revision, only when that is the last one (0: only when there is none); returns the new
    /// revision.
    fn kv_put(
        &self,
        bucket: Bucket,
        key: String,
        value: Bytes,
        revision: Option<u64>,
    ) -> BoxFuture<'static, Result<u64, Error>>;

    /// Deletes a value.
    fn kv_delete(&self, bucket: Bucket, key: String) -> BoxFuture<'static, Result<(), Error>>;

    /// Tells all values of a bucket, [`KvEvent::CaughtUp`], and then every change. Entries that expire are told as
    /// gone.
    ///
    /// After an interruption it tells all values again, those that went in between as gone, and
    /// [`KvEvent::CaughtUp`] once more.
    fn kv_watch(&self, bucket: Bucket) -> BoxFuture<'static, Result<BoxStream<Result<KvEvent, Error>>, Error>>;

    /// All keys and values of a bucket, from the leader.
    fn kv_list(&self, bucket: Bucket) -> BoxFuture<'static, Result<Vec<(String, Entry)>, Error>>;

    /// How long an entry of a bucket lives without being renewed; `None` when for ever.
    fn kv_ttl(&self, bucket: Bucket) -> Option<Duration>;

    /// Sends a message outside of any stream. Nobody may be listening.
    fn send(&self, message: PlainMessage) -> BoxFuture<'static, Result<(), Error>>;

    /// Asks and waits for one answer. Fails at once when nobody listens.
    fn request(&self, message: PlainMessage, wait: Duration) -> BoxFuture<'static, Result<PlainMessage, Error>>;

    /// Listens to a subject (wildcards allowed), until the stream is dropped. When this returns, the server knows.
    fn subscribe(&self, subject: String) -> BoxFuture<'static, Result<BoxStream<PlainMessage>, Error>>;

    /// A fresh subject that only this process listens to.
    fn new_inbox(&self) -> String;

    /// Waits until everything sent so far has reached the server.
    fn flush(&self) -> BoxFuture<'static, Result<(), Error>>;

    /// Whether the broker is in this process: no message is lost on the way, no clock differs, and a task is its
    /// taker's for as long as that lives. So nobody needs to look from time to time for what he may have missed.
    fn is_in_process(&self) -> bool {
        false
    }

    /// The same by a connection of its own, which lives on the async runtime that polls this.
    fn dedicated(&self) -> BoxFuture<'static, Result<Arc<dyn Broker>, Error>>;
}

/// What can be done with a task in hand.
pub trait TaskAck: Send + Sync {
    /// It is done: the server forgets it. Waits for the server's confirmation.
    fn done(&self) -> BoxFuture<'_, Result<(), Error>>;

    /// The same without waiting for the confirmation; it may be told some milliseconds later, together with others.
    /// Should it get lost, the task is delivered again.
    fn let_go(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.done()
    }

    /// It is still being worked on: the ack wait starts anew.
    fn progress(&self) -> BoxFuture<'_, Result<(), Error>>;

    /// Deliver it again, after a delay. Never to be called past the ack wait: it would start a third delivery beside
    /// the second.
    fn retry_after(&self, delay: Duration) -> BoxFuture<'_, Result<(), Error>>;
}
