//! One run, several processes, one trace.

#[path = "../../../runtime/telemetry/tests/otlp/collector.rs"]
mod collector;

use std::{process::Stdio, time::Duration};

use anyhow::Context;
use collector::{Collector, Seen};
use highwater::{WorkflowHandle, client::HistoryEvent, prelude::*};
use highwater_broker::{Broker, PlainMessage};
use highwater_devserver::DevServer;
use highwater_protocol::{Event, Headers};
use highwater_tests::traced::{QUEUE, traced};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use tokio::{
    process::{Child, Command},
    time::timeout,
};

/// How long a run may take altogether, the takeover from a worker that was killed included.
const PATIENCE: Duration = Duration::from_mins(1);

/// Pause between two looks at something that does not tell when it changes.
const POLL: Duration = Duration::from_millis(20);

struct World {
    server: DevServer,
    collector: Collector,
    highwater: Highwater,
}

impl World {
    async fn new() -> anyhow::Result<Self> {
        let server = DevServer::builder().start().await?;
        let highwater = Highwater::connect_to(server.url()).await?;
        Ok(Self { collector: Collector::start(), server, highwater })
    }

    /// A process that exports to the collector soon after each span.
    fn process(&self, arguments: &[&str]) -> anyhow::Result<Child> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_traced"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OTEL_") || name.starts_with("NATS_")) {
            command.env_remove(name);
        }
        command
            .args(arguments)
            .env("NATS_URL", self.server.url())
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", &self.collector.endpoint)
            .env("RUST_LOG", "error")
            .env("OTEL_BSP_SCHEDULE_DELAY", "50")
            // A machine that is busy with other tests is slow to connect, and every span counts here.
            .env("OTEL_EXPORTER_OTLP_TIMEOUT", "20000")
            .stdin(Stdio::piped())
            .kill_on_drop(true);
        Ok(command.spawn()?)
    }

    fn handle(&self, id: &str) -> anyhow::Result<WorkflowHandle<traced>> {
        Ok(self.highwater.client().handle_of(traced, id)?)
    }

    async fn finish(&self, id: &str) -> anyhow::Result<()> {
        let handle = self.handle(id)?;
        handle.signal("go", &()).await?;
        let result = timeout(PATIENCE, handle.result()).await.context("no result in time")??;
        assert_eq!(result, 5);
        Ok(())
    }
}

/// Lets a process end by itself, so that it exports all it has.
async fn end(mut process: Child) -> anyhow::Result<()> {
    drop(process.stdin.take());
    let status = timeout(PATIENCE, process.wait()).await.context("the process does not end")??;
    anyhow::ensure!(status.success(), "{status}");
    Ok(())
}

fn named<'a>(seen: &'a [Seen], name: &str) -> Vec<&'a Seen> {
    seen.iter().filter(|span| span.name == name).collect()
}

fn one<'a>(seen: &'a [Seen], name: &str) -> &'a Seen {
    let [span] = named(seen, name)[..] else { panic!("not one span {name:?} in {seen:#?}") };
    span
}

/// What the run does itself: spans that are there exactly once, in this order of names.
fn of_the_run(seen: &[Seen]) -> Vec<(&str, &str)> {
    let attempt = |span: &'_ Seen| span.attributes.get("highwater.attempt").cloned().unwrap_or_default();
    let mut own: Vec<_> = seen.iter().filter(|span| span.attributes.contains_key("highwater.run_id")).collect();
    own.sort_by_key(|span| (span.name.clone(), attempt(span)));
    own.into_iter()
        .map(|span| (span.name.as_str(), span.attributes.get("highwater.attempt").map_or("", String::as_str)))
        .collect()
}

