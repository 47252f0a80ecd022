//! The program of a worker process.

use std::{io::Write as _, sync::Arc, time::Duration};

use clap::Args;
use highwater::{Highwater, Worker};
use highwater_broker::{Broker, Bucket};
use highwater_protocol::{QueueName, lease::Lease, wire};
use tokio::{io::AsyncReadExt, time::timeout};

use super::rows;
use crate::{exit::Error, globals::Globals};

/// What a worker process says on its stdout when it is at work.
pub(super) const READY: &str = "ready";
/// How often is looked whether all partitions are taken.
const LOOK: Duration = Duration::from_millis(20);
/// How long the worker may take to end. Its server may be gone.
const STOP_MAX: Duration = Duration::from_secs(20);

/// Run the worker of `highwater bench`, until stdin is closed
#[derive(Debug, Args)]
#[command(hide = true)]
pub(crate) struct BenchWorker {
    /// Threads that run workflow code
    #[arg(long)]
    threads: Option<usize>,
    /// How long the worker's thread may stay awake for what is about to come
    #[arg(long, value_parser = humantime::parse_duration)]
    busy_poll: Option<Duration>,
    /// Runs that stay in memory between their events
    #[arg(long)]
    cached_runs: Option<usize>,
}

impl BenchWorker {
    pub(crate) async fn run(self, globals: &Globals) -> Result<(), Error> {
        let broker = Arc::new(globals.connect().await?.open_namespace(&globals.namespace()?).await?);
        let highwater = Highwater::on(Arc::clone(&broker));
        let worker = self.worker(&highwater)?;
        let stop = worker.stop_handle();
        let mut worked = tokio::spawn(worker.run());
        let at_work = async {
            all_partitions_are_owned(&*broker).await?;
            println!("{READY}");
            std::io::stdout().flush().map_err(Error::failed)?;
            stdin_is_closed().await;
            Ok::<(), Error>(())
        };
        tokio::select! {
            told = at_work => told?,
            ended = &mut worked => return ended.map_err(Error::failed)?.map_err(Error::failed),
        }
        stop.stop();
        match timeout(STOP_MAX, worked).await {
            Ok(ended) => ended.map_err(Error::failed)?.map_err(Error::failed),
            Err(_) => Err(Error::failed(format_args!("the worker does not stop within {STOP_MAX:?}"))),
        }
    }

    fn worker(&self, highwater: &Highwater) -> Result<Worker, Error> {
        let mut builder = highwater.worker().queue(rows::QUEUE);
        if let Some(threads) = self.threads {
            builder = builder.workflow_threads(threads);
        }
        if let Some(window) = self.busy_poll {
            builder = builder.busy_poll(window);
        }
        if let Some(runs) = self.cached_runs {
            builder = builder.cached_runs(runs);
        }
        rows::register(builder).build().map_err(Error::failed)
    }
}

/// Waits until every partition of the queue has an owner: this worker or another one.
async fn all_partitions_are_owned(broker: &dyn Broker) -> Result<(), Error> {
    let queue = QueueName::new(rows::QUEUE)?;
    let keys: Vec<String> =
        (0..broker.subjects().partitions()).map(|partition| Lease::bucket_key(partition, &queue)).collect();
    loop {
        let leases = broker.kv_list(Bucket::Offsets).await.map_err(Error::failed)?;
        let owned = |key: &String| {
            let lease = leases.iter().find(|(of, _)| of == key);
            lease.and_then(|(_, entry)| wire::decode::<Lease>(&entry.value).ok()).is_some_and(|it| it.owner.is_some())
        };
        if keys.iter().all(owned) {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Returns when whoever started this process closes its stdin, or is gone.
async fn stdin_is_closed() {
    let mut stdin = tokio::io::stdin();
    let mut ignored = [0; 64];
    while stdin.read(&mut ignored).await.is_ok_and(|read| read > 0) {}
}
