//! What runs ask of each other, through the engine: on subjects that nobody else can publish to, so it is not checked
//! for forgery.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Ask, Meant, StartRequest};
use crate::{
    event::{Attributes, ChildScheduled, OpId, Origin, Outcome, Signal, Trace},
    failure::Failure,
    header::Headers,
    ids::RunId,
    payload::Payloads,
    rejection::{Code, Rejection},
    subject::EngineVerb,
    wire,
};

/// A run starts a child.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChildStart {
    /// The run that starts it.
    pub parent: Origin,
    /// What it asked for.
    pub call: ChildScheduled,
    /// Context headers: those of the call over those of the run.
    #[serde(default, skip_serializing_if = "Payloads::is_empty")]
    pub headers: Payloads,
    /// The trace of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Trace>,
}

/// A run signals another workflow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSignal {
    /// The run that sends it.
    pub origin: Origin,
    /// The run it is meant for; the latest one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// The signal.
    pub signal: Signal,
}

/// A run asks another workflow to cancel itself, or ends a child of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunCancel {
    /// The run that asks, when it wants to know what comes of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// The run it is meant for; the latest one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// Why, for people.
    pub reason: String,
}

/// How a child is getting on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChildReport {
    /// The operation of the parent that started it.
    pub op: OpId,
    /// The child's first run.
    pub child: RunId,
    /// How it is getting on.
    pub state: ChildState,
}

/// How a child is getting on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ChildState {
    /// It is under way.
    Started,
    /// It has ended, or cannot be started.
    Closed(Outcome),
}

/// What came of a message from one run to another workflow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExternalReport {
    /// The operation that sent it.
    pub op: OpId,
    /// Why it was refused, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

impl ChildStart {
    /// As a start.
    fn request(self) -> (Origin, StartRequest) {
        let Self { parent, call, headers, trace } = self;
        let ChildScheduled { workflow_type, run, input, options, memo, attributes, .. } = call;
        let start = StartRequest {
            run: Some(run),
            id_reuse: options.id_reuse,
            run_timeout: options.run_timeout,
            execution_timeout: options.execution_timeout,
            delay: options.delay,
            retry: options.retry,
            memo,
            attributes: checked(attributes),
            headers,
            trace,
            ..StartRequest::new(workflow_type, input)
        };
        (parent, start)
    }
}

/// Attributes were checked when the call was made; what a later limit would refuse is left out rather than lose the
/// child.
fn checked(attributes: Attributes) -> Attributes {
    if attributes.check().is_ok() { attributes } else { Attributes::default() }
}

/// Reads one of the engine's own requests.
pub(super) fn parse(
    verb: EngineVerb,
    run: RunId,
    headers: &Headers,
    body: &[u8],
) -> Result<(Option<Origin>, Ask), Rejection> {
    Ok(match verb {
        EngineVerb::Activity => (None, Ask::Activity { run, report: decode(body)? }),
        EngineVerb::Child => (None, Ask::Child { run, report: decode(body)? }),
        EngineVerb::External => (None, Ask::External { run, report: decode(body)? }),
        EngineVerb::Start => {
            let (parent, mut start) = decode::<ChildStart>(body)?.request();
            start.trace = start.trace.or_else(|| super::trace(headers));
            (Some(parent), Ask::Start(Box::new(start)))
        }
        EngineVerb::Signal => {
            let RunSignal { origin, run, signal } = decode(body)?;
            (Some(origin), Ask::Signal { meant: run.map(Meant::Chain), signal })
        }
        EngineVerb::Cancel => {
            let RunCancel { origin, run, reason } = decode(body)?;
            (origin, Ask::Cancel { meant: run.map(Meant::Chain), reason })
        }
        EngineVerb::Terminate => {
            let RunCancel { origin, run, reason } = decode(body)?;
            (origin, Ask::Terminate { run, reason })
        }
    })
}

fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, Rejection> {
    wire::decode(body).map_err(|e| Rejection::new(Code::BadBody, format!("the engine's request {e}")))
}
