//! Starts workflows and talks to them.
//!
//! A [`Client`] works against the streams directly: there is no server in between, and most of it works while no worker
//! is alive. A start waits in the inbox until one comes, a signal likewise; a history can be read and a run terminated
//! at any time. Only a query needs a worker that answers.
//!
//! - [`Client`]: where everything begins.
//! - [`start`]: starting a run, with the policies for ids that were used before.
//! - [`WorkflowHandle`]: one workflow id, for its [`result`], [`signal`], [`cancel`], [`terminate`], [`query`],
//!   [`describe`] and [`history`].
//!
//! - [`intercept`]: code that stands around all of that, for headers, logging or encryption.
//!
//! Each operation has an error of its own, and every error says whether the same call may do better later.

#![deny(missing_docs)]

mod client;
mod early;
mod handle;
mod pace;
mod port;
mod replies;
mod request;
mod run;

pub mod cancel;
pub mod describe;
pub mod histories;
pub mod history;
pub mod intercept;
pub mod query;
pub mod result;
pub mod signal;
pub mod start;
pub mod terminate;
pub mod typed;
pub mod update;

pub use cancel::CancelError;
pub use client::Client;
pub use describe::{DescribeError, Description};
pub use handle::{Addressed, WorkflowHandle};
pub use highwater_protocol::{
    InvalidId,
    request::{IdConflict, IdReuse},
};
pub use histories::{HistoryFilter, ReadHistoriesError};
pub use history::{HistoryEvent, ReadHistoryError};
pub use intercept::ClientInterceptor;
pub use query::QueryError;
pub use request::Delivered;
pub use result::ResultError;
pub use signal::SignalError;
pub use start::StartError;
pub use terminate::TerminateError;
pub use typed::{Returns, Typed, Untyped};
pub use update::{Update, UpdateError, UpdateHandle};
