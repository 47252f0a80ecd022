//! Messages to runs: signals, updates, and what runs send to each other.

use serde::{Deserialize, Serialize};

use super::OpId;
use crate::{
    ids::{QueueName, RunId, TypeName, UpdateId, WorkflowId},
    payload::{Payload, Payloads},
};

/// A signal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Signal {
    /// Its name.
    pub name: TypeName,
    /// What it carries.
    pub input: Payload,
    /// Context of the sender's.
    #[serde(default, skip_serializing_if = "Payloads::is_empty")]
    pub headers: Payloads,
    /// The run that sent it, when it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Sender>,
}

impl Signal {
    /// A signal from outside.
    pub fn new(name: TypeName, input: Payload) -> Self {
        Self { name, input, headers: Payloads::default(), from: None }
    }
}

/// A message of another run's. A run remembers those that it took, so that one which is sent again is not a second one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Sender {
    /// The run that sent it.
    pub run: RunId,
    /// The operation there.
    pub op: OpId,
}

/// A request that a run answers when it has done it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Update {
    /// What the sender calls it: a second update with the same id is the same one.
    pub id: UpdateId,
    /// The handler's name.
    pub name: TypeName,
    /// What it carries.
    pub input: Payload,
    /// Context of the sender's.
    #[serde(default, skip_serializing_if = "Payloads::is_empty")]
    pub headers: Payloads,
    /// Where the outcome goes, beside the history: an inbox of the sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
}

/// The code sends something to another workflow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExternalScheduled {
    /// Which operation.
    pub op: OpId,
    /// To whom.
    pub target: Target,
    /// What.
    pub request: ExternalRequest,
}

/// A workflow, as another one addresses it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Its id.
    pub workflow_id: WorkflowId,
    /// Its queue, or the sender's own: whoever reads it there passes it on.
    pub queue: QueueName,
    /// Only this run; the latest one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
}

/// What one workflow sends to another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ExternalRequest {
    /// A signal.
    Signal(Signal),
    /// A request to cancel itself.
    Cancel {
        /// Why, for people.
        reason: String,
    },
}
