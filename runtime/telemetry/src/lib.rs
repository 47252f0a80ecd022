//! OpenTelemetry for programs with Highwater workers and clients.
//!
//! One call at the beginning of `main`, and a guard that is kept to its end:
//!
//! ```no_run
//! # fn main() -> Result<(), highwater_telemetry::TelemetryError> {
//! let telemetry = highwater_telemetry::init("orders")?;
//! // … the program …
//! telemetry.shutdown();
//! # Ok(())
//! # }
//! ```
//!
//! Everything else is said by the standard environment variables. Without an endpoint among them nothing is exported
//! and no connection is tried:
//!
//! | variable | here |
//! |---|---|
//! | `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` | switch the export on: `http://collector:4317` |
//! | `OTEL_EXPORTER_OTLP_PROTOCOL`, `OTEL_EXPORTER_OTLP_TRACES_PROTOCOL` | `grpc` or nothing; others are refused |
//! | `OTEL_TRACES_EXPORTER` | `otlp` (default) or `none`; others are refused |
//! | `OTEL_SDK_DISABLED` | `true` switches everything off |
//! | `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES` | win over the name given to [`init()`] |
//! | `OTEL_EXPORTER_OTLP_HEADERS`, `…_TIMEOUT`, `…_COMPRESSION` (gzip), `…_INSECURE` | as the specification says |
//! | `OTEL_TRACES_SAMPLER`, `OTEL_TRACES_SAMPLER_ARG`, `OTEL_BSP_…`, `OTEL_SPAN_…_LIMIT` | as the specification says |
//! | `RUST_LOG` | what is logged to stderr; unless set, `info` and above, of the libraries below only `warn` |
//!
//! # What is logged
//!
//! The program's own events of `tracing`, and Highwater's. Those of workflow code need no care: while a run only goes
//! through its history, they are silent, so each is logged once, when it happens; and they stand under a span
//! `workflow` with the workflow's id, its type and the run's id. Both hold for every subscriber, this one or your own:
//! replays are silent because the thread has no subscriber then, and the span is one of `tracing`, of the target
//! `highwater_core` and the level `info`. So a filter that names your crates only, such as `RUST_LOG=shop=debug`,
//! leaves the ids out; `shop=debug,highwater_core=info` keeps them. A span that workflow code opens during a replay and
//! holds beyond it stays silent, the events in it do not.
//!
//! # What is exported
//!
//! - By workers: a span for each attempt of an activity and for each local step, children of what started the run.
//!   Replaying a run exports nothing, as its steps do not run again. An attempt that ends with its process leaves no
//!   span.
//! - By clients: a span for a start, where the caller has none of its own.
//! - The program's own spans, of OpenTelemetry's API or of `tracing` at `info` and above. Inside an activity or a step
//!   they are children of its span.
//!
//! A run that was started by a plain message without a `traceparent` has a trace of its own, derived from its run id.
//! It has no root span: no program was there to measure one, and the SDK cannot export a span under an id chosen
//! beforehand.

#![deny(missing_docs)]

mod error;
mod export;
mod guard;
mod init;
mod settings;

pub use error::TelemetryError;
pub use guard::Guard;
pub use init::init;
