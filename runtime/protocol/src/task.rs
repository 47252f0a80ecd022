//! Activity tasks and their outcomes.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    event::{ActivityScheduled, OpId, Outcome, Trace},
    failure::Failure,
    ids::{QueueName, RunId, TypeName, WorkflowId},
    payload::{Payload, Payloads},
    time::Timestamp,
};

/// One attempt of an activity, for whichever worker takes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActivityTask {
    /// The workflow that called it.
    pub workflow_id: WorkflowId,
    /// The type of that workflow.
    pub workflow_type: TypeName,
    /// The run that called it.
    pub run: RunId,
    /// The queue of that run, where the outcome goes.
    pub run_queue: QueueName,
    /// What was called.
    pub call: ActivityScheduled,
    /// The attempt when the message is delivered first; a message delivered `n` times is attempt `attempt + n - 1`.
    pub attempt: u32,
    /// When the activity was first scheduled.
    pub scheduled_at: Timestamp,
    /// The run's trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Trace>,
    /// Context headers: those of the call over those of the run.
    #[serde(default, skip_serializing_if = "Payloads::is_empty")]
    pub headers: Payloads,
}

impl ActivityTask {
    /// The same for all attempts of this call and different for every other: for the activity to hand to whatever it
    /// calls, so that a second attempt does not charge a card twice.
    pub fn idempotency_key(&self) -> Uuid {
        idempotency_key(self.run, self.call.op)
    }
}

/// The key of an operation that is the same over all its attempts (UUID version 5, RFC 9562).
pub fn idempotency_key(run: RunId, op: OpId) -> Uuid {
    Uuid::new_v5(&run.0, &op.0.to_be_bytes())
}

/// The outcome of an activity, on its way to the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActivityReport {
    /// Which operation of the run.
    pub op: OpId,
    /// The attempt that decided.
    pub attempt: u32,
    /// How it ended.
    pub outcome: Outcome,
}

/// What is known of an activity beside its task: kept in the `activities` bucket, never on the happy path.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ActivityState {
    /// The attempt that wrote this.
    pub attempt: u32,
    /// What the last heartbeat carried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<Payload>,
    /// How the last attempt failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<Failure>,
    /// Whether the run has asked for cancellation.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cancel_requested: bool,
    /// Who decided first whether the activity started in time; only with a schedule-to-start timeout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<StartDecision>,
    /// How many deliveries of the present message no attempt came of, as the worker had no use for it.
    #[serde(skip_serializing_if = "is_zero")]
    pub passed_on: u32,
}

impl ActivityState {
    /// Its key in the bucket.
    pub fn key(run: RunId, op: OpId) -> String {
        format!("{run}.{op}")
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// Whether an activity with a schedule-to-start timeout started in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StartDecision {
    /// A worker has it.
    Started,
    /// The timeout came first; no worker may start it.
    TimedOut,
}

/// A request to the workers of a queue to cancel an activity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelActivity {
    /// The run that called it.
    pub run: RunId,
    /// Which operation.
    pub op: OpId,
}
