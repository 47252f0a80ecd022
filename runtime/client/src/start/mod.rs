//! Starting a run.
//!
//! A start is a request in the inbox, with the sequence that the id's history must have. The owner of the run appends
//! the first record under that condition and answers. If no worker is alive to do so, the client appends the record
//! itself under the same condition, so whichever comes first, there is one run, and a start that was refused can never
//! happen later. See "Start" in `runtime/ARCHITECTURE.md`.

mod attempt;
mod builder;
mod draft;
mod error;
mod messages;
mod policy;
mod proceed;
#[cfg(feature = "opentelemetry")]
mod trace;
#[cfg(not(feature = "opentelemetry"))]
#[path = "untraced.rs"]
mod trace;

use highwater_protocol::{
    QueueName, WorkflowId,
    request::{IdConflict, StartRequest},
};

pub use builder::{DEFAULT_QUEUE, Start};
pub use draft::{Draft, Drafted};
pub use error::StartError;
pub use messages::StartWithUpdate;
pub(crate) use proceed::Outcome as Begun;

/// A start whose names have been checked.
struct Plan {
    id: WorkflowId,
    /// Nobody else can have used the id: it was made just now.
    id_is_new: bool,
    queue: QueueName,
    /// What every attempt asks for; each proposes a run of its own.
    request: StartRequest,
}

impl Plan {
    /// Whether the request has something to say to a run that goes on.
    fn brings_messages(&self) -> bool {
        !self.request.signals.is_empty() || self.request.update.is_some()
    }

    /// Whether it says that to a run that goes on.
    fn joins(&self) -> bool {
        self.request.id_conflict == IdConflict::UseExisting && self.brings_messages()
    }
}
