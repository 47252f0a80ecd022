//! Whether to export, by the environment. How to is read by the SDK itself.

use std::time::Duration;

use crate::TelemetryError;

const DISABLED: &str = "OTEL_SDK_DISABLED";
const EXPORTER: &str = "OTEL_TRACES_EXPORTER";
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
const PROTOCOLS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
const TIMEOUTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];

/// Whether spans are to be exported over OTLP.
pub(crate) fn exports(variable: impl Fn(&str) -> Option<String>) -> Result<bool, TelemetryError> {
    // By the specification, an empty variable is one that is not set.
    let set = |name: &str| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
    if set(DISABLED).is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Ok(false);
    }
    match set(EXPORTER) {
        Some(value) if value.eq_ignore_ascii_case("none") => return Ok(false),
        Some(value) if !value.eq_ignore_ascii_case("otlp") => {
            return Err(TelemetryError::Unsupported { variable: EXPORTER, value, supported: "`otlp` or `none`" });
        }
        _ => {}
    }
    if !ENDPOINTS.into_iter().any(|name| set(name).is_some()) {
        return Ok(false);
    }
    // The variable for traces goes before the one for all signals.
    let protocol = PROTOCOLS.into_iter().find_map(|variable| Some((variable, set(variable)?)));
    match protocol {
        Some((variable, value)) if !value.eq_ignore_ascii_case("grpc") => {
            Err(TelemetryError::Unsupported { variable, value, supported: "`grpc`, usually at port 4317" })
        }
        _ => Ok(true),
    }
}

/// How long an export may take, where the environment says so. What is no number of milliseconds the SDK complains of.
pub(crate) fn export_timeout(variable: impl Fn(&str) -> Option<String>) -> Option<Duration> {
    let timeout = TIMEOUTS.into_iter().find_map(|name| variable(name)?.trim().parse().ok());
    timeout.filter(|millis| *millis > 0).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> Result<bool, TelemetryError> {
        exports(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4317");

    #[test]
    fn an_endpoint_switches_the_export_on_and_nothing_else_does() {
        assert!(!with(&[]).unwrap());
        assert!(!with(&[("OTEL_TRACES_EXPORTER", "otlp"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]).unwrap());
        assert!(!with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]).unwrap());
        assert!(with(&[ENDPOINT]).unwrap());
        assert!(with(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://localhost:4317")]).unwrap());
    }

    #[test]
    fn it_can_be_switched_off_in_spite_of_an_endpoint() {
        assert!(!with(&[ENDPOINT, ("OTEL_SDK_DISABLED", "True")]).unwrap());
        assert!(with(&[ENDPOINT, ("OTEL_SDK_DISABLED", "yes")]).unwrap(), "only `true` disables");
        assert!(!with(&[ENDPOINT, ("OTEL_TRACES_EXPORTER", "none")]).unwrap());
    }

    #[test]
    fn what_is_not_supported_is_named() {
        let error = with(&[ENDPOINT, ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")]).unwrap_err().to_string();
        assert!(error.contains("OTEL_EXPORTER_OTLP_PROTOCOL") && error.contains("http/protobuf"), "{error}");
        let error = with(&[ENDPOINT, ("OTEL_TRACES_EXPORTER", "zipkin")]).unwrap_err().to_string();
        assert!(error.contains("OTEL_TRACES_EXPORTER") && error.contains("zipkin"), "{error}");
    }

    #[test]
    fn a_timeout_is_in_milliseconds() {
        let timeout = |value: &str| export_timeout(|name| (name == "OTEL_EXPORTER_OTLP_TIMEOUT").then(|| value.into()));
        assert_eq!(timeout("1500"), Some(Duration::from_millis(1500)));
        assert_eq!((timeout("0"), timeout("soon"), timeout("")), (None, None, None));
    }

    #[test]
    fn the_protocol_for_traces_goes_before_the_one_for_all_signals() {
        let (all, traces) = ("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL");
        assert!(with(&[ENDPOINT, (all, "http/protobuf"), (traces, "grpc")]).unwrap());
        assert!(with(&[ENDPOINT, (all, "grpc"), (traces, "http/json")]).is_err());
    }
}
