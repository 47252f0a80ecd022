//! The end of telemetry.

use opentelemetry_sdk::trace::SdkTracerProvider;

use crate::export::Export;

/// Keeps telemetry going; exports what is left when it is dropped or [shut down](Self::shutdown).
///
/// That takes at most five seconds, and less than one when the collector has not taken any before; or else what
/// `OTEL_EXPORTER_OTLP_TIMEOUT` says. It blocks the thread.
#[derive(Debug)]
#[must_use = "dropping this ends the export"]
pub struct Guard {
    export: Option<Export>,
}

impl Guard {
    pub(crate) fn new(export: Option<Export>) -> Self {
        Self { export }
    }

    pub(crate) fn provider(&self) -> Option<&SdkTracerProvider> {
        self.export.as_ref().map(Export::provider)
    }

    /// Whether spans are exported.
    pub fn exports(&self) -> bool {
        self.export.is_some()
    }

    /// Exports the spans that have ended. Later ones are lost, so this is the last thing a program does.
    pub fn shutdown(self) {}
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(export) = self.export.take() {
            export.shutdown();
        }
    }
}
