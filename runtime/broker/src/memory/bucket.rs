//! One bucket: small values with revisions that may expire.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::Instant,
};

use crate::{
    broker::{Entry, KvEvent},
    error::{Error, ErrorKind},
};

/// A bucket.
#[derive(Debug, Default)]
pub(super) struct Values {
    items: BTreeMap<String, Item>,
    expiries: BTreeSet<(Instant, String)>,
    watchers: Vec<UnboundedSender<KvEvent>>,
    last: u64,
    ttl: Option<Duration>,
}

#[derive(Debug)]
struct Item {
    revision: u64,
    /// Absent when the key was deleted: that has a revision too.
    value: Option<Bytes>,
    expires: Option<Instant>,
}

impl Values {
    /// A bucket whose values live this long.
    pub(super) fn new(ttl: Option<Duration>) -> Self {
        Self { ttl, ..Self::default() }
    }

    pub(super) fn get(&self, key: &str) -> Option<Entry> {
        self.items.get(key).and_then(Item::entry)
    }

    pub(super) fn list(&self) -> Vec<(String, Entry)> {
        self.items.iter().filter_map(|(key, item)| Some((key.clone(), item.entry()?))).collect()
    }

    pub(super) fn put(&mut self, key: String, value: Bytes, revision: Option<u64>, now: Instant) -> Result<u64, Error> {
        let found = self.items.get(&key);
        // A key that was deleted has a revision of its own, and can be made anew all the same.
        let last = found.map_or(0, |item| item.revision);
        let fits = |wanted: u64| wanted == last || (wanted == 0 && found.is_none_or(|item| item.value.is_none()));
        if revision.is_some_and(|wanted| !fits(wanted)) {
            let text = format!("the value of {key} is at revision {last}, not {}", revision.unwrap_or_default());
            return Err(Error::new(ErrorKind::Conflict, text));
        }
        let revision = self.write(key.clone(), Some(value.clone()), now);
        self.tell(&KvEvent::Put { key, entry: Entry { value, revision } });
        Ok(revision)
    }

    pub(super) fn delete(&mut self, key: String, now: Instant) {
        let was_there = self.get(&key).is_some();
        self.write(key.clone(), None, now);
        if was_there {
            self.tell(&KvEvent::Gone { key });
        }
    }

    fn write(&mut self, key: String, value: Option<Bytes>, now: Instant) -> u64 {
        self.last += 1;
        let expires = self.ttl.and_then(|ttl| now.checked_add(ttl));
        let before = self.items.insert(key.clone(), Item { revision: self.last, value, expires });
        if let Some(at) = before.and_then(|item| item.expires) {
            self.expiries.remove(&(at, key.clone()));
        }
        self.expiries.extend(expires.map(|at| (at, key)));
        self.last
    }

    /// Tells the values that there are, in the order in which they were written, and then every change.
    pub(super) fn watch(&mut self) -> UnboundedReceiver<KvEvent> {
        let (send, receive) = unbounded_channel();
        let mut values = self.list();
        values.sort_by_key(|(_, entry)| entry.revision);
        let puts = values.into_iter().map(|(key, entry)| KvEvent::Put { key, entry });
        for event in puts.chain([KvEvent::CaughtUp]) {
            // The receiver is right here.
            let _ = send.send(event);
        }
        self.watchers.push(send);
        receive
    }

    fn tell(&mut self, event: &KvEvent) {
        self.watchers.retain(|watcher| watcher.send(event.clone()).is_ok());
    }

    /// When the next value expires.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.expiries.first().map(|(at, _)| *at)
    }

    /// Takes what has expired away.
    pub(super) fn settle(&mut self, now: Instant) {
        while self.expiries.first().is_some_and(|(at, _)| *at <= now)
            && let Some((_, key)) = self.expiries.pop_first()
        {
            // The server writes down that it is gone, and takes a revision for it.
            self.last += 1;
            if self.items.remove(&key).is_some_and(|item| item.value.is_some()) {
                self.tell(&KvEvent::Gone { key });
            }
        }
    }
}

impl Item {
    fn entry(&self) -> Option<Entry> {
        self.value.clone().map(|value| Entry { value, revision: self.revision })
    }
}
