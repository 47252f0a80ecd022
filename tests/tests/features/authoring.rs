//! What workflow code does over the borders of processes: calls by name, headers, changes of code, handlers under
//! another owner.

use std::time::Duration;

use anyhow::Result;
use highwater::{
    Attributes, FailureKind, FreeActivities, Highwater, Payload, Payloads, TypeName, client::UpdateError, prelude::*,
};
use highwater_tests::{
    deadline::{until, within},
    space::{self, Running},
};

use crate::SERVER;

/// The queue of the workflows.
const OFFICE: &str = "office";

/// The queue of what they call.
const LAB: &str = "lab";

fn texts(headers: &Payloads) -> Vec<String> {
    headers.iter().map(|(name, value)| format!("{name}={}", value.begin())).collect()
}

/// What the lab has, each under a name that only its own code knows.
mod lab {
    use super::*;

    #[activity(name = "lab.square", start_to_close = "10s")]
    pub(super) async fn square(number: u32) -> Result<u32, String> {
        Ok(number * number)
    }

    #[workflow(name = "lab.cube")]
    pub(super) async fn cube(ctx: Ctx, number: u32) -> Result<u32, Exit> {
        Ok(number * ctx.run(square, number).await?)
    }

    #[derive(Debug, thiserror::Error, serde::Serialize, serde::Deserialize)]
    pub(super) enum Blast {
        #[error("bang, at attempt {0}")]
        Bang(u32),
        #[error("there is nothing left to explode")]
        Final,
    }

    /// Fails whenever it is tried.
    #[activity(
        start_to_close = "10s",
        retry(initial_interval = "10ms", maximum_attempts = 3),
        non_retryable = Blast::Final
    )]
    pub(super) async fn explode(cx: &ActivityContext, is_final: bool) -> Result<(), Blast> {
        Err(if is_final { Blast::Final } else { Blast::Bang(cx.attempt()) })
    }

    #[activity(start_to_close = "10s")]
    pub(super) async fn labels(cx: &ActivityContext) -> Result<Vec<String>, String> {
        Ok(texts(&cx.info().headers))
    }

    #[workflow]
    pub(super) async fn relabel(ctx: Ctx) -> Result<[Vec<String>; 2], Exit> {
        Ok([texts(&ctx.info().headers), ctx.run(labels, ()).await?])
    }
}

/// The worker of the lab, on a connection of its own.
async fn lab_worker(namespace: &str) -> Running {
    let activities = FreeActivities::new().with(lab::square).with(lab::explode).with(lab::labels);
    let worker = space::open(&SERVER, namespace).await.worker().queue(LAB);
    let worker = worker.workflow(lab::cube).workflow(lab::relabel).activities(activities);
    Running::spawn(worker.build().expect("it can be built"))
}

#[workflow]
async fn by_name(ctx: Ctx, number: u32) -> Result<(u32, u32), Exit> {
    let square = ctx.run_named::<_, u32, String>("lab.square", &number).queue(LAB);
    let cube = ctx.child_named::<_, u32, String>("lab.cube", &number).queue(LAB);
    let (square, cube) = join!(square.start_to_close(Duration::from_secs(10)), cube);
    Ok((square?, cube?))
}

#[tokio::test(flavor = "multi_thread")]
async fn activities_and_children_of_another_program_are_called_by_their_names() -> Result<()> {
    let highwater = space::open(&SERVER, "by-name").await;
    let office = Running::spawn(highwater.worker().queue(OFFICE).workflow(by_name).build()?);
    let run = highwater.client().start(by_name, 7).queue(OFFICE).await?;
    // Nobody has the lab's code yet: the calls wait for somebody who has.
    let lab = lab_worker("by-name").await;
    assert_eq!(within("the result", run.result()).await?, (49, 343));
    office.stop().await;
    lab.stop().await;
    Ok(())
}

