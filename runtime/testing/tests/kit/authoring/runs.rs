//! What a run knows of itself, what it is found by, and the runs that follow it.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use highwater::{Attributes, Payload, RetryPolicy, Timestamp, prelude::*, testing::TestEnv};

use crate::{Shop, days};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_run_knows_where_it_comes_from() {
    #[workflow]
    async fn inner(ctx: Ctx) -> Result<Vec<String>, Exit> {
        ctx.sleep(SECOND).await?;
        let info = ctx.info();
        let parent = info.parent.expect("it is a child");
        let deadline = info.deadline.map(|at| at.since(info.started_at).as_secs());
        Ok(vec![
            info.workflow_id.to_string(),
            info.workflow_type.to_string(),
            info.queue.to_string(),
            format!("{:?} {:?}", info.attempt, info.last_failure.is_some()),
            format!("{} {}", parent.workflow_id, parent.run),
            format!("{deadline:?}"),
            format!("{} {} {:?}", info.first_run == info.run_id, ctx.run_id() == info.run_id, info.continued_from),
        ])
    }
    #[workflow]
    async fn outer(ctx: Ctx) -> Result<Vec<String>, Exit> {
        let child = ctx.child(inner, ()).id("inner-1").queue("side").execution_timeout(Duration::from_mins(5));
        let told = child.await?;
        assert!(ctx.info().parent.is_none() && ctx.info().deadline.is_none());
        Ok(told)
    }
    let env = TestEnv::builder().workflow(outer).workflow(inner).queue("side").start().await;
    let run = env.client().start(outer, ()).id("outer-1").await.unwrap();
    let origin = format!("outer-1 {}", run.run_id().unwrap());
    let told = run.result().await.unwrap();
    assert_eq!(told, ["inner-1", "inner", "side", "1 false", &origin, "Some(300)", "true true None"]);
    env.finish().await;
}

#[tokio::test]
async fn a_delayed_run_begins_later_and_has_kept_what_came() {
    #[workflow]
    async fn later(ctx: Ctx) -> Result<(String, Timestamp), Exit> {
        let begun = ctx.now();
        Ok((ctx.signals::<String>("word").recv().await?, begun))
    }
    let env = TestEnv::builder().workflow(later).start().await;
    let due = env.now().after(days(2));
    let run = env.client().start(later, ()).id("later").delay(days(2)).await.unwrap();
    run.signal("word", "early").await.unwrap();
    env.sleep(days(1)).await;
    assert!(run.describe().await.unwrap().delay_until.is_some());
    let (word, begun) = run.result().await.unwrap();
    assert_eq!(word, "early");
    assert!(begun >= due && begun.since(due) < SECOND, "{begun:?} is not {due:?}");
    env.finish().await;
}

#[tokio::test]
async fn a_run_that_fails_is_tried_again_and_knows_why() {
    /// Fails twice, each time because of what was before.
    #[workflow]
    async fn stubborn(ctx: Ctx) -> Result<String, Exit> {
        ctx.sleep(SECOND).await?;
        let info = ctx.info();
        let before = info.last_failure.map_or("nothing".to_owned(), |failure| failure.message);
        let told = format!("{} after {before}", info.attempt);
        if info.attempt < 3 { Err(told.into()) } else { Ok(told) }
    }
    let hour = Duration::from_hours(1);
    let policy = RetryPolicy { initial_interval: hour, maximum_interval: hour, ..RetryPolicy::default() };
    let env = TestEnv::builder().workflow(stubborn).start().await;
    let begun = env.now();
    let run = env.client().start(stubborn, ()).id("stubborn").retry(policy).await.unwrap();
    assert_eq!(run.result().await.unwrap(), "3 after 2 after 1 after nothing");
    assert!(env.now().since(begun) >= hour, "the attempts wait for each other");
    assert_eq!(env.histories().len(), 3);
    env.finish().await;
}

#[tokio::test]
async fn notes_and_attributes_are_read_changed_and_handed_on() {
    #[workflow]
    async fn order(ctx: Ctx, part: u32) -> Result<(String, u32), Exit> {
        ctx.upsert_attributes(Attributes::default().with("stage", format!("part {part}"))).expect("they are valid");
        ctx.sleep(days(1)).await?;
        if part == 1 {
            return Err(ctx.next_run::<order>(2).memo("parts", &2).attribute("last", true).exit());
        }
        Ok((ctx.memo("note").expect("it was left"), ctx.memo("parts").expect("the run before left it")))
    }
    let env = TestEnv::builder().workflow(order).start().await;
    let start = env.client().start(order, 1).id("o-1").memo("note", "by phone").attribute("customer", "Zoë");
    let run = start.await.unwrap();
    let attributes = async || {
        env.settle().await;
        run.describe().await.unwrap().attributes
    };
    let first = Attributes::default().with("customer", "Zoë").with("stage", "part 1");
    assert_eq!(attributes().await, first);
    env.sleep(days(1)).await;
    let second = first.with("stage", "part 2").with("last", true);
    assert_eq!(attributes().await, second);
    assert_eq!(run.result().await.unwrap(), ("by phone".to_owned(), 2));
    let described = run.describe().await.unwrap();
    assert_eq!(described.attributes, second);
    assert_eq!(described.memo.get("note"), Some(&Payload::encode("by phone").unwrap()));
    env.finish().await;
}

#[tokio::test]
async fn unique_ids_and_random_numbers_are_the_same_whenever_the_run_is_rebuilt() {
    static BEGUN: AtomicU32 = AtomicU32::new(0);
    /// What was drawn, as it was recorded when it was drawn and as it is at the end.
    #[workflow]
    async fn dice(ctx: Ctx) -> Result<(Vec<String>, Vec<String>), Exit> {
        BEGUN.fetch_add(1, Ordering::Relaxed);
        let (mut recorded, mut drawn) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let mut random = ctx.random();
            let draw = format!("{} {} {}", ctx.uuid(), random.next_u64(), random.below(6));
            let noted = draw.clone();
            recorded.push(ctx.step("note", async move |_| Ok::<_, String>(noted)).await?);
            drawn.push(draw);
            ctx.run(Shop::greet, "ann".into()).await?;
        }
        Ok((recorded, drawn))
    }
    let env = TestEnv::builder().workflow(dice).activities(Shop).start().await;
    let mut all = Vec::new();
    for _ in 0..2 {
        let (recorded, drawn) = env.client().start(dice, ()).await.unwrap().result().await.unwrap();
        assert_eq!(recorded, drawn);
        all.extend(drawn);
    }
    assert!(BEGUN.load(Ordering::Relaxed) > 6, "the runs were rebuilt");
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 6, "no two draws and no two runs are alike: {all:?}");
    env.finish().await;
}
