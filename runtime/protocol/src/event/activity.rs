//! Calls of activities.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::OpId;
use crate::{
    ids::{QueueName, TypeName},
    payload::{Payload, Payloads},
    retry::RetryPolicy,
};

/// The code called an activity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActivityScheduled {
    /// Which operation.
    pub op: OpId,
    /// The activity's type.
    pub name: TypeName,
    /// The queue whose workers run it.
    pub queue: QueueName,
    /// The input.
    pub input: Payload,
    /// Retries and timeouts.
    #[serde(default)]
    pub options: ActivityOptions,
    /// Context headers of this call, beside those of the run.
    #[serde(default, skip_serializing_if = "Payloads::is_empty")]
    pub headers: Payloads,
}

/// Retries and timeouts of an activity.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ActivityOptions {
    /// How failed attempts follow each other.
    pub retry: RetryPolicy,
    /// The longest wait for a worker to take the task.
    #[serde(with = "crate::wire::opt_millis", skip_serializing_if = "Option::is_none")]
    pub schedule_to_start: Option<Duration>,
    /// The longest single attempt.
    #[serde(with = "crate::wire::opt_millis", skip_serializing_if = "Option::is_none")]
    pub start_to_close: Option<Duration>,
    /// The longest time for all attempts and waits together.
    #[serde(with = "crate::wire::opt_millis", skip_serializing_if = "Option::is_none")]
    pub schedule_to_close: Option<Duration>,
    /// The longest silence between two heartbeats.
    #[serde(with = "crate::wire::opt_millis", skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<Duration>,
    /// What becomes of it when the code no longer wants it.
    #[serde(skip_serializing_if = "ActivityCancellation::is_default")]
    pub cancellation: ActivityCancellation,
}

/// What becomes of an activity that its run cancels or drops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ActivityCancellation {
    /// It is asked to cancel, and the code goes on at once as if it had.
    #[default]
    Try,
    /// It is asked to cancel, and the code goes on when it has ended, however that is.
    Wait,
    /// It goes on, and nobody waits for it.
    Abandon,
}

impl ActivityCancellation {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
