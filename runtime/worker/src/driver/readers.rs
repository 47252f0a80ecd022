//! Reading what comes in for the owned partitions: one reader for requests and one for fired timers, opened anew when
//! the partitions change.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures_util::StreamExt;
use highwater_broker::{Broker, Delivered, Message, Stream};
use highwater_protocol::QueueName;
use tokio::{sync::mpsc, task::AbortHandle};

use crate::engine::{Source, UnitId};

/// Messages read ahead of the engine.
const AHEAD_MAX: usize = 1_024;
/// The wait before a reader that failed is opened again.
const REOPEN_AFTER: Duration = Duration::from_millis(500);

/// Something was read.
#[derive(Debug)]
pub(super) enum Read {
    Request(Message),
    Fired(Message),
}

/// The readers.
pub(super) struct Readers {
    broker: Arc<dyn Broker>,
    queues: Arc<[QueueName]>,
    units: BTreeSet<UnitId>,
    tasks: Vec<AbortHandle>,
    send: mpsc::Sender<Read>,
    receive: mpsc::Receiver<Read>,
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.close();
    }
}

impl Readers {
    pub(super) fn new(broker: Arc<dyn Broker>, queues: Arc<[QueueName]>) -> Self {
        let (send, receive) = mpsc::channel(AHEAD_MAX);
        Self { broker, queues, units: BTreeSet::new(), tasks: Vec::new(), send, receive }
    }

    /// The partitions that are read.
    pub(super) fn units(&self) -> &BTreeSet<UnitId> {
        &self.units
    }

    pub(super) async fn next(&mut self) -> Option<Read> {
        self.receive.recv().await
    }

    pub(super) fn try_next(&mut self) -> Option<Read> {
        self.receive.try_recv().ok()
    }

    /// Changes the partitions; `from` tells how far each has been read. What the readers before have left in the
    /// channel is read again: of a partition that was lost and is back, it would be the later part without the earlier
    /// one.
    pub(super) fn change(
        &mut self,
        change: impl FnOnce(&mut BTreeSet<UnitId>) -> bool,
        from: impl Fn(UnitId, Source) -> u64,
    ) {
        if !change(&mut self.units) {
            return;
        }
        self.close();
        (self.send, self.receive) = mpsc::channel(AHEAD_MAX);
        if self.units.is_empty() {
            return;
        }
        for (source, stream) in [(Source::Inbox, Stream::Inbox), (Source::Fires, Stream::Timers)] {
            let start = self.units.iter().map(|unit| from(*unit, source)).min().unwrap_or(0) + 1;
            let task = read(Arc::clone(&self.broker), stream, source, self.filters(source), start, self.send.clone());
            self.tasks.push(tokio::spawn(task).abort_handle());
        }
    }

    fn close(&mut self) {
        for task in self.tasks.drain(..) {
            task.abort();
        }
    }

    /// The subjects to read. A queue that is owned whole takes one filter instead of one for each partition.
    fn filters(&self, source: Source) -> Vec<String> {
        let subjects = self.broker.subjects();
        let mut by_queue: BTreeMap<usize, Vec<u16>> = BTreeMap::new();
        for unit in &self.units {
            by_queue.entry(unit.queue).or_default().push(unit.partition);
        }
        let mut filters = Vec::new();
        for (queue, partitions) in by_queue {
            let name = &self.queues[queue];
            let whole = partitions.len() == usize::from(subjects.partitions());
            match (whole, source) {
                (true, Source::Inbox) => filters.push(subjects.inbox_of_queue(name)),
                (true, Source::Fires) => filters.push(subjects.fire_of_queue(name)),
                (false, Source::Inbox) => filters.extend(partitions.iter().map(|p| subjects.inbox_of(*p, name))),
                (false, Source::Fires) => filters.extend(partitions.iter().map(|p| subjects.fire(*p, name))),
            }
        }
        filters
    }
}

/// Reads on and on, whatever happens to the connection.
async fn read(
    broker: Arc<dyn Broker>,
    stream: Stream,
    source: Source,
    filters: Vec<String>,
    mut from: u64,
    send: mpsc::Sender<Read>,
) {
    loop {
        match broker.read(stream, filters.clone(), from).await {
            Ok(mut messages) => {
                while let Some(delivered) = messages.next().await {
                    match delivered {
                        Ok(Delivered::Message(message)) => {
                            from = message.seq + 1;
                            let read =
                                if source == Source::Inbox { Read::Request(message) } else { Read::Fired(message) };
                            if send.send(read).await.is_err() {
                                return;
                            }
                        }
                        Ok(Delivered::CaughtUp) => {}
                        Err(error) => {
                            tracing::error!(?stream, %error, "reading failed; it is tried again");
                            break;
                        }
                    }
                }
            }
            Err(error) => tracing::warn!(?stream, %error, "a reader could not be opened; it is tried again"),
        }
        tokio::time::sleep(REOPEN_AFTER).await;
    }
}
