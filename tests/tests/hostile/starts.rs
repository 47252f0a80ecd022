//! One id, started many times at once.

use std::collections::BTreeSet;

use anyhow::Result;
use futures_util::{StreamExt, future::join_all};
use highwater::{Highwater, client::StartError};
use highwater_broker::{Broker, Delivered, Stream, history::StoredRecord};
use highwater_devserver::DevServer;
use highwater_protocol::{Key, RunId};
use highwater_tests::{
    deadline::within,
    raw_nats::RawNats,
    rejected,
    space::{self, Running},
};

use crate::{SERVER, normal, still_works};

/// The runs that an id has ever had.
async fn runs_of(highwater: &Highwater, id: &str) -> BTreeSet<RunId> {
    let broker = highwater.broker();
    let subject = broker.subjects().history(&Key::escape("id", id).unwrap());
    let mut records = broker.read(Stream::History, vec![subject], 1).await.unwrap();
    let mut runs = BTreeSet::new();
    while let Delivered::Message(message) = within("the history", records.next()).await.unwrap().unwrap() {
        runs.insert(StoredRecord::from_message(message).unwrap().frame.run);
    }
    runs
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_start_a_hundred_times_at_once_is_one_run() -> Result<()> {
    let highwater = space::open(&SERVER, "hundred").await;
    let others = [space::open(&SERVER, "hundred").await, space::open(&SERVER, "hundred").await];
    let worker = Running::spawn(highwater.worker().workflow(normal).build()?);
    let clients = [&highwater, &others[0], &others[1]].into_iter().cycle();
    let starts = clients.take(100).map(|on| async { on.client().start(normal, 21).id("one").await });
    let (mut begun, mut refused) = (Vec::new(), 0);
    for result in within("a hundred starts", join_all(starts)).await {
        match result {
            Ok(run) => begun.push(run),
            Err(StartError::AlreadyRunning { .. } | StartError::AlreadyUsed { .. }) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!((begun.len(), refused), (1, 99));
    assert_eq!(within("the result", begun[0].result()).await?, 42);
    assert_eq!(runs_of(&highwater, "one").await.len(), 1);
    worker.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_plain_starts_are_one_run_and_ninety_nine_rejections() -> Result<()> {
    let highwater = space::open(&SERVER, "hundred-plain").await;
    let worker = Running::spawn(highwater.worker().workflow(normal).build()?);
    let publish = |n: u32| async move {
        let mut raw = RawNats::connect(SERVER.port()).await?;
        let reply = raw.inbox().await?;
        let subject = "hw.hundred-plain.do.start.default.normal.one";
        let id = format!("one:{n}");
        raw.store(subject, &[("Hw-Reply", &reply), ("Nats-Msg-Id", &id)], b"21").await?;
        anyhow::Ok(raw.next_on(&reply).await?.header("Hw-Kind").to_owned())
    };
    let kinds = within("a hundred starts", join_all((0..100).map(publish))).await;
    let kinds = kinds.into_iter().collect::<Result<Vec<_>>>()?;
    assert_eq!(kinds.iter().filter(|kind| *kind == "rejected").count(), 99, "{kinds:?}");
    assert_eq!(rejected::all(&highwater).await.len(), 99);
    assert_eq!(runs_of(&highwater, "one").await.len(), 1);
    worker.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_start_while_the_server_is_killed_and_comes_back_is_one_run() -> Result<()> {
    let server = DevServer::builder().start().await?;
    let highwater = space::open(&server, "default").await;
    let worker = Running::spawn(highwater.worker().workflow(normal).build()?);
    still_works(&highwater).await;
    let client = highwater.client();
    // Ten at a time, so that some are sent before the server goes, some while it is away, and some after.
    let starts = futures_util::stream::iter(0..100)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.start(normal, 21).id("one").await.map(|_| ()) })
        })
        .buffer_unordered(10)
        .collect::<Vec<_>>();
    let restart = async {
        server.kill().await.expect("the server can be killed");
        server.restart().await.expect("the server comes back");
    };
    let (results, ()) = within("a hundred starts and a restart", futures_util::future::join(starts, restart)).await;
    for result in results {
        match result? {
            // The last two are the honest answer when the server went away in between.
            Ok(())
            | Err(
                StartError::AlreadyRunning { .. }
                | StartError::AlreadyUsed { .. }
                | StartError::OutcomeUnknown { .. }
                | StartError::Broker { .. },
            ) => {}
            Err(error) => panic!("{error}"),
        }
    }
    let run = client.handle_of(normal, "one")?;
    assert_eq!(within("the result", run.result()).await?, 42);
    assert_eq!(runs_of(&highwater, "one").await.len(), 1);
    still_works(&highwater).await;
    worker.stop().await;
    server.stop().await?;
    Ok(())
}
