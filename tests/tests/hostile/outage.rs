//! NATS is not there, or goes away.

use std::time::{Duration, Instant};

use anyhow::Result;
use futures_util::future::join_all;
use highwater::{ConnectError, ConnectOptions, Highwater, OpenError, prelude::*};
use highwater_devserver::DevServer;
use highwater_tests::{
    deadline::within,
    space::{self, Running},
};

use crate::{normal, still_works};

/// How long the server is away.
const OUTAGE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_told_with_its_address() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let options = ConnectOptions::new(format!("nats://127.0.0.1:{port}")).connect_timeout(Duration::from_secs(1));
    let asked = Instant::now();
    let error = Highwater::open(options, "default").await.expect_err("nobody is there");
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    assert!(matches!(error, OpenError::Connect(ConnectError::Unreachable { .. })), "{error:?}");
    assert!(error.to_string().contains(&port.to_string()), "{error}");
}

/// Takes a few steps and sleeps between them, so that an outage finds it anywhere.
#[workflow]
pub async fn busy(ctx: Ctx, number: u32) -> Result<u32, Exit> {
    let mut sum = 0;
    for _ in 0..10 {
        sum += ctx.step("add", move |_| async move { Ok::<_, String>(number) }).await?;
        ctx.sleep(Duration::from_millis(100)).await?;
    }
    Ok(sum)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_runs_survive_ten_seconds_without_a_server() -> Result<()> {
    let server = DevServer::builder().start().await?;
    let highwater = space::open(&server, "default").await;
    let worker = Running::spawn(highwater.worker().workflow(busy).workflow(normal).build()?);
    let mut runs = Vec::new();
    for number in 0..100 {
        runs.push((number, highwater.client().start(busy, number).await?));
    }
    server.kill().await?;
    // The outage itself is what is tested, so its length is no condition to wait for.
    tokio::time::sleep(OUTAGE).await;
    server.restart().await?;
    let results = join_all(runs.iter().map(|(number, run)| async move { (number * 10, run.result().await) }));
    for (expected, result) in within("a hundred results", results).await {
        assert_eq!(result?, expected);
    }
    still_works(&highwater).await;
    worker.stop().await;
    server.stop().await?;
    Ok(())
}
