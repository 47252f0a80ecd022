//! What the streams, buckets and consumers of a namespace are called.

use highwater_protocol::{Namespace, QueueName};
use uuid::Uuid;

use crate::broker::{Bucket, Stream};

/// All streams of a namespace.
pub(super) const STREAMS: [Stream; 5] =
    [Stream::History, Stream::Inbox, Stream::Tasks, Stream::Timers, Stream::Rejected];
/// All buckets of a namespace.
pub(super) const BUCKETS: [Bucket; 4] = [Bucket::Config, Bucket::Workers, Bucket::Offsets, Bucket::Activities];

/// The longest queue that names its consumer as it is, in escaped bytes. Names end at 255 bytes, and become files.
const QUEUE_PLAIN_MAX: usize = 128;

/// The name of a stream.
pub(super) fn stream(namespace: &Namespace, stream: Stream) -> String {
    let kind = match stream {
        Stream::History => "HISTORY_0",
        Stream::Inbox => "INBOX_0",
        Stream::Tasks => "TASKS_0",
        Stream::Timers => "TIMERS_0",
        Stream::Rejected => "REJECTED",
    };
    format!("HW_{namespace}_{kind}")
}

/// The name of a bucket.
pub(super) fn bucket(namespace: &Namespace, bucket: Bucket) -> String {
    let kind = match bucket {
        Bucket::Config => "config",
        Bucket::Workers => "workers",
        Bucket::Offsets => "offsets",
        Bucket::Activities => "activities",
    };
    format!("HW_{namespace}_{kind}")
}

/// The name of the consumer that all workers of a queue share.
pub(super) fn task_consumer(queue: &QueueName) -> String {
    let key = queue.to_key();
    if key.as_str().len() <= QUEUE_PLAIN_MAX {
        format!("act_{key}")
    } else {
        format!("acth_{}", Uuid::new_v5(&Uuid::NAMESPACE_OID, key.as_str().as_bytes()).simple())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_frozen() {
        let namespace = Namespace::new("shop").unwrap();
        assert_eq!(
            STREAMS.map(|s| stream(&namespace, s)),
            ["HW_shop_HISTORY_0", "HW_shop_INBOX_0", "HW_shop_TASKS_0", "HW_shop_TIMERS_0", "HW_shop_REJECTED"]
        );
        assert_eq!(bucket(&namespace, Bucket::Offsets), "HW_shop_offsets");
        assert_eq!(task_consumer(&QueueName::new("a.b").unwrap()), "act_a=2Eb");
    }

    #[test]
    fn long_queues_have_short_and_different_consumers() {
        let name = |last| task_consumer(&QueueName::new(format!("{}{last}", "q".repeat(400))).unwrap());
        assert_ne!(name('a'), name('b'));
        assert_eq!(name('a').len(), 37);
    }
}
