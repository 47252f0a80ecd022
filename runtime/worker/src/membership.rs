//! Who is alive, who owns what: announcing this worker, and taking, keeping and handing over partitions.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt, future::join_all};
use highwater_broker::{BoxStream, Broker, Bucket, Entry, Error, ErrorKind, KvEvent, Stream};
use highwater_protocol::{Key, QueueName, TypeName, WorkerId, lease::Lease, record::Mark, wire, worker::Announcement};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender},
    time::Instant,
};

use crate::{
    assignment::{assign, candidates},
    engine::UnitId,
    tick::Tick,
};

/// How often the leases are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often consumed messages are purged.
const PURGE_EVERY: Duration = Duration::from_mins(1);
/// How long consumed requests stay, for their ids to be remembered by the server.
const PURGE_AFTER: Duration = Duration::from_secs(40);
/// The pauses between attempts to delete it.
const PURGE_AGAIN: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(20)];

/// What the membership tells the driver.
#[derive(Debug)]
pub(crate) enum Note {
    /// A partition is ours.
    Gained { unit: UnitId, lease: Lease },
    /// A partition shall go to another worker.
    Release { unit: UnitId },
    /// A partition is not ours any more.
    Lost { unit: UnitId },
    /// Which types the live workers of a queue know.
    KnownTypes { queue: usize, types: Vec<TypeName> },
}

/// What the driver tells the membership.
#[derive(Debug)]
pub(crate) enum Command {
    /// Write offsets.
    Write(Vec<Offsets>),
    /// Leave: take no more partitions.
    Leave,
}

/// The offsets of a partition.
#[derive(Debug)]
pub(crate) struct Offsets {
    pub(crate) unit: UnitId,
    pub(crate) inbox: Mark,
    pub(crate) fires: Mark,
    pub(crate) busy: Vec<Key>,
    /// These are the last ones: the partition is free for another worker.
    pub(crate) release: bool,
}

/// A lease that this worker holds.
#[derive(Debug)]
struct Held {
    lease: Lease,
    revision: u64,
    releasing: bool,
    /// Offsets that were written, with when, until what is behind them is purged.
    written: VecDeque<(Instant, u64, u64)>,
}

/// The membership of one worker.
pub(crate) struct Membership {
    broker: Arc<dyn Broker>,
    announcement: Announcement,
    queues: Vec<QueueName>,
    live: BTreeMap<WorkerId, Announcement>,
    held: HashMap<UnitId, Held>,
    notes: UnboundedSender<Note>,
    commands: UnboundedReceiver<Command>,
    leaving: bool,
}

impl Membership {
    pub(crate) fn new(
        broker: Arc<dyn Broker>,
        announcement: Announcement,
        notes: UnboundedSender<Note>,
        commands: UnboundedReceiver<Command>,
    ) -> Self {
        let queues = announcement.queues.iter().map(|served| served.queue.clone()).collect();
        let live = BTreeMap::from([(announcement.worker, announcement.clone())]);
        Self { broker, announcement, queues, live, held: HashMap::new(), notes, commands, leaving: false }
    }

