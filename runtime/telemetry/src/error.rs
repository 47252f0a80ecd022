//! What can be wrong with the set-up.

use opentelemetry_otlp::ExporterBuildError;
use tracing_subscriber::{filter::ParseError, util::TryInitError};

/// The telemetry cannot be set up as the environment says. Each is a mistake in the set-up that another try does not
/// mend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TelemetryError {
    /// A variable has a value that is not supported.
    #[error("{variable} is {value:?}, which is not supported; use {supported}")]
    Unsupported {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: String,
        /// What may be there.
        supported: &'static str,
    },
    /// `RUST_LOG` cannot be read.
    #[error("RUST_LOG is {value:?}, which is no filter: {source}")]
    Filter {
        /// Its value.
        value: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// The exporter does not accept its settings.
    #[error("the exporter cannot be set up: {0}")]
    Exporter(#[from] ExporterBuildError),
    /// The exporter's thread cannot be started.
    #[error("the exporter's thread cannot be started: {0}")]
    Thread(#[source] std::io::Error),
    /// The program has set up logging already.
    #[error("logging is set up already; call `init` once, and no other set-up of `tracing` beside it")]
    Twice(#[source] TryInitError),
}
