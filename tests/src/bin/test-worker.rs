//! A worker that tests start in a process of its own, to kill it.

use std::io::Read;

use highwater::prelude::*;
use highwater_tests::crash::{Site, workflows};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_env_filter(EnvFilter::from_default_env())
        .init();
    end_with_the_test();
    let mut asked = signal(SignalKind::terminate())?;

    let highwater = Highwater::connect().await?;
    let site = Site::here();
    let builder = highwater.worker().name(site.worker());
    let worker = workflows::register(builder, site).build()?;
    worker
        .run_until(async move {
            asked.recv().await;
        })
        .await?;
    Ok(())
}

/// The test holds the other end of this process's input.
fn end_with_the_test() {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(1);
    });
}
