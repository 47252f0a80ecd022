//! Ids and names as people type them.

use anyhow::Result;
use highwater::{QueueName, TypeName, WorkflowId, client::StartError, prelude::*};
use highwater_tests::{
    collect::collect,
    deadline::within,
    space::{self, Running},
};

use crate::{SERVER, normal, still_works};

const ODD: [&str; 12] = [
    "order.17",
    "*",
    ">",
    "a.*.>",
    "with space",
    " spaces around ",
    "line\r\nHw-Run: forged",
    "tab\tnul\0",
    "naïve-日本-🦀",
    "=41",
    "%2e/\\..\"'",
    "-",
];

#[tokio::test(flavor = "multi_thread")]
async fn any_character_works_in_a_workflow_id() -> Result<()> {
    let highwater = space::open(&SERVER, "ids").await;
    let worker = Running::spawn(highwater.worker().workflow(collect).workflow(normal).build()?);
    for id in ODD {
        let run = within("a start", highwater.client().start(collect, 1).id(id)).await?;
        assert_eq!(run.id().as_str(), id);
        run.signal("number", &7).await?;
        assert_eq!(within("the result", run.result()).await?, [7], "{id:?}");
        let again = highwater.client().handle_of(collect, id)?.describe().await?;
        assert_eq!((again.id.as_str(), again.progress.to_string().as_str()), (id, "completed"));
    }
    still_works(&highwater).await;
    worker.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn any_character_works_in_the_names_of_queues_and_signals() -> Result<()> {
    let highwater = space::open(&SERVER, "names").await;
    for name in ODD {
        let worker = Running::spawn(highwater.worker().queue(name).workflow(listen).build()?);
        let start = highwater.client().start(listen, name.to_owned()).queue(name);
        let run = within("a start", start).await?;
        run.signal(name, &7).await?;
        assert_eq!(within("the result", run.result()).await?, 7, "{name:?}");
        assert_eq!(run.describe().await?.queue.as_str(), name);
        worker.stop().await;
    }
    Ok(())
}

/// Waits for one signal of this name.
#[workflow]
pub async fn listen(ctx: Ctx, name: String) -> Result<u32, Exit> {
    ctx.sleep(std::time::Duration::from_millis(1)).await?;
    Ok(ctx.signals::<u32>(&name).recv().await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_empty_or_too_long_are_refused_with_the_limit() -> Result<()> {
    let highwater = space::open(&SERVER, "limits").await;
    let worker = Running::spawn(highwater.worker().workflow(normal).build()?);
    let (client, long) = (highwater.client(), "x".repeat(513));
    let limit = "takes 513 bytes when escaped for NATS, the limit is 512; shorten it";
    for (name, told) in [("", "is empty; give it at least one character"), (&long, limit)] {
        let id = client.start(normal, 1).id(name).await.expect_err("no such id");
        assert!(matches!(id, StartError::Name(_)), "{id:?}");
        let queue = client.start(normal, 1).queue(name).await.expect_err("no such queue");
        let handle = client.handle_of(normal, name).expect_err("no such id");
        let workers = highwater.worker().queue(name).workflow(normal).build().expect_err("no such queue");
        let signal = client.handle_of(normal, "x")?.signal(name, &1).await.expect_err("no such signal");
        for error in [id.to_string(), queue.to_string(), handle.to_string(), workers.to_string(), signal.to_string()] {
            assert!(error.contains(told), "{error}");
        }
    }
    // The longest that there may be works, also when every byte of it is escaped and it meets itself in one subject.
    let longest = ".".repeat(170);
    let type_of_that_length = TypeName::new(&longest)?;
    assert!(WorkflowId::new(&longest).is_ok() && QueueName::new(&longest).is_ok());
    assert_eq!(type_of_that_length.to_key().as_str().len(), 510);
    let other = Running::spawn(highwater.worker().queue(&longest).workflow(listen).build()?);
    let run = within("a start", client.start(listen, longest.clone()).id(&longest).queue(&longest)).await?;
    run.signal(&longest, &7).await?;
    assert_eq!(within("the result", run.result()).await?, 7);
    other.stop().await;
    still_works(&highwater).await;
    worker.stop().await;
    Ok(())
}
