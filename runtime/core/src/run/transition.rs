//! What comes out of a run.

use std::fmt;

use highwater_protocol::{
    Event, Failure, Payload, Payloads, Timestamp, TypeName, UpdateId, event::Attributes, rejection::Rejection,
};

use super::StepRun;

/// How the code ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Conclusion {
    /// With a value.
    Completed(Payload),
    /// With an error.
    Failed(Failure),
    /// After a request to cancel.
    Cancelled(Failure),
    /// To go on as a new run.
    ContinueAsNew(Box<NextRun>),
}

/// The run that a run goes on as. What is not said here it has of the run before.
#[derive(Clone, Debug, PartialEq)]
pub struct NextRun {
    /// Its type.
    pub workflow_type: TypeName,
    /// Its input.
    pub input: Payload,
    /// Notes for it, in the place of those of the same names.
    pub memo: Payloads,
    /// What it can be found by, in the place of attributes of the same names.
    pub attributes: Attributes,
}

impl fmt::Display for Conclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Completed(_) => f.write_str("Completed"),
            Self::Failed(failure) => write!(f, "Failed: {failure}"),
            Self::Cancelled(_) => f.write_str("Cancelled"),
            Self::ContinueAsNew(_) => f.write_str("ContinuedAsNew"),
        }
    }
}

/// What an activation led to.
#[derive(Debug, Default)]
pub struct Transition {
    /// What to record: the inbound events that counted, each followed by the commands they led to.
    pub events: Vec<Event>,
    /// The workflow's time in it. The record must say the same: the code has seen it.
    pub time: Timestamp,
    /// The local steps to run once that is recorded.
    pub steps: Vec<StepRun>,
    /// How the code ended, if it did so now: a run concludes once.
    pub conclusion: Option<Conclusion>,
    /// Updates that are not among the events because they were refused. One that is in neither was accepted before.
    pub refused: Vec<(UpdateId, Rejection)>,
}

impl Transition {
    /// Whether there is nothing to record.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.conclusion.is_none()
    }
}

/// What the code would not do with its events. The run is to be dropped and rebuilt from its history.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskFailure {
    /// What went wrong.
    pub failure: Failure,
}