/// How a call ended, in words.
#[workflow]
async fn exploding(ctx: Ctx, is_final: bool) -> Result<String, Exit> {
    Ok(match ctx.run(lab::explode, is_final).queue(LAB).await {
        Err(CallError::Exhausted { attempts, last }) => format!("{attempts} attempts, {last:?}"),
        other => format!("{other:?}"),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_attempts_are_used_up_says_how_many_there_were() -> Result<()> {
    let highwater = space::open(&SERVER, "exhausted").await;
    let office = Running::spawn(highwater.worker().queue(OFFICE).workflow(exploding).build()?);
    let lab = lab_worker("exhausted").await;
    for (is_final, told) in [(false, "3 attempts, Failed(Bang(3))"), (true, "Err(Failed(Final))")] {
        let run = highwater.client().start(exploding, is_final).queue(OFFICE).await?;
        assert_eq!(within("the result", run.result()).await?, told);
    }
    office.stop().await;
    lab.stop().await;
    Ok(())
}

type Seen = Vec<Vec<String>>;

/// Looks at its headers, has others look, and does so once more as the next run.
#[workflow]
async fn looking(ctx: Ctx, mut seen: Seen) -> Result<Seen, Exit> {
    let is_last = !seen.is_empty();
    seen.push(texts(&ctx.info().headers));
    seen.push(ctx.run(lab::labels, ()).queue(LAB).await?);
    seen.extend(ctx.child(lab::relabel, ()).queue(LAB).await?);
    if is_last { Ok(seen) } else { Err(ctx.continue_as_new::<looking>(seen)) }
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_go_from_the_client_to_everything_that_follows_from_its_start() -> Result<()> {
    let highwater = space::open(&SERVER, "headers").await;
    let office = Running::spawn(highwater.worker().queue(OFFICE).workflow(looking).build()?);
    let lab = lab_worker("headers").await;
    let start = highwater.client().start(looking, vec![]).queue(OFFICE).header("tenant", "Zoë").header("tier", &3);
    let seen = within("the result", start.await?.result()).await?;
    assert_eq!(seen.len(), 8, "the run, its activity, its child, that one's activity; and all once more");
    for headers in seen {
        assert_eq!(headers, ["tenant=\"Zoë\"", "tier=3"]);
    }
    office.stop().await;
    lab.stop().await;
    Ok(())
}

/// Takes whatever it is sent, until it is closed.
#[workflow]
async fn anything(ctx: Ctx, (): ()) -> Result<String, Exit> {
    let mut close = ctx.signals::<String>("close");
    ctx.on_any_signal(|ctx, name: TypeName, input: Payload| async move {
        let set = Attributes::default().with(name.as_str(), input.begin());
        ctx.upsert_attributes(set).expect("the test sends names that can be searched for");
    });
    let inner = ctx.clone();
    ctx.on_any_query(move |name, _| inner.info().attributes.get(name.as_str()).cloned());
    ctx.on_any_update(|ctx, name, input: Payload| async move {
        assert!(name.as_str() != "impossible", "nobody can do this");
        ctx.sleep(Duration::from_millis(10)).await?;
        Ok::<_, Exit>(format!("{name} {}", input.begin()))
    });
    Ok(close.recv().await?)
}

fn anything_worker(highwater: &Highwater) -> Running {
    Running::spawn(highwater.worker().workflow(anything).build().expect("it can be built"))
}

#[tokio::test(flavor = "multi_thread")]
async fn handlers_of_any_name_and_the_attributes_that_they_set_outlive_their_worker() -> Result<()> {
    let highwater = space::open(&SERVER, "anything").await;
    let client = highwater.client();
    let first = anything_worker(&highwater);
    let run = client.start(anything, ()).attribute("customer", "Zoë").attribute("stage", "begun").await?;
    run.signal("stage", &2).await?;
    assert_eq!(within("an update", run.update::<_, String, String>("pack", &5)).await?, "pack 5");
    first.stop().await;
    // The next owner knows all of it from the history, and what comes before there is one waits for it.
    run.signal("parcels", &7).await?;
    let second = anything_worker(&highwater);
    let expected = Attributes::default().with("customer", "Zoë").with("stage", "2").with("parcels", "7");
    let described = until(
        "the attributes are set",
        async || run.describe().await,
        |seen| seen.as_ref().is_ok_and(|seen| seen.attributes == expected),
    );
    described.await?;
    let told: Option<highwater::AttributeValue> = within("a query", run.query("parcels", &())).await?;
    assert_eq!(told, Some("7".into()));
    assert_eq!(within("an update", run.update::<_, String, String>("send", &6)).await?, "send 6");
    run.signal("close", "done").await?;
    assert_eq!(within("the result", run.result()).await?, "done");
    second.stop().await;
    assert_eq!(run.describe().await?.attributes, expected);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_whose_handler_panics_is_answered_with_the_panic_by_whichever_worker() -> Result<()> {
    let highwater = space::open(&SERVER, "update-panics").await;
    let first = anything_worker(&highwater);
    let run = highwater.client().start(anything, ()).await?;
    let is_told = |error: UpdateError<String>| {
        let UpdateError::FailedOtherwise(failure) = &error else { panic!("{error:?}") };
        assert_eq!(failure.kind, FailureKind::Panic);
        assert!(
            failure.message.contains("nobody can do this") && failure.message.contains("authoring.rs"),
            "{failure}"
        );
    };
    let update = || run.update::<_, String, String>("impossible", &1).id("u-1");
    is_told(within("an update", update()).await.expect_err("it panics"));
    let described = run.describe().await?;
    assert!(described.blocked.is_none() && described.pending_updates.is_empty(), "{described:?}");
    first.stop().await;
    let second = anything_worker(&highwater);
    is_told(within("the same update", update()).await.expect_err("it has panicked"));
    assert_eq!(within("an update", run.update::<_, String, String>("next", &2)).await?, "next 2");
    run.signal("close", "done").await?;
    assert_eq!(within("the result", run.result()).await?, "done");
    second.stop().await;
    Ok(())
}

#[workflow(name = "booking")]
async fn before(ctx: Ctx, (): ()) -> Result<String, Exit> {
    let mut go = ctx.signals::<()>("go");
    go.recv().await?;
    ctx.sleep(Duration::from_millis(1)).await?;
    go.recv().await?;
    Ok("the old way".to_owned())
}

#[workflow(name = "booking")]
async fn after(ctx: Ctx, (): ()) -> Result<String, Exit> {
    let mut go = ctx.signals::<()>("go");
    go.recv().await?;
    let way = if ctx.patched("price-first") {
        let price = ctx.step("price", async |_| Ok::<_, String>(5)).await?;
        format!("the new way, for {price}")
    } else {
        ctx.sleep(Duration::from_millis(1)).await?;
        "the old way".to_owned()
    };
    go.recv().await?;
    Ok(way)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patched_deploy_takes_over_the_runs_of_the_code_before() -> Result<()> {
    let highwater = space::open(&SERVER, "patched").await;
    let client = highwater.client();
    let worker = Running::spawn(highwater.worker().workflow(before).build()?);
    let passed = client.start(before, ()).id("passed").await?;
    let waiting = client.start(before, ()).id("waiting").await?;
    passed.signal("go", &()).await?;
    let events = async || passed.history().await.map_or(0, |history| history.len());
    until("it has passed the change and slept", events, |events| *events >= 4).await;
    worker.stop().await;

    let worker = Running::spawn(highwater.worker().workflow(after).build()?);
    let new = client.start(after, ()).id("new").await?;
    passed.signal("go", &()).await?;
    for run in [&waiting.untyped(), &new.untyped()] {
        run.signal("go", &()).await?;
        run.signal("go", &()).await?;
    }
    assert_eq!(within("the result", passed.result()).await?, "the old way");
    assert_eq!(within("the result", waiting.result()).await?, "the new way, for 5");
    assert_eq!(within("the result", new.result()).await?, "the new way, for 5");
    worker.stop().await;
    Ok(())
}
