//! A worker is killed, and another one goes on with its runs.
//!
//! Two worker processes share the partitions of the queue. Most runs wait for a signal, the others have an activity
//! under way in the process that is about to be killed. It is killed with SIGKILL, and at once each of its waiting runs
//! is sent its signal. All is measured from the kill to what the server has stored, by the server's clock: when the
//! worker's lease ended (it had been renewed at some moment before, and lives for a fixed time from then), when the
//! other worker had all of its partitions, when the first and the last of its runs had gone on, and when those had
//! whose activity had to be delivered again.

use std::{collections::BTreeSet, time::Duration};

use futures_util::StreamExt;
use highwater::{WorkerBuilder, prelude::*};
use highwater_broker::{BoxFuture, BoxStream, Broker, Bucket, Error as BrokerError, KvEvent, nats::NatsBroker};
use highwater_protocol::{Key, QueueName, Timestamp, WorkerId, lease::Lease, partition, wire, worker::Announcement};
use tokio::time::timeout;

use super::{
    QUEUE, Row,
    many::{AT_ONCE, WAIT_MAX, for_each, history_end, signal, sorted, watch_history, within},
    resume::{GO, waiting},
};
use crate::{
    commands::bench::{measured::Measured, stage::Stage, worker_process::WorkerSettings},
    exit::Error,
};

/// Runs that wait for a signal, unless something else is asked for; about half of them are the killed worker's.
const RUNS: u64 = 1_000;
/// One run has an activity under way to so many that wait.
const TO_AN_ACTIVITY: u64 = 10;
/// How often is looked whether something has come about.
const LOOK: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(super) struct Takeover;

impl Row for Takeover {
    fn name(&self) -> &'static str {
        "takeover"
    }

    fn about(&self) -> &'static str {
        "Until the runs of a worker that is killed go on"
    }

    fn register(&self, worker: WorkerBuilder) -> WorkerBuilder {
        worker.workflow(bench_held).activities(Hold)
    }

    fn measure<'a>(&'a self, stage: &'a Stage) -> BoxFuture<'a, Result<Vec<Measured>, Error>> {
        Box::pin(async move { Ok(vec![measure(self.name(), stage).await?]) })
    }
}

/// An activity that never ends in one process, and at once in every other.
struct Hold;

#[activities]
impl Hold {
    #[activity(start_to_close = "10m")]
    async fn bench_hold(&self, ctx: &ActivityContext, process: u32) -> Result<u32, String> {
        if std::process::id() == process {
            // So that it can be seen from outside that it has begun.
            ctx.heartbeat(&());
            std::future::pending::<()>().await;
        }
        Ok(std::process::id())
    }
}

#[workflow]
async fn bench_held(ctx: Ctx, process: u32) -> Result<u32, Exit> {
    Ok(ctx.run(Hold::bench_hold, process).await?)
}

async fn measure(row: &'static str, stage: &Stage) -> Result<Measured, Error> {
    let count = stage.load.sizes.runs(RUNS);
    let held = (count / TO_AN_ACTIVITY).max(1);
    eprintln!("measuring {row}: {count} runs that wait and {held} with an activity");
    let broker = &**stage.highwater.broker();
    let victim = stage.start_worker(WorkerSettings::default()).await?;
    let all: Vec<Key> = waiting(stage, count, 1, AT_ONCE).await?.iter().map(|run| run.id().to_key()).collect();
    let held = hold(stage, held, victim.pid()).await?;
    let heir = stage.start_worker(WorkerSettings::default()).await?;
    let victim_id = worker_of(broker, victim.pid()).await?;
    let partitions = share_of(broker, victim_id).await?;
    let partition_of = |key: &Key| partition::of(key.as_str(), broker.subjects().partitions());
    let orphans: Vec<Key> = all.into_iter().filter(|key| partitions.contains(&partition_of(key))).collect();

    let changes = broker.kv_watch(Bucket::Workers).await.map_err(Error::failed)?;
    let from = history_end(broker).await?;
    let killed = now(broker).await?;
    victim.kill().await?;
    let signals = orphans.iter().map(|key| signal(broker, GO, key)).collect::<Result<Vec<_>, _>>()?;
    for publish in signals {
        broker.publish(publish).await.map_err(Error::failed)?;
    }
    let (ended, taken, closed) = tokio::try_join!(
        lease_ends(broker, changes, victim_id),
        all_taken(broker, victim_id),
        closed(broker, from, &orphans, &held),
    )?;
    heir.stop().await?;

    let after = |later: Timestamp| later.since(killed).as_secs_f64();
    let spread = |measured: Measured, of: &str, times: Vec<Timestamp>| {
        let times = sorted(times.into_iter().map(after).collect());
        let [first, half, last] = [0.0, 0.5, 1.0].map(|part| within(&times, part));
        let since = (last - after(ended)).max(0.0);
        measured
            .figure(format!("{of}: the first"), first, "s")
            .figure(format!("{of}: half of them"), half, "s")
            .figure(format!("{of}: all"), last, "s")
            .figure(format!("{of}: all, from the lease's end"), since, "s")
    };
    let measured = Measured::new(row)
        .figure("runs of the killed worker", orphans.len() as f64, "")
        .figure("activities of the killed worker", held.len() as f64, "")
        .figure("its lease has ended", after(ended), "s")
        .figure("its partitions are taken, from the lease's end", (after(taken) - after(ended)).max(0.0), "s");
    Ok(spread(spread(measured, "waiting runs", closed.0), "runs with an activity", closed.1))
}

