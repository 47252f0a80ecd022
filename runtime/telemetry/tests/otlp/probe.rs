//! A program with telemetry and nothing else: what its tests run, in an environment of their making.
//!
//! `telemetry-probe current|multi`: the flavour of the async runtime.

use std::{process::ExitCode, time::Instant};

use opentelemetry::{
    KeyValue, global,
    trace::{FutureExt, Span, Status, TraceContextExt, Tracer},
};
use tokio::runtime;
use tracing::Instrument;

fn main() -> ExitCode {
    let mut builder = match std::env::args().nth(1).as_deref() {
        Some("current") => runtime::Builder::new_current_thread(),
        _ => runtime::Builder::new_multi_thread(),
    };
    let runtime = builder.enable_all().build().expect("a runtime");
    runtime.block_on(run())
}

/// Begins and ends telemetry inside the runtime, where blocking does the most harm.
async fn run() -> ExitCode {
    let telemetry = match highwater_telemetry::init("probe") {
        Ok(telemetry) => telemetry,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    println!("exports: {}", telemetry.exports());
    let span = global::tracer("probe")
        .span_builder("outer")
        .with_attributes([KeyValue::new("colour", "green")])
        .start(&global::tracer("probe"));
    let context = opentelemetry::Context::current_with_span(span);
    // Made inside: a span of `tracing` has for its parent what is current when it is made.
    let inner = async { work().instrument(tracing::info_span!("inner", size = 7)).await };
    inner.with_context(context.clone()).await;
    context.span().set_status(Status::error("out of paint"));
    context.span().end();
    let began = Instant::now();
    telemetry.shutdown();
    println!("flushed in ms: {}", began.elapsed().as_millis());
    ExitCode::SUCCESS
}

async fn work() {
    tracing::info!("at work");
    tokio::task::yield_now().await;
    // Spans that are no use to anybody: below the level, or of the connection that exports them.
    tracing::debug_span!("too fine").in_scope(|| ());
    tracing::info_span!(target: "h2::client", "of the exporter").in_scope(|| ());
    global::tracer("probe").start("innermost").end();
}
