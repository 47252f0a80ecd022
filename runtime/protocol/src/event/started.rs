//! The first event of a run.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Attributes, OpId, Sender, Signal, Trace};
use crate::{
    failure::Failure,
    ids::{QueueName, RunId, TypeName, WorkflowId},
    payload::{Payload, Payloads},
    retry::RetryPolicy,
    time::Timestamp,
};

/// The first event of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Started {
    /// The id that the starter gave.
    pub workflow_id: WorkflowId,
    /// The type of the workflow.
    pub workflow_type: TypeName,
    /// The queue whose workers run it.
    pub queue: QueueName,
    /// The input.
    pub input: Payload,
    /// How long the run may take.
    #[serde(default, with = "crate::wire::opt_millis", skip_serializing_if = "Option::is_none")]
    pub run_timeout: Option<Duration>,
    /// Where the result goes, beside the history: an inbox of the starter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
    /// The starter's trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Trace>,
    /// The sequence of the last record of the run before this one under the same id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prior: Option<u64>,
    /// The run that continued as this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continued_from: Option<RunId>,
    /// Signals that came with the start, or that the run before had not taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signals: Vec<Signal>,
    /// Which messages of other runs the run before has taken: see [`Sender`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taken: Vec<Sender>,
    /// Which requests of other runs to cancel it has taken. A child is started and cancelled under one and the same
    /// sender, so these are apart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taken_cancels: Vec<Sender>,
    /// The run that started this one as its child.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Origin>,
    /// The first run of the chain that this one continues or tries again; absent for the first itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_run: Option<RunId>,
    /// When the whole chain must have ended: the first run's start and the execution timeout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// Before this the code does not begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_until: Option<Timestamp>,
    /// How a failed run is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryPolicy>,
    /// Which attempt this is by the retry policy, from 1.
    #[serde(default = "super::first", skip_serializing_if = "super::is_first")]
    pub attempt: u32,
    /// How the attempt before failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<Failure>,
    /// Notes of the starter's, readable from outside and by the code.
    #[serde(default, skip_serializing_if = "Payloads::is_empty")]
    pub memo: Payloads,
    /// What the run can be found by.
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub attributes: Attributes,
    /// Context that goes with the run into its activities and children.
    #[serde(default, skip_serializing_if = "Payloads::is_empty")]
    pub headers: Payloads,
}

impl Started {
    /// The first event of a run about which nothing is said but what it must have.
    pub fn new(workflow_id: WorkflowId, workflow_type: TypeName, queue: QueueName, input: Payload) -> Self {
        Self {
            workflow_id,
            workflow_type,
            queue,
            input,
            run_timeout: None,
            reply: None,
            trace: None,
            prior: None,
            continued_from: None,
            signals: Vec::new(),
            taken: Vec::new(),
            taken_cancels: Vec::new(),
            parent: None,
            first_run: None,
            deadline: None,
            delay_until: None,
            retry: None,
            attempt: 1,
            last_failure: None,
            memo: Payloads::default(),
            attributes: Attributes::default(),
            headers: Payloads::default(),
        }
    }
}

/// An operation of a run, as somebody else names it: the parent of a child, the sender of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The workflow.
    pub workflow_id: WorkflowId,
    /// Its run.
    pub run: RunId,
    /// The queue of that run, where answers go.
    pub queue: QueueName,
    /// The operation.
    pub op: OpId,
}
