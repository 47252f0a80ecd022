//! The way of spans out of the process.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use opentelemetry::{Key, KeyValue};
use opentelemetry_otlp::SpanExporter as OtlpExporter;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{BatchSpanProcessor, SdkTracerProvider, SpanData, SpanExporter},
};
use tokio::runtime::{self, Runtime};

use crate::TelemetryError;

/// How long the last flush may take when the collector took the spans before, unless the environment says.
const FLUSH_MAX: Duration = Duration::from_secs(5);

/// How long it may take when the collector did not, or was not asked yet. A program that is done must not wait for
/// something that may not be there.
const FLUSH_MAX_UNPROVEN: Duration = Duration::from_millis(800);

/// A tracer provider that exports, and what it runs on.
#[derive(Debug)]
pub(crate) struct Export {
    provider: SdkTracerProvider,
    answered: Arc<AtomicBool>,
    timeout: Option<Duration>,
    runtime: Runtime,
}

impl Export {
    /// Connects lazily: whether a collector is there shows at the first batch. `timeout` is what the environment says.
    pub(crate) fn new(default_service_name: &str, timeout: Option<Duration>) -> Result<Self, TelemetryError> {
        // The exporter's connection lives on a runtime of its own. On the program's, the last flush would wait for a
        // runtime that waits for the flush, when it has but one thread, or has ended already.
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("otlp")
            .enable_all()
            .build()
            .map_err(TelemetryError::Thread)?;
        let entered = runtime.enter();
        let exporter = OtlpExporter::builder().with_tonic().build();
        drop(entered);
        let exporter = match exporter {
            Ok(exporter) => exporter,
            Err(error) => {
                runtime.shutdown_background();
                return Err(error.into());
            }
        };
        let answered = Arc::new(AtomicBool::new(false));
        let exporter = Observed { exporter, answered: Arc::clone(&answered) };
        let provider = SdkTracerProvider::builder()
            .with_resource(resource(default_service_name))
            .with_span_processor(BatchSpanProcessor::builder(exporter).build())
            .build();
        Ok(Self { provider, answered, timeout, runtime })
    }

    pub(crate) fn provider(&self) -> &SdkTracerProvider {
        &self.provider
    }

    /// Exports what has ended, within a bounded time.
    pub(crate) fn shutdown(self) {
        let usual = if self.answered.load(Ordering::Relaxed) { FLUSH_MAX } else { FLUSH_MAX_UNPROVEN };
        let limit = self.timeout.unwrap_or(usual);
        let began = Instant::now();
        if let Err(error) = self.provider.shutdown_with_timeout(limit) {
            tracing::warn!(%error, waited = ?began.elapsed(), "the last spans may not have been exported");
        }
        // Unlike a drop, this may happen on a thread of another runtime.
        self.runtime.shutdown_background();
    }
}

/// The name given in the program is the last resort, the environment goes before it.
fn resource(default_service_name: &str) -> Resource {
    let by_environment = Resource::builder().build();
    let named = by_environment
        .get(&Key::from_static_str("service.name"))
        .is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    let builder = Resource::builder().with_attribute(KeyValue::new("process.pid", i64::from(std::process::id())));
    if named { builder } else { builder.with_service_name(default_service_name.to_owned()) }.build()
}

/// Remembers whether the collector has ever answered.
#[derive(Debug)]
struct Observed {
    exporter: OtlpExporter,
    answered: Arc<AtomicBool>,
}

impl SpanExporter for Observed {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let result = self.exporter.export(batch).await;
        self.answered.store(result.is_ok(), Ordering::Relaxed);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
