//! OpenTelemetry set-up and spans for Highwater.
