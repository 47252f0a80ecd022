//! The beginning of telemetry.

use std::io::IsTerminal;

use opentelemetry::{global, trace::TracerProvider};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::{Level, Metadata};
use tracing_subscriber::{
    EnvFilter, Layer, filter::FilterFn, layer::SubscriberExt, registry::Registry, util::SubscriberInitExt,
};

use crate::{Guard, TelemetryError, export::Export, settings};

const RUST_LOG: &str = "RUST_LOG";

/// What is logged when `RUST_LOG` does not say: what Highwater and the program tell, and what goes wrong below them.
const DEFAULT_FILTER: &str = "info,async_nats=warn,opentelemetry=warn,opentelemetry_sdk=warn,opentelemetry-otlp=warn";

/// Crates whose `tracing` spans are not exported: the worker's and the client's have OpenTelemetry spans of their own,
/// and those of the exporter's connection would be exported through it, which makes more of them, without end.
const NOT_EXPORTED: [&str; 14] = [
    "async_nats",
    "h2",
    "highwater_broker",
    "highwater_client",
    "highwater_core",
    "highwater_worker",
    "hyper",
    "hyper_util",
    "opentelemetry",
    "opentelemetry-otlp",
    "opentelemetry_otlp",
    "opentelemetry_sdk",
    "tonic",
    "tower",
];

/// Sets up logging to stderr and, if the environment asks for it, the export of spans. See the [crate] for the
/// variables. The service is called `default_service_name` unless they name it.
///
/// Call it once, at the beginning of `main`; it needs no async runtime.
pub fn init(default_service_name: &str) -> Result<Guard, TelemetryError> {
    let filter = log_filter(std::env::var(RUST_LOG).ok())?;
    let variable = |name: &str| std::env::var(name).ok();
    let export = if settings::exports(variable)? {
        Some(Export::new(default_service_name, settings::export_timeout(variable))?)
    } else {
        None
    };
    // From here on, an early return ends the export too.
    let guard = Guard::new(export);
    let log = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_filter(filter);
    let provider = guard.provider();
    let spans = provider.map(|provider| {
        tracing_opentelemetry::layer::<Registry>()
            .with_tracer(provider.tracer("tracing"))
            .with_threads(false)
            .with_filter(FilterFn::new(is_exported).with_max_level_hint(Level::INFO))
    });
    // The layer for spans comes first: it is typed for the bare registry.
    tracing_subscriber::registry().with(spans).with(log).try_init().map_err(TelemetryError::Twice)?;
    if let Some(provider) = provider {
        global::set_text_map_propagator(TraceContextPropagator::new());
        global::set_tracer_provider(provider.clone());
    }
    Ok(guard)
}

fn log_filter(variable: Option<String>) -> Result<EnvFilter, TelemetryError> {
    let value = variable.filter(|value| !value.trim().is_empty()).unwrap_or_else(|| DEFAULT_FILTER.into());
    EnvFilter::try_new(&value).map_err(|source| TelemetryError::Filter { value, source })
}

fn is_exported(metadata: &Metadata<'_>) -> bool {
    let package = metadata.target().split("::").next().unwrap_or_default();
    *metadata.level() <= Level::INFO && !NOT_EXPORTED.contains(&package)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_cannot_be_read_is_named() {
        let error = log_filter(Some("info,x=loud".into())).unwrap_err().to_string();
        assert!(error.contains("info,x=loud"), "{error}");
    }

    #[test]
    fn an_empty_filter_is_the_default_one() {
        let default = log_filter(None).unwrap().to_string();
        assert_eq!(log_filter(Some(" ".into())).unwrap().to_string(), default);
        assert!(default.contains("info") && default.contains("opentelemetry=warn"), "{default}");
        assert_eq!(log_filter(Some("warn".into())).unwrap().to_string(), "warn");
    }
}