/// Starts runs with an activity that this process does not end, and waits until all are under way there.
async fn hold(stage: &Stage, count: u64, process: u32) -> Result<BTreeSet<String>, Error> {
    let (client, broker) = (stage.client(), stage.highwater.broker());
    let begun = async || Ok::<_, Error>(broker.kv_list(Bucket::Activities).await.map_err(Error::failed)?.len() as u64);
    let before = begun().await?;
    let started = for_each(count, AT_ONCE, move |_| {
        let client = client.clone();
        async move { Ok(client.start(bench_held, process).queue(QUEUE).await?.id().to_key().to_string()) }
    });
    let keys = started.await?.into_iter().collect();
    until("activities begin", || async { Ok((begun().await? == before + count).then_some(())) }).await?;
    Ok(keys)
}

/// Looks until there is something.
async fn until<T, F>(what: &str, look: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<Option<T>, Error>>,
{
    let looking = async {
        loop {
            if let Some(found) = look().await? {
                return Ok(found);
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    match timeout(WAIT_MAX, looking).await {
        Ok(found) => found,
        Err(_) => Err(Error::failed(format_args!("it took longer than {WAIT_MAX:?} until {what}"))),
    }
}

/// The worker that this process is.
async fn worker_of(broker: &NatsBroker, process: u32) -> Result<WorkerId, Error> {
    let name = format!("pid {process}");
    let live = broker.kv_list(Bucket::Workers).await.map_err(Error::failed)?;
    let mut announced = live.iter().filter_map(|(_, entry)| wire::decode::<Announcement>(&entry.value).ok());
    let found = announced.find(|worker| worker.name == name);
    found.map(|worker| worker.worker).ok_or_else(|| Error::failed(format_args!("no worker says that it is {name}")))
}

/// The owner of each partition of the queue.
async fn owners(broker: &NatsBroker) -> Result<Vec<(u16, WorkerId)>, Error> {
    let leases = broker.kv_list(Bucket::Offsets).await.map_err(Error::failed)?;
    let queue = QueueName::new(QUEUE)?;
    let owner = |partition| {
        let key = Lease::bucket_key(partition, &queue);
        let (_, entry) = leases.iter().find(|(of, _)| *of == key)?;
        Some((partition, wire::decode::<Lease>(&entry.value).ok()?.owner?))
    };
    Ok((0..broker.subjects().partitions()).filter_map(owner).collect())
}

/// The partitions of a worker, once two workers have shared them out.
async fn share_of(broker: &NatsBroker, worker: WorkerId) -> Result<BTreeSet<u16>, Error> {
    let all = usize::from(broker.subjects().partitions());
    until("two workers have shared out the partitions", || async {
        let owners = owners(broker).await?;
        let its: BTreeSet<u16> = owners.iter().filter(|(_, owner)| *owner == worker).map(|(of, _)| *of).collect();
        Ok((owners.len() == all && its.len() == all / 2).then_some(its))
    })
    .await
}

/// The server's clock.
async fn now(broker: &NatsBroker) -> Result<Timestamp, Error> {
    broker.server_time().await.map_err(Error::failed)
}

/// When the worker's announcement expired.
async fn lease_ends(
    broker: &NatsBroker,
    mut changes: BoxStream<Result<KvEvent, BrokerError>>,
    worker: WorkerId,
) -> Result<Timestamp, Error> {
    let worker = worker.to_string();
    let gone = async {
        while let Some(change) = changes.next().await {
            if matches!(change.map_err(Error::failed)?, KvEvent::Gone { key } if key == worker) {
                return now(broker).await;
            }
        }
        Err(Error::failed("the workers cannot be watched"))
    };
    timeout(WAIT_MAX, gone).await.map_err(|_| Error::failed("the killed worker's lease does not end"))?
}

/// When no partition was the worker's any more.
async fn all_taken(broker: &NatsBroker, worker: WorkerId) -> Result<Timestamp, Error> {
    until("the killed worker's partitions are taken", || async {
        let taken = owners(broker).await?.iter().all(|(_, owner)| *owner != worker);
        if taken { now(broker).await.map(Some) } else { Ok(None) }
    })
    .await
}

/// When the ends of the waiting runs and of those with an activity were stored.
async fn closed(
    broker: &NatsBroker,
    from: u64,
    waiting: &[Key],
    held: &BTreeSet<String>,
) -> Result<(Vec<Timestamp>, Vec<Timestamp>), Error> {
    let (mut of_waiting, mut of_held) = (Vec::new(), Vec::new());
    watch_history(broker, from, WAIT_MAX, |key, record| {
        if record.frame.closed {
            let of = if held.contains(key) { &mut of_held } else { &mut of_waiting };
            of.push(record.time);
        }
        Ok(of_waiting.len() == waiting.len() && of_held.len() == held.len())
    })
    .await?;
    Ok((of_waiting, of_held))
}
