//! The processes that a traced run goes through. What they export depends on their environment.
//!
//! - `traced worker`: serves until its stdin ends.
//! - `traced start <id>`: starts a run.
//! - `traced start-in-span <id>`: starts a run in a span of its own.

use anyhow::bail;
use highwater::prelude::*;
use highwater_tests::traced::{QUEUE, Tools, traced};
use opentelemetry::{
    Context, global,
    trace::{FutureExt, TraceContextExt, Tracer},
};
use tokio::io::AsyncReadExt;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["worker"] => {
            let telemetry = highwater::telemetry::init("traced-worker")?;
            serve().await?;
            telemetry.shutdown();
        }
        ["start", id] => {
            let telemetry = highwater::telemetry::init("traced-starter")?;
            start(id).await?;
            telemetry.shutdown();
        }
        ["start-in-span", id] => {
            let telemetry = highwater::telemetry::init("traced-starter")?;
            let context = Context::current_with_span(global::tracer("starter").start("checkout"));
            start(id).with_context(context.clone()).await?;
            context.span().end();
            telemetry.shutdown();
        }
        _ => bail!("unknown arguments {arguments:?}"),
    }
    Ok(())
}

async fn serve() -> anyhow::Result<()> {
    let highwater = Highwater::connect().await?;
    // Nothing stays in memory between events, so every one of them means a replay.
    let worker = highwater.worker().queue(QUEUE).workflow(traced).activities(Tools).cached_runs(0).build()?;
    let asked_to_stop = async {
        let mut nothing = Vec::new();
        let _ = tokio::io::stdin().read_to_end(&mut nothing).await;
    };
    Ok(worker.run_until(asked_to_stop).await?)
}

async fn start(id: &str) -> anyhow::Result<()> {
    Highwater::connect().await?.client().start(traced, 0).id(id).queue(QUEUE).await?;
    Ok(())
}
