//! What activity code holds, and sets of activities.

mod free;

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use highwater_protocol::{
    Failure, FailureKind, OpId, Payload, Payloads, RunId, Timestamp, TypeName, WorkflowId,
    event::{Outcome, Trace},
};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::fault::{Fault, to_failure};

pub use free::{FreeActivities, FreeDef};

/// A future on the heap.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What an activity knows of its own execution.
///
/// An activity that takes a `&ActivityContext` gets it beside its input.
#[derive(Clone, Debug)]
pub struct ActivityContext {
    info: Arc<ActivityInfo>,
    port: Arc<dyn ActivityPort>,
}

/// The facts of one attempt.
#[derive(Clone, Debug)]
pub struct ActivityInfo {
    /// The activity's type.
    pub name: TypeName,
    /// The workflow that called it.
    pub workflow_id: WorkflowId,
    /// The type of that workflow.
    pub workflow_type: TypeName,
    /// The run that called it.
    pub run: RunId,
    /// Which operation of that run.
    pub op: OpId,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// When the activity was first scheduled, by the server's clock.
    pub scheduled_at: Timestamp,
    /// The same for all attempts of this call.
    pub idempotency_key: Uuid,
    /// The longest silence between two heartbeats.
    pub heartbeat_timeout: Option<Duration>,
    /// What the last heartbeat of an earlier attempt carried.
    pub last_heartbeat: Option<Payload>,
    /// How the attempt before failed.
    pub last_failure: Option<Failure>,
    /// The trace of the run.
    pub trace: Option<Trace>,
    /// Context headers: those of the call over those of the run.
    pub headers: Payloads,
}

/// The way from an activity to the worker that runs it.
pub trait ActivityPort: fmt::Debug + Send + Sync {
    /// Takes a heartbeat's details.
    fn heartbeat(&self, details: Payload);
    /// Whether cancellation was asked for.
    fn is_cancelled(&self) -> bool;
    /// Waits until cancellation is asked for.
    fn cancelled(&self) -> BoxFuture<'static, ()>;
}

impl ActivityContext {
    /// Made by the worker.
    pub fn new(info: ActivityInfo, port: Arc<dyn ActivityPort>) -> Self {
        Self { info: Arc::new(info), port }
    }

    /// The facts of this attempt.
    pub fn info(&self) -> &ActivityInfo {
        &self.info
    }

    /// A context header, when it is there and is a `T`.
    pub fn header<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        self.info.headers.get(name)?.decode().ok()
    }

    /// Which attempt this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.info.attempt
    }

    /// A key that is the same for all attempts of this call and differs from every other call's: hand it to the
    /// service you call, so that a second attempt does not do the work twice.
    pub fn idempotency_key(&self) -> Uuid {
        self.info.idempotency_key
    }

    /// Tells that the activity is alive and how far it got. The next attempt can read the details, should this one be
    /// lost.
    ///
    /// Cheap to call often: details are written at most once in a part of the heartbeat timeout, the latest ones win.
    pub fn heartbeat<T: Serialize>(&self, details: &T) {
        match Payload::encode(details) {
            Ok(payload) => self.port.heartbeat(payload),
            Err(error) => {
                tracing::error!(activity = %self.info.name, %error, "heartbeat details cannot be encoded; the heartbeat counts without them");
            }
        }
    }

    /// What the last heartbeat of an earlier attempt carried, when there was one and it is a `T`.
    pub fn last_heartbeat<T: DeserializeOwned>(&self) -> Option<T> {
        let payload = self.info.last_heartbeat.as_ref()?;
        payload
            .decode()
            .inspect_err(|error| tracing::warn!(activity = %self.info.name, %error, "the last heartbeat's details are of another type"))
            .ok()
    }

    /// Whether the run has asked to cancel this activity.
    pub fn is_cancelled(&self) -> bool {
        self.port.is_cancelled()
    }

    /// Waits until the run asks to cancel this activity; for a `select!` beside the work.
    pub fn cancelled(&self) -> BoxFuture<'static, ()> {
        self.port.cancelled()
    }
}

/// One activity of a set, as a worker knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivityName {
    /// The name that tasks carry.
    pub name: &'static str,
    /// The function behind it, for messages to people.
    pub function: &'static str,
}

/// The work of one attempt, ready to run.
pub enum Work {
    /// To be polled on the async runtime.
    Async(BoxFuture<'static, Outcome>),
    /// To be called on a thread of its own, as it blocks.
    Blocking(Box<dyn FnOnce() -> Outcome + Send>),
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Async(_) => "Work::Async",
            Self::Blocking(_) => "Work::Blocking",
        })
    }
}

/// Activities that share their dependencies: what `#[activities]` implements for a struct.
pub trait ActivitySet: Send + Sync + 'static {
    /// The activities in it.
    fn activities(&self) -> Vec<ActivityName>;

    /// Begins an attempt; `None` when no activity has this name.
    fn dispatch(self: Arc<Self>, name: &str, context: &ActivityContext, input: &Payload) -> Option<Work>;
}

/// Decodes an activity's input, or tells in an outcome what does not fit.
pub fn decode_input<T: DeserializeOwned>(name: &str, input: &Payload) -> Result<T, Outcome> {
    input.decode().map_err(|error| {
        Outcome::Failed(Failure::new(
            FailureKind::Payload,
            format!("the input of activity {name} does not fit: {error}"),
        ))
    })
}

/// Records what an activity returned; `non_retryable` judges its error.
pub fn outcome<T: Serialize, E: Fault>(result: Result<T, E>, non_retryable: impl FnOnce(&E) -> bool) -> Outcome {
    match result {
        Ok(value) => match Payload::encode(&value) {
            Ok(payload) => Outcome::Completed(payload),
            Err(error) => Outcome::Failed(Failure::new(FailureKind::Payload, format!("the result: {error}"))),
        },
        Err(error) => Outcome::Failed(to_failure(&error, non_retryable(&error))),
    }
}