const ALL: [(&str, &str); 6] = [
    ("activity falter", "1"),
    ("activity falter", "2"),
    ("activity grind", "1"),
    ("activity measure", "1"),
    ("step finish", ""),
    ("step prepare", ""),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_attempt_and_step_is_exported_once_under_the_starters_span_in_spite_of_a_kill() -> anyhow::Result<()> {
    let world = World::new().await?;
    let mut first = world.process(&["worker"])?;
    end(world.process(&["start-in-span", "order"])?).await?;

    // What the first worker did has been exported when it is killed, and the run waits for its signal.
    world.collector.wait_until(|seen| of_the_run(seen).len() == 3).await;
    let waits = async {
        let closed = |event: &HistoryEvent| matches!(event.event, Event::ActivityClosed { .. });
        while world.handle("order")?.history().await?.iter().filter(|event| closed(event)).count() < 2 {
            tokio::time::sleep(POLL).await;
        }
        anyhow::Ok(())
    };
    timeout(PATIENCE, waits).await.context("the run does not get to its signal")??;
    let first_id = first.id().context("it runs")?.to_string();
    first.kill().await?;
    let second = world.process(&["worker"])?;
    world.finish("order").await?;
    end(second).await?;

    let seen = world.collector.wait_until(|seen| seen.len() >= 10).await;
    assert_eq!(of_the_run(&seen), ALL, "{seen:#?}");
    let checkout = one(&seen, "checkout");
    assert_eq!(checkout.resource["service.name"], "traced-starter");
    assert!(named(&seen, "start traced").is_empty(), "the caller has a span of its own");
    assert!(seen.iter().all(|span| span.trace_id == checkout.trace_id), "{seen:#?}");
    for span in seen.iter().filter(|span| span.attributes.contains_key("highwater.run_id")) {
        assert_eq!(span.parent_id, checkout.span_id, "{span:#?}");
        assert_eq!(span.resource["service.name"], "traced-worker");
        assert_eq!(span.attributes["highwater.workflow_id"], "order");
        assert_eq!(span.attributes["highwater.workflow_type"], "traced");
        assert_eq!(span.attributes["highwater.queue"], QUEUE);
    }

    let (measure, grind) = (one(&seen, "activity measure"), one(&seen, "activity grind"));
    assert_eq!((measure.kind, one(&seen, "step prepare").kind), (SpanKind::Consumer as i32, SpanKind::Internal as i32));
    assert_eq!(measure.attributes["highwater.activity"], "measure");
    assert_eq!(one(&seen, "step finish").attributes["highwater.step"], "finish");
    assert_eq!(one(&seen, "inside measure").parent_id, measure.span_id);
    assert_eq!(one(&seen, "inside grind").parent_id, grind.span_id);
    assert_eq!(one(&seen, "inside prepare").parent_id, one(&seen, "step prepare").span_id);
    let errors: Vec<_> = seen.iter().filter_map(|span| Some((span.name.as_str(), span.error.as_deref()?))).collect();
    assert_eq!(errors, [("activity falter", "out of breath")]);

    // Two processes took part, each with what it ran itself.
    let process = |name| &one(&seen, name).resource["process.pid"];
    assert_eq!((process("step prepare"), process("activity grind")), (&first_id, &first_id));
    assert_ne!(process("step finish"), &first_id);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_starter_without_a_span_opens_one_for_the_run() -> anyhow::Result<()> {
    let world = World::new().await?;
    let worker = world.process(&["worker"])?;
    end(world.process(&["start", "alone"])?).await?;
    world.finish("alone").await?;
    end(worker).await?;

    let seen = world.collector.wait_until(|seen| seen.len() >= 10).await;
    assert_eq!(of_the_run(&seen), ALL, "{seen:#?}");
    let start = one(&seen, "start traced");
    assert_eq!((start.parent_id.as_str(), start.kind), ("", SpanKind::Producer as i32));
    assert_eq!(start.attributes["highwater.workflow_id"], "alone");
    assert!(seen.iter().all(|span| span.trace_id == start.trace_id), "{seen:#?}");
    assert_eq!(one(&seen, "step prepare").parent_id, start.span_id);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_nobody_traces_has_a_trace_made_of_its_id() -> anyhow::Result<()> {
    let world = World::new().await?;
    let worker = world.process(&["worker"])?;
    let start = PlainMessage {
        subject: format!("hw.default.do.start.{QUEUE}.traced.plain"),
        reply: None,
        headers: Headers::new(),
        payload: "0".into(),
    };
    world.highwater.broker().send(start).await?;
    let started = async {
        while let Err(error) = world.handle("plain")?.describe().await {
            anyhow::ensure!(matches!(error, highwater::client::DescribeError::NotFound { .. }), error);
            tokio::time::sleep(POLL).await;
        }
        anyhow::Ok(())
    };
    timeout(PATIENCE, started).await.context("the run does not start")??;
    world.finish("plain").await?;
    end(worker).await?;

    let seen = world.collector.wait_until(|seen| seen.len() >= 9).await;
    assert_eq!(of_the_run(&seen), ALL, "{seen:#?}");
    let run = &one(&seen, "step prepare").attributes["highwater.run_id"];
    assert!(seen.iter().all(|span| span.trace_id == *run), "{run}: {seen:#?}");
    let parents: Vec<_> = ALL.map(|(name, _)| named(&seen, name)[0].parent_id.clone()).into();
    assert!(parents.iter().all(|parent| *parent == parents[0] && !parent.is_empty()), "{parents:?}");
    Ok(())
}
