use highwater::prelude::*;
use highwater_devserver::DevServer;
use std::time::{Duration, Instant};

#[workflow]
pub async fn noop(_ctx: Ctx, x: u32) -> Result<u32, Exit> {
    Ok(x)
}
#[workflow]
pub async fn steps(ctx: Ctx, n: u32) -> Result<u32, Exit> {
    let mut sum = 0;
    for i in 0..n {
        sum += ctx.step("add", move |_| async move { Ok::<u32, String>(i) }).await?;
    }
    Ok(sum)
}
#[workflow]
pub async fn sleeper(ctx: Ctx, ms: u64) -> Result<u64, Exit> {
    ctx.sleep(Duration::from_millis(ms)).await?;
    Ok(ms)
}
#[workflow]
pub async fn greeter(ctx: Ctx, n: usize) -> Result<Vec<String>, Exit> {
    let mut names = ctx.signals::<String>("name");
    let mut got = vec![];
    while got.len() < n {
        got.push(names.recv().await?);
    }
    Ok(got)
}

#[tokio::test(flavor = "multi_thread")]
async fn smoke() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).init();
    let server = DevServer::builder().start().await?;
    let hw = Highwater::connect_to(server.url()).await?;
    let worker = hw.worker().workflow(noop).workflow(steps).workflow(sleeper).workflow(greeter).build()?;
    let stop = worker.stop_handle();
    let w = tokio::spawn(worker.run());
    let t = Instant::now();
    assert_eq!(hw.client().start(noop, 5).await?.result().await?, 5);
    println!("first noop {:?}", t.elapsed());
    let t = Instant::now();
    for i in 0..100 {
        assert_eq!(hw.client().start(noop, i).await?.result().await?, i);
    }
    println!("100 noops {:?}", t.elapsed());
    let t = Instant::now();
    assert_eq!(hw.client().start(steps, 10).await?.result().await?, 45);
    println!("10 steps {:?}", t.elapsed());
    let t = Instant::now();
    assert_eq!(hw.client().start(sleeper, 300).await?.result().await?, 300);
    println!("sleep 300 {:?}", t.elapsed());
    let h = hw.client().start(greeter, 3).id("greet").await?;
    for n in ["a", "b", "c"] {
        h.signal("name", &n).await?;
    }
    assert_eq!(h.result().await?, ["a", "b", "c"]);
    stop.stop();
    let t = Instant::now();
    w.await??;
    println!("stopped {:?}", t.elapsed());
    Ok(())
}
