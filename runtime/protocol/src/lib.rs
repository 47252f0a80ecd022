//! What Highwater writes down: ids, events, records, requests and the names under which they live.
//!
//! Everything here is a contract. A persisted type keeps its meaning for ever, is covered by a golden
//! file in `tests/golden`, and is the only place where `serde` meets stored data. The crate does no I/O.
//!
//! Reading order: [`ids`] and [`key`] (who), [`subject`] (where), [`payload`] and [`failure`] (what people
//! put in), [`event`] and [`record`] (what a run's history is made of), [`request`] (what is sent to runs),
//! [`task`] and [`timer`] (what runs ask for), [`worker`], [`lease`] and [`namespace`] (who runs what); beside all of
//! it, [`trace`] (where it is seen from outside) and [`export`] (what people keep of it).

#![deny(missing_docs)]

pub mod event;
pub mod export;
pub mod failure;
pub mod header;
pub mod ids;
pub mod key;
pub mod lease;
pub mod namespace;
pub mod partition;
pub mod payload;
pub mod query;
pub mod record;
pub mod rejection;
pub mod reply;
pub mod request;
pub mod retry;
pub mod subject;
pub mod task;
mod text;
pub mod time;
pub mod timer;
pub mod trace;
pub mod wire;
pub mod worker;

pub use event::{Event, OpId, Started};
pub use failure::{Failure, FailureKind, TimeoutKind};
pub use header::Headers;
pub use ids::{InvalidId, Namespace, QueueName, RunId, TypeName, UpdateId, WorkerId, WorkflowId};
pub use key::Key;
pub use payload::{Payload, Payloads};
pub use record::{Mark, Record, Status};
pub use retry::RetryPolicy;
pub use time::Timestamp;
pub use trace::Trace;
