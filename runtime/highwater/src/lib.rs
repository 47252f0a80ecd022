//! Durable execution on NATS: workflows as ordinary async functions.
//!
//! A workflow is an `async fn` whose every step is recorded, so that it survives crashes, deploys and months of
//! waiting:
//!
//! ```
//! use std::time::Duration;
//!
//! use highwater::prelude::*;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Clone, Serialize, Deserialize)]
//! pub struct Order {
//!     item: String,
//!     cents: u64,
//! }
//!
//! /// What the activities need: connections, clients, settings.
//! pub struct Shop;
//!
//! #[activities]
//! impl Shop {
//!     #[activity(start_to_close = "10s", retry(maximum_attempts = 5))]
//!     pub async fn charge(&self, order: Order) -> Result<String, String> {
//!         Ok(format!("receipt for {}", order.item))
//!     }
//!
//!     #[activity(start_to_close = "1m")]
//!     pub async fn ask_for_feedback(&self, order: Order) -> Result<(), String> {
//!         Ok(())
//!     }
//! }
//!
//! #[workflow]
//! pub async fn order(ctx: Ctx, order: Order) -> Result<String, Exit> {
//!     let receipt = ctx.run(Shop::charge, order.clone()).await?;
//!     ctx.sleep(Duration::from_secs(5 * 24 * 3600)).await?;
//!     ctx.run(Shop::ask_for_feedback, order).await?;
//!     Ok(receipt)
//! }
//! ```
//!
//! - [`workflow`] and [`Ctx`]: writing workflows; [`Exit`] is how they end other than with a value.
//! - [`activities`], [`activity`] and [`ActivityContext`]: writing activities, the code that may do everything.
//! - [`select!`], [`join!`], [`try_join!`], [`join_all`] and [`try_join_all`]: several operations at a time;
//!   [`buffered`] and [`for_each_concurrent`]: some of many at a time.
//! - [`sync`]: a channel, a lock and a semaphore for the tasks of a run, which [`Ctx::spawn`] begins.
//! - [`Highwater`]: the connection, from which a [`Client`] and [`Worker`]s come.
//! - [`intercept`]: code of yours around all that passes between clients, workflows and activities.
//! - [`wire`]: starting workflows and talking to them without this library, with any NATS client.
//! - `dev`, with the feature `dev`: a private NATS server for programs that are to run by themselves.
//! - `testing`, with the feature `testing`: tests of workflows, in process and with virtual time.
//! - [`lints`]: a list for Clippy of what workflow code must not call.
//! - `telemetry`, with the feature `otlp`: spans of all that runs, exported as the `OTEL_*` variables say. With the
//!   feature `opentelemetry` alone they go to the tracer provider that the program sets; without both no program is
//!   built with OpenTelemetry.

#![deny(missing_docs)]

mod authoring;
mod connection;
#[cfg(feature = "dev")]
pub mod dev;
pub mod guide;
pub mod intercept;
pub mod lints;
pub mod wire;

pub use authoring::*;
pub use connection::{Highwater, OpenError};
pub use highwater_broker::{ConnectError, NamespaceError, nats::ConnectOptions};
pub use highwater_client::{self as client, Client, WorkflowHandle};
#[cfg(feature = "otlp")]
pub use highwater_telemetry as telemetry;
#[cfg(feature = "testing")]
pub use highwater_testing as testing;
pub use highwater_worker::{self as worker, HistoryLimits, Worker, WorkerBuilder};

/// What nearly every program with workflows names.
pub mod prelude {
    #[doc(no_inline)]
    pub use crate::{
        ActivityContext, CallError, Cancelled, Client, Ctx, Exit, Highwater, Worker, activities, activity, join,
        join_all, select, try_join, try_join_all, workflow,
    };
}

#[doc(hidden)]
pub use highwater_core::__private;