    /// Runs until it is told to leave and every partition is handed over.
    pub(crate) async fn run(mut self) {
        let ttl = self.broker.kv_ttl(Bucket::Workers).unwrap_or(Duration::from_secs(6));
        let mut announce = Tick::every(ttl / 3, &*self.broker);
        let mut look = Tick::every(LOOK_EVERY, &*self.broker);
        let mut purge = Tick::every(PURGE_EVERY, &*self.broker);
        announce.skip_first();
        self.announce().await;
        self.list_workers().await;
        let mut watch = self.watch().await;
        while !self.is_over() {
            tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    Some(Command::Write(offsets)) => self.write(offsets).await,
                    Some(Command::Leave) | None => self.leaving = true,
                },
                () = announce.tick() => self.announce().await,
                event = next(&mut watch) => match event {
                    Some(Ok(event)) => if self.heard(event) { self.look().await },
                    _ => watch = self.watch().await,
                },
                () = look.tick() => self.look().await,
                () = purge.tick() => self.purge(),
            }
        }
        let key = self.announcement.worker.to_string();
        if let Err(error) = self.broker.kv_delete(Bucket::Workers, key).await {
            tracing::warn!(%error, "could not take leave; the others notice when the announcement expires");
        }
    }

    /// Everything is handed over, or nobody is left to do it: the driver has ended while a partition was on its way to
    /// it. The others take such a partition like a dead worker's, once this one's announcement is gone.
    fn is_over(&self) -> bool {
        let deserted = self.notes.is_closed() && self.commands.is_empty();
        self.leaving && (self.held.is_empty() || deserted)
    }

    async fn announce(&self) {
        let key = self.announcement.worker.to_string();
        let value = wire::encode(&self.announcement);
        if let Err(error) = self.broker.kv_put(Bucket::Workers, key, value, None).await {
            tracing::warn!(%error, "could not announce this worker; it is tried again");
        }
    }

    async fn watch(&self) -> Option<BoxStream<Result<KvEvent, Error>>> {
        match self.broker.kv_watch(Bucket::Workers).await {
            Ok(watch) => Some(watch),
            Err(error) => {
                tracing::warn!(%error, "could not watch the other workers; they are looked up instead");
                None
            }
        }
    }

    /// Takes a change among the workers; true when it matters for who owns what.
    fn heard(&mut self, event: KvEvent) -> bool {
        match event {
            KvEvent::Put { key, entry } => self.add_live(&key, &entry),
            KvEvent::Gone { key } => match key.parse::<WorkerId>() {
                Ok(worker) if worker != self.announcement.worker => self.live.remove(&worker).is_some(),
                _ => false,
            },
            KvEvent::CaughtUp => true,
        }
    }

    fn add_live(&mut self, key: &str, entry: &Entry) -> bool {
        let Ok(worker) = key.parse::<WorkerId>() else { return false };
        let Ok(announcement) = wire::decode::<Announcement>(&entry.value) else { return false };
        let known = self.live.insert(worker, announcement.clone());
        known.as_ref() != Some(&announcement)
    }

    /// Reads the list of workers: a watch alone may miss an expiry.
    async fn list_workers(&mut self) {
        let Ok(entries) = self.broker.kv_list(Bucket::Workers).await else { return };
        self.live = BTreeMap::from([(self.announcement.worker, self.announcement.clone())]);
        for (key, entry) in &entries {
            self.add_live(key, entry);
        }
    }

    /// Looks at who lives and who owns what, and takes or gives what follows from it.
    async fn look(&mut self) {
        self.list_workers().await;
        let entries = match self.broker.kv_list(Bucket::Offsets).await {
            Ok(entries) => entries,
            Err(error) => {
                tracing::warn!(%error, "could not look at the leases; it is tried again");
                return;
            }
        };
        let entries: HashMap<String, Entry> = entries.into_iter().collect();
        for index in 0..self.queues.len() {
            self.look_at_queue(index, &entries).await;
        }
    }

    async fn look_at_queue(&mut self, index: usize, entries: &HashMap<String, Entry>) {
        let queue = self.queues[index].clone();
        let me = self.announcement.worker;
        let leases: Vec<Option<(Lease, u64)>> = (0..self.broker.subjects().partitions())
            .map(|partition| {
                let entry = entries.get(&Lease::bucket_key(partition, &queue))?;
                Some((wire::decode(&entry.value).ok()?, entry.revision))
            })
            .collect();
        let mut workers = candidates(&queue, &self.live);
        if self.leaving {
            workers.retain(|worker| *worker != me);
        }
        let current: Vec<Option<WorkerId>> = leases
            .iter()
            .map(|lease| lease.as_ref().and_then(|(lease, _)| lease.owner).filter(|owner| workers.contains(owner)))
            .collect();
        let owners = assign(&queue, &workers, &current);
        let (mut wanted, mut left_over) = (Vec::new(), Vec::new());
        for (partition, lease) in leases.into_iter().enumerate() {
            let unit = UnitId { queue: index, partition: partition as u16 };
            let mine = owners.get(partition) == Some(&me);
            let owner = lease.as_ref().and_then(|(lease, _)| lease.owner);
            match self.held.get_mut(&unit) {
                Some(_) if owner.is_some_and(|owner| owner != me) => self.lose(unit),
                Some(held) if !mine && !held.releasing && !workers.is_empty() => {
                    held.releasing = true;
                    let _ = self.notes.send(Note::Release { unit });
                }
                // A live holder hands over by itself; what is nobody's, or a dead worker's, is taken.
                None if mine && owner.is_none_or(|owner| owner == me || !self.live.contains_key(&owner)) => {
                    wanted.push((unit, lease));
                }
                // Its last offsets could not be written when it was handed over.
                None if !mine && owner == Some(me) => left_over.extend(lease.map(|lease| (unit, lease))),
                Some(_) | None => {}
            }
        }
        self.let_go(left_over).await;
        join_all_take(self, wanted).await;
        let mut types: Vec<TypeName> = self
            .live
            .values()
            .flat_map(|a| &a.queues)
            .filter(|served| served.queue == queue)
            .flat_map(|s| s.types.clone())
            .collect();
        types.sort();
        types.dedup();
        let _ = self.notes.send(Note::KnownTypes { queue: index, types });
    }

    /// Frees partitions that this worker does not read any more, at the offsets that it wrote last.
    async fn let_go(&self, left_over: Vec<(UnitId, (Lease, u64))>) {
        for (unit, (mut lease, revision)) in left_over {
            lease.owner = None;
            let key = Lease::bucket_key(unit.partition, &self.queues[unit.queue]);
            if let Err(error) = self.broker.kv_put(Bucket::Offsets, key, wire::encode(&lease), Some(revision)).await {
                tracing::warn!(%error, partition = unit.partition, "a partition could not be handed over; it is tried again");
            }
        }
    }

    fn lose(&mut self, unit: UnitId) {
        tracing::warn!(partition = unit.partition, queue = %self.queues[unit.queue], "the partition was taken over by another worker");
        self.held.remove(&unit);
        let _ = self.notes.send(Note::Lost { unit });
    }

    /// Writes offsets, each on the condition that the lease is still this worker's.
    async fn write(&mut self, offsets: Vec<Offsets>) {
        let mut writes = Vec::new();
        for offsets in offsets {
            let Some(held) = self.held.get(&offsets.unit) else { continue };
            let mut lease = held.lease.clone();
            lease.inbox = offsets.inbox;
            lease.fires = offsets.fires;
            lease.busy = offsets.busy;
            if offsets.release {
                lease.owner = None;
            }
            let key = Lease::bucket_key(offsets.unit.partition, &self.queues[offsets.unit.queue]);
            let put = self.broker.kv_put(Bucket::Offsets, key, wire::encode(&lease), Some(held.revision));
            writes.push(async move { (offsets.unit, offsets.release, lease, put.await) });
        }
        for (unit, release, lease, result) in join_all(writes).await {
            match result {
                Ok(_) if release => {
                    self.held.remove(&unit);
                }
                Ok(revision) => {
                    if let Some(held) = self.held.get_mut(&unit) {
                        held.written.push_back((Instant::now(), lease.inbox.seq, lease.fires.seq));
                        held.lease = lease;
                        held.revision = revision;
                    }
                }
                Err(error) if error.kind == ErrorKind::Conflict => self.settle_conflict(unit, release).await,
                Err(error) => {
                    tracing::warn!(%error, partition = unit.partition, "could not write offsets; they are written later");
                    if release {
                        // The others take it when this worker's announcement is gone.
                        self.held.remove(&unit);
                    }
                }
            }
        }
    }

    /// The lease is not as it was left: somebody took it, or this worker's own write was stored and its answer lost.
    async fn settle_conflict(&mut self, unit: UnitId, release: bool) {
        let key = Lease::bucket_key(unit.partition, &self.queues[unit.queue]);
        let Ok(entry) = self.broker.kv_get(Bucket::Offsets, key).await else {
            if release {
                // The driver has let go of it already.
                self.held.remove(&unit);
            }
            return;
        };
        let lease = entry.as_ref().and_then(|entry| wire::decode::<Lease>(&entry.value).ok());
        let mine = lease.as_ref().is_some_and(|lease| lease.owner == Some(self.announcement.worker));
        match (entry, lease, self.held.get_mut(&unit)) {
            (Some(entry), Some(lease), Some(held)) if mine && lease.epoch == held.lease.epoch && !release => {
                held.revision = entry.revision;
                held.lease = lease;
            }
            _ if release => {
                self.held.remove(&unit);
            }
            _ => self.lose(unit),
        }
    }

    /// Deletes requests and fired timers that everybody is done with, beside everything else.
    fn purge(&mut self) {
        let subjects = self.broker.subjects();
        for (unit, held) in &mut self.held {
            let mut done = None;
            while held.written.front().is_some_and(|(at, ..)| at.elapsed() > PURGE_AFTER) {
                done = held.written.pop_front();
            }
            let Some((_, inbox, fires)) = done else { continue };
            let queue = &self.queues[unit.queue];
            let inbox_subject = subjects.inbox_of(unit.partition, queue);
            let fire_subject = subjects.fire(unit.partition, queue);
            let broker = Arc::clone(&self.broker);
            tokio::spawn(async move {
                for (stream, subject, up_to) in
                    [(Stream::Inbox, inbox_subject, inbox), (Stream::Timers, fire_subject, fires)]
                {
                    if up_to > 0 {
                        purge_consumed(&*broker, stream, subject, up_to).await;
                    }
                }
            });
        }
    }
}

