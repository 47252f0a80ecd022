//! What a memory broker is made of.

use std::time::{Duration, SystemTime};

use highwater_protocol::{Namespace, Timestamp};

use super::MemoryBroker;
use crate::{broker::Bucket, rules::ttl};

/// The message size that a NATS server accepts unless it is told otherwise.
const MESSAGE_MAX: usize = 1024 * 1024;
/// How long a task stays with a process that shows no progress, as with NATS unless set.
const TASK_ACK_WAIT: Duration = Duration::from_secs(10);

/// How a [`MemoryBroker`] is to be.
#[derive(Clone, Debug)]
pub struct MemoryOptions {
    pub(super) namespace: Namespace,
    pub(super) partitions: u16,
    pub(super) message_max: usize,
    pub(super) task_ack_wait: Duration,
    pub(super) start: Timestamp,
    pub(super) in_process: bool,
}

impl MemoryOptions {
    /// A namespace of this name with 64 partitions, whose clock shows the time of the system now.
    pub fn new(namespace: Namespace) -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self {
            namespace,
            partitions: 64,
            message_max: MESSAGE_MAX,
            task_ack_wait: TASK_ACK_WAIT,
            start: Timestamp::ZERO.after(since),
            in_process: false,
        }
    }

    /// How many partitions there are.
    pub fn partitions(mut self, partitions: u16) -> Self {
        self.partitions = partitions;
        self
    }

    /// The largest message, in bytes, headers included; 1 MiB unless set.
    pub fn message_max(mut self, bytes: usize) -> Self {
        self.message_max = bytes;
        self
    }

    /// How long a task stays with a process that shows no progress; 10 s unless set.
    pub fn task_ack_wait(mut self, wait: Duration) -> Self {
        self.task_ack_wait = wait;
        self
    }

    /// What the clock shows at the beginning.
    pub fn start_at(mut self, start: Timestamp) -> Self {
        self.start = start;
        self
    }

    /// All handles are of this process, and nothing needs a sign of life: a task is its taker's for as long as that
    /// holds it, and the ack wait begins when the task is dropped; values do not expire. See
    /// [`Broker::is_in_process`](crate::Broker::is_in_process).
    pub fn in_process(mut self) -> Self {
        self.in_process = true;
        self
    }

    /// How long an entry of a bucket lives. Within a process whoever made one takes it away when it ends.
    pub(super) fn ttl(&self, bucket: Bucket) -> Option<Duration> {
        ttl(bucket).filter(|_| !self.in_process)
    }

    /// The broker. Made within the async runtime whose clock it follows.
    pub fn build(self) -> MemoryBroker {
        MemoryBroker::new(self)
    }
}
