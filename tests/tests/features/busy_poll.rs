//! Staying awake for what is about to come, as Linux tells it of the thread.
#![cfg(target_os = "linux")]

use std::{fs, thread::available_parallelism, time::Duration};

use anyhow::{Context, Result};
use highwater::{Highwater, WorkerBuilder, prelude::*};
use highwater_tests::{
    deadline::{until, within},
    space::{self, Running},
};
use serde::{Deserialize, Serialize};

use crate::SERVER;

const RUNS: u64 = 100;

/// A thread, and how often it has gone to sleep.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Sleeps {
    thread: u64,
    count: u64,
}

impl Sleeps {
    /// Reads a status file of `/proc`, which proc(5) describes.
    fn read(path: &str) -> Result<Self> {
        let status = fs::read_to_string(path)?;
        let number = |name: &str| -> Result<u64> {
            let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            Ok(value.with_context(|| format!("{path} has no {name}"))?.trim().parse()?)
        };
        Ok(Self { thread: number("Pid")?, count: number("voluntary_ctxt_switches")? })
    }
}

/// Returns what is told of the thread that all of the worker's workflows have, after a step that needs an answer from
/// the server.
#[workflow]
async fn sleeps(ctx: Ctx, (): ()) -> Result<Sleeps, Exit> {
    ctx.step("wait", async |_| Ok::<_, String>(())).await?;
    Ok(Sleeps::read("/proc/thread-self/status").expect("Linux tells of every thread"))
}

/// How often the thread slept in [`RUNS`] runs, one after the other, and where the count ended.
async fn count(highwater: &Highwater, worker: WorkerBuilder) -> Result<(u64, Sleeps, Running)> {
    let worker = Running::spawn(worker.workflow(sleeps).build()?);
    let mut counts = Vec::new();
    for number in 0..=RUNS {
        let run = highwater.client().start(sleeps, ()).id(format!("run-{number}")).await?;
        counts.push(within("the result", run.result()).await?);
    }
    let [first, .., last] = &counts[..] else { unreachable!("there are several") };
    assert_eq!(first.thread, last.thread, "nothing has kept the thread");
    Ok((last.count - first.count, last.clone(), worker))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thread_that_may_stays_awake_between_the_events_of_runs() -> Result<()> {
    let highwater = space::open(&SERVER, "busy-poll").await;
    let (slept, _, worker) = count(&highwater, highwater.worker().busy_poll(Duration::from_secs(30))).await?;
    let others_have_a_processor = available_parallelism()?.get() > 1;
    assert_eq!(slept < RUNS / 2, others_have_a_processor, "{slept} times in {RUNS} runs");
    worker.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thread_that_may_not_sleeps_in_every_wait() -> Result<()> {
    let highwater = space::open(&SERVER, "no-busy-poll").await;
    let (slept, _, worker) = count(&highwater, highwater.worker().busy_poll(Duration::ZERO)).await?;
    assert!(slept >= RUNS, "{slept} times in {RUNS} runs");
    worker.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thread_that_has_nothing_to_do_sleeps() -> Result<()> {
    let highwater = space::open(&SERVER, "busy-poll-idle").await;
    let (_, last, worker) = count(&highwater, highwater.worker()).await?;
    let look = async || Sleeps::read(&format!("/proc/self/task/{}/status", last.thread));
    // Whatever wakes it: it goes back to sleep.
    let slept_often = |now: &Result<Sleeps>| now.as_ref().is_ok_and(|now| now.count > last.count + 10);
    until("it sleeps again and again", look, slept_often).await?;
    worker.stop().await;
    Ok(())
}