/// Deletes messages that everybody is done with, in several attempts if need be.
async fn purge_consumed(broker: &dyn Broker, stream: Stream, subject: String, up_to: u64) {
    let mut pauses = PURGE_AGAIN.into_iter();
    while let Err(error) = broker.purge(stream, subject.clone(), up_to).await {
        let Some(pause) = pauses.next().filter(|_| error.is_retryable()) else {
            tracing::warn!(
                ?stream, subject, %error,
                "could not purge consumed messages; they stay until something else happens in this partition"
            );
            return;
        };
        tracing::debug!(?stream, subject, %error, "could not purge consumed messages; again in {pause:?}");
        tokio::time::sleep(pause).await;
    }
}

/// Takes free partitions, each on the condition that nobody else did.
async fn join_all_take(membership: &mut Membership, wanted: Vec<(UnitId, Option<(Lease, u64)>)>) {
    let me = membership.announcement.worker;
    let takes = wanted.into_iter().map(|(unit, found)| {
        let (mut lease, revision) = found.unwrap_or_default();
        lease.owner = Some(me);
        lease.epoch += 1;
        let key = Lease::bucket_key(unit.partition, &membership.queues[unit.queue]);
        let put = membership.broker.kv_put(Bucket::Offsets, key, wire::encode(&lease), Some(revision));
        async move { (unit, lease, put.await) }
    });
    for (unit, lease, result) in join_all(takes.collect::<Vec<_>>()).await {
        match result {
            Ok(revision) => {
                let held = Held { lease: lease.clone(), revision, releasing: false, written: VecDeque::new() };
                membership.held.insert(unit, held);
                let _ = membership.notes.send(Note::Gained { unit, lease });
            }
            // Somebody else was first, or the answer was lost: the next look tells.
            Err(error) => tracing::debug!(%error, partition = unit.partition, "a partition was not taken"),
        }
    }
}

/// The next change; never, without a watch.
async fn next(watch: &mut Option<BoxStream<Result<KvEvent, Error>>>) -> Option<Result<KvEvent, Error>> {
    match watch {
        Some(watch) => watch.next().await,
        None => std::future::pending().await,
    }
}
