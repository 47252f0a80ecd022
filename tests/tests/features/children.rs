//! Children and other workflows: started, told, cancelled and ended across two workers.

use std::time::Duration;

use anyhow::Result;
use highwater::{ExternalError, ParentClose, client::ResultError, prelude::*};
use highwater_tests::{
    deadline::{until, within},
    space::{self, Running},
};

use crate::SERVER;

/// Waits for a number and gives it back doubled.
#[workflow]
async fn doubler(ctx: Ctx, times: u32) -> Result<u32, Exit> {
    let number = ctx.signals::<u32>("number").recv().await?;
    if number == 0 { Err("nothing to double".to_owned().into()) } else { Ok(number * times) }
}

/// Starts a child, signals it, and gives its result.
#[workflow]
async fn parent(ctx: Ctx, number: u32) -> Result<u32, Exit> {
    let child = ctx.child(doubler, 2).id(&format!("doubler-{number}")).start().await?;
    child.signal("number", &number).await?;
    Ok(child.result().await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn children_are_started_signalled_and_waited_for_by_two_workers() -> Result<()> {
    let highwater = space::open(&SERVER, "children").await;
    let worker =
        || Running::spawn(highwater.worker().workflow(parent).workflow(doubler).build().expect("it can be built"));
    let workers = [worker(), worker()];
    let mut runs = Vec::new();
    for number in 1..=20 {
        runs.push((number, highwater.client().start(parent, number).await?));
    }
    for (number, run) in &runs {
        assert_eq!(within("the result", run.result()).await?, number * 2);
    }
    let failing = highwater.client().start(parent, 0).await?;
    let error = within("the result", failing.result()).await.expect_err("its child fails").to_string();
    assert!(error.contains("nothing to double"), "{error}");
    // A child's id that is in use is told to the run that wanted it.
    let holder = highwater.client().start(doubler, 2).id("doubler-100").await?;
    let refused = highwater.client().start(parent, 100).await?;
    let error = within("the result", refused.result()).await.expect_err("the id is in use").to_string();
    assert!(error.contains("doubler-100") && error.contains("running"), "{error}");
    holder.terminate("enough").await?;
    for worker in workers {
        worker.stop().await;
    }
    Ok(())
}

/// Starts three children that nobody ever signals, and does not wait for them.
#[workflow]
async fn leaver(ctx: Ctx, (): ()) -> Result<(), Exit> {
    for (id, policy) in
        [("ended", ParentClose::Terminate), ("asked", ParentClose::RequestCancel), ("left", ParentClose::Abandon)]
    {
        ctx.child(doubler, 1).id(id).parent_close(policy).start().await?.detach();
    }
    ctx.signals::<()>("go").recv().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn children_end_as_it_was_said_when_their_parent_does() -> Result<()> {
    let highwater = space::open(&SERVER, "parent-close").await;
    let client = highwater.client();
    let worker = Running::spawn(highwater.worker().workflow(leaver).workflow(doubler).build()?);
    let run = client.start(leaver, ()).await?;
    let describe = async || run.describe().await;
    let all_there = |seen: &Result<_, _>| {
        seen.as_ref().is_ok_and(|d: &highwater::client::Description| {
            d.pending_children.len() == 3 && d.pending_children.iter().all(|child| child.started)
        })
    };
    until("the children are under way", describe, all_there).await?;
    let left = client.handle::<doubler>("left")?;
    let parent = left.describe().await?.parent.expect("it was started by another run");
    assert_eq!((parent.workflow_id.as_str(), Some(parent.run)), (run.id().as_str(), run.run_id()));
    // Ended by a client, so that no code of its own can tell them.
    run.terminate("enough").await?;
    let error = within("the end", client.handle::<doubler>("ended")?.result()).await.expect_err("it is terminated");
    assert!(matches!(&error, ResultError::Terminated(reason) if reason.contains("which started it")), "{error:?}");
    let error = within("the end", client.handle::<doubler>("asked")?.result()).await.expect_err("it is cancelled");
    assert!(matches!(error, ResultError::Cancelled), "{error:?}");
    left.signal("number", &21).await?;
    assert_eq!(within("the result", left.result()).await?, 21);
    worker.stop().await;
    Ok(())
}

/// Says what became of a signal and of a request to cancel.
#[workflow]
async fn sender(ctx: Ctx, to: String) -> Result<Vec<String>, Exit> {
    let mut told = Vec::new();
    for sent in [ctx.workflow(&to).signal("number", &5).await, ctx.workflow(&to).cancel("why").await] {
        told.push(match sent {
            Ok(()) => "taken".to_owned(),
            Err(ExternalError::NotFound(_)) => "not found".to_owned(),
            Err(ExternalError::Closed(_)) => "closed".to_owned(),
            Err(other) => format!("{other:?}"),
        });
    }
    Ok(told)
}

/// Takes a number and waits to be cancelled.
#[workflow]
async fn taker(ctx: Ctx, (): ()) -> Result<(), Exit> {
    ctx.signals::<u32>("number").recv().await?;
    ctx.sleep(Duration::from_hours(1)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn other_workflows_are_signalled_and_cancelled_on_other_queues_too() -> Result<()> {
    let highwater = space::open(&SERVER, "externals").await;
    let client = highwater.client();
    let worker = highwater.worker().queue("default").queue("far").workflow(sender).workflow(taker);
    let worker = Running::spawn(worker.build()?);
    // On a queue that the sender does not know of: whoever reads its messages passes them on.
    let taker = client.start(taker, ()).id("taker").queue("far").await?;
    let sent = client.start(sender, "taker".to_owned()).await?;
    assert_eq!(within("the result", sent.result()).await?, ["taken", "taken"]);
    let error = within("the end", taker.result()).await.expect_err("it is cancelled");
    assert!(matches!(error, ResultError::Cancelled), "{error:?}");
    let late = client.start(sender, "taker".to_owned()).await?;
    assert_eq!(within("the result", late.result()).await?, ["closed", "closed"]);
    let lost = client.start(sender, "nobody".to_owned()).await?;
    assert_eq!(within("the result", lost.result()).await?, ["not found", "not found"]);
    worker.stop().await;
    Ok(())
}
