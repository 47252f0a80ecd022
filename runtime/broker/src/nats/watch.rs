//! Watching a bucket for ever.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use futures_util::{Stream, stream};
use tokio::time::sleep;

use super::{
    cursor::{Cursor, Start, Step},
    kv::{self, Kv},
    refusal::Refusal,
};
use crate::{
    broker::KvEvent,
    error::{Error, ErrorKind},
    message::Message,
};

/// The first and the longest pause between two attempts to go on.
const PAUSE: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// How often in a row a bucket may be missing before a watcher gives up: it was deleted.
const NOT_FOUND_MAX: u32 = 20;

#[derive(Debug)]
struct Watcher {
    kv: Kv,
    /// The keys that were told to have a value.
    known: BTreeSet<String>,
    /// While everything is told again: those that were told again so far.
    again: Option<BTreeSet<String>>,
    cursor: Option<Cursor>,
    ready: VecDeque<Result<KvEvent, Error>>,
    ended: bool,
}

impl Kv {
    /// Tells all values and then every change. After an interruption it tells all values again, what went in between as
    /// gone, and [`KvEvent::CaughtUp`] once more.
    pub(super) async fn watch(self) -> Result<impl Stream<Item = Result<KvEvent, Error>> + Send + use<>, Error> {
        let mut watcher = Watcher {
            kv: self,
            known: BTreeSet::new(),
            again: None,
            cursor: None,
            ready: VecDeque::new(),
            ended: false,
        };
        watcher.attach().await?;
        Ok(stream::unfold(watcher, |mut watcher| async move {
            let item = watcher.next().await?;
            Some((item, watcher))
        }))
    }
}

impl Watcher {
    async fn next(&mut self) -> Option<Result<KvEvent, Error>> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Some(item);
            }
            if self.ended {
                return None;
            }
            let Some(cursor) = &mut self.cursor else {
                self.attach_again().await;
                continue;
            };
            match cursor.next().await {
                // Only offsets come in batches. Should the disk lose one that was told here, two workers may each
                // believe to own a partition, which the conditional append to a history is there for.
                Step::Message(message, pending) | Step::Batched(message, pending) => {
                    self.tell(message);
                    if pending == 0 {
                        self.catch_up();
                    }
                }
                Step::Idle => self.catch_up(),
                Step::Lost(reason) => {
                    tracing::debug!(bucket = self.kv.stream, "watching anew: {reason}");
                    self.cursor = None;
                }
            }
        }
    }

    fn tell(&mut self, message: Message) {
        let Some(key) = self.kv.key(&message.subject).map(str::to_owned) else { return };
        if let Some(entry) = kv::value(message) {
            self.known.insert(key.clone());
            if let Some(again) = &mut self.again {
                again.insert(key.clone());
            }
            self.ready.push_back(Ok(KvEvent::Put { key, entry }));
            return;
        }
        if let Some(again) = &mut self.again {
            again.remove(&key);
        }
        // The mark of a key that nobody was told about is no news.
        if self.known.remove(&key) {
            self.ready.push_back(Ok(KvEvent::Gone { key }));
        }
    }

    fn catch_up(&mut self) {
        let Some(again) = self.again.take() else { return };
        for key in self.known.difference(&again) {
            self.ready.push_back(Ok(KvEvent::Gone { key: key.clone() }));
        }
        self.known = again;
        self.ready.push_back(Ok(KvEvent::CaughtUp));
    }

    async fn attach(&mut self) -> Result<(), Refusal> {
        let cursor = Cursor::open(self.kv.link.clone(), &self.kv.stream, &[], Start::LastOfEach).await?;
        self.again = Some(BTreeSet::new());
        if cursor.pending == 0 {
            self.catch_up();
        }
        self.cursor = Some(cursor);
        Ok(())
    }

    async fn attach_again(&mut self) {
        let mut pause = PAUSE;
        let mut not_found = 0;
        loop {
            let error = match self.attach().await {
                Ok(()) => return,
                Err(refusal) => refusal.error,
            };
            if error.kind == ErrorKind::NotFound {
                not_found += 1;
            }
            if !(error.is_retryable() || (1..NOT_FOUND_MAX).contains(&not_found)) {
                self.ended = true;
                self.ready.push_back(Err(error));
                return;
            }
            tracing::debug!(bucket = self.kv.stream, "cannot watch on yet: {error}");
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}
