//! Child workflows.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Attributes, OpId};
use crate::{
    ids::{QueueName, RunId, TypeName, WorkflowId},
    payload::{Payload, Payloads},
    request::IdReuse,
    retry::RetryPolicy,
};

/// The code starts a child workflow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChildScheduled {
    /// Which operation.
    pub op: OpId,
    /// The child's id.
    pub workflow_id: WorkflowId,
    /// Its type.
    pub workflow_type: TypeName,
    /// Its queue.
    pub queue: QueueName,
    /// The run id that it gets: the same whenever the start is sent again.
    pub run: RunId,
    /// Its input.
    pub input: Payload,
    /// Timeouts, policies.
    #[serde(default)]
    pub options: ChildOptions,
    /// Notes for it.
    #[serde(default, skip_serializing_if = "Payloads::is_empty")]
    pub memo: Payloads,
    /// What it can be found by.
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub attributes: Attributes,
    /// Context headers of this call, beside those of the run.
    #[serde(default, skip_serializing_if = "Payloads::is_empty")]
    pub headers: Payloads,
}

/// Timeouts and policies of a child.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ChildOptions {
    /// What becomes of it when the run that started it ends.
    #[serde(skip_serializing_if = "is_default")]
    pub parent_close: ParentClose,
    /// What becomes of it when the code no longer wants it.
    #[serde(skip_serializing_if = "is_default")]
    pub cancellation: ChildCancellation,
    /// Whether the id of a closed run may be used again.
    #[serde(skip_serializing_if = "is_default")]
    pub id_reuse: IdReuse,
    /// The longest run.
    #[serde(with = "crate::wire::opt_millis", skip_serializing_if = "Option::is_none")]
    pub run_timeout: Option<Duration>,
    /// The longest time for all runs of the chain.
    #[serde(with = "crate::wire::opt_millis", skip_serializing_if = "Option::is_none")]
    pub execution_timeout: Option<Duration>,
    /// How a failed run is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryPolicy>,
    /// How long the code waits before it begins.
    #[serde(with = "crate::wire::opt_millis", skip_serializing_if = "Option::is_none")]
    pub delay: Option<Duration>,
}

/// What becomes of a child when the run that started it ends, in whichever way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ParentClose {
    /// It is terminated.
    #[default]
    Terminate,
    /// It is asked to cancel itself.
    RequestCancel,
    /// It goes on.
    Abandon,
}

/// What becomes of a child whose run is cancelled or drops it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChildCancellation {
    /// It is asked to cancel, and the code goes on when it has ended, however that is.
    #[default]
    WaitCompleted,
    /// It is asked to cancel, and the code goes on when that is in its history.
    WaitRequested,
    /// It is asked to cancel, and the code goes on at once.
    Try,
    /// It goes on, and nobody waits for it.
    Abandon,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
