//! Several operations at a time.

use std::time::Duration;

use anyhow::Result;
use highwater::{FreeActivities, prelude::*};
use highwater_tests::{
    deadline::within,
    space::{self, Running},
};

use crate::SERVER;

#[activity(start_to_close = "10s", retry(maximum_attempts = 1))]
async fn square(number: u32) -> Result<u32, String> {
    if number == 13 { Err("unlucky".into()) } else { Ok(number * number) }
}

#[workflow]
async fn many(ctx: Ctx, count: u32) -> Result<u32, Exit> {
    let squares = join_all((0..count).filter(|n| *n != 13).map(|n| ctx.run(square, n))).await;
    let mut sum = 0;
    for square in squares {
        sum += square?;
    }
    let (a, b, slept) = join!(
        ctx.run(square, 2),
        ctx.step("three", |_| async { Ok::<u32, String>(3) }),
        ctx.sleep(Duration::from_millis(10)),
    );
    slept?;
    let (c, d) = try_join!(ctx.run(square, 4), ctx.run(square, 5))?;
    Ok(sum + a? + b? + c + d)
}

#[workflow]
async fn first_failure(ctx: Ctx, (): ()) -> Result<(), Exit> {
    try_join_all((12..15).map(|n| ctx.run(square, n))).await?;
    Ok(())
}

#[workflow]
async fn race(ctx: Ctx, (): ()) -> Result<Vec<String>, Exit> {
    let mut names = ctx.signals::<String>("name");
    let mut heard = Vec::new();
    loop {
        select! {
            name = names.recv() => heard.push(name?),
            slept = ctx.sleep(Duration::from_millis(700)) => { slept?; heard.push("silence".into()); return Ok(heard) }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_are_joined_and_raced() -> Result<()> {
    let highwater = space::open(&SERVER, "composing").await;
    let worker = highwater.worker().workflow(many).workflow(first_failure).workflow(race);
    let worker = Running::spawn(worker.activities(FreeActivities::new().with(square)).build()?);
    let client = highwater.client();
    let run = client.start(many, 50).await?;
    let squares: u32 = (0..50).filter(|n| *n != 13).map(|n| n * n).sum();
    assert_eq!(within("the result", run.result()).await?, squares + 4 + 3 + 16 + 25);
    let run = client.start(first_failure, ()).await?;
    let error = within("the result", run.result()).await.expect_err("one of them fails").to_string();
    assert!(error.contains("unlucky"), "{error}");
    let run = client.start(race, ()).await?;
    for name in ["ann", "bob"] {
        run.signal("name", name).await?;
    }
    assert_eq!(within("the result", run.result()).await?, ["ann", "bob", "silence"]);
    worker.stop().await;
    Ok(())
}
