//! What a worker tells the others about itself.

use serde::{Deserialize, Serialize};

use crate::ids::{QueueName, TypeName, WorkerId};

/// An entry of the `workers` bucket, renewed while the worker lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// The worker.
    pub worker: WorkerId,
    /// What it calls itself: host and process, for people.
    pub name: String,
    /// The queues whose runs it takes, each with the workflow types it knows. Empty for a worker of activities only.
    pub queues: Vec<ServedQueue>,
}

/// A queue that a worker serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServedQueue {
    /// Its name.
    pub queue: QueueName,
    /// The workflow types that the worker knows, sorted.
    pub types: Vec<TypeName>,
}
