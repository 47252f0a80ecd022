//! Who owns a partition, and how far it has been read: one bucket entry for both, so that they cannot part.

use serde::{Deserialize, Serialize};

use crate::{
    ids::{QueueName, WorkerId},
    key::Key,
    record::Mark,
};

/// An entry of the `offsets` bucket: the lease of a partition of a queue, and the offsets behind which everything is
/// done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lease {
    /// The worker that owns the partition now.
    pub owner: Option<WorkerId>,
    /// Grows by one with every change of owner.
    pub epoch: u64,
    /// Who asks the owner to let go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wanted_by: Option<WorkerId>,
    /// Requests up to here are consumed and need nobody's memory, but for the busy ones.
    pub inbox: Mark,
    /// Fired timers likewise.
    pub fires: Mark,
    /// Runs with events at or below the offsets that are recorded, but whose consequences are still in the owner's
    /// memory.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub busy: Vec<Key>,
}

impl Lease {
    /// How many busy runs an entry lists at most. With more, the offsets wait.
    pub const BUSY_MAX: usize = 256;

    /// The bucket key of a partition of a queue.
    pub fn bucket_key(partition: u16, queue: &QueueName) -> String {
        format!("{}.{partition}.{}", crate::subject::SHARD, queue.to_key())
    }
}
