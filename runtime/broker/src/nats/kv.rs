//! Small values.

use std::sync::Arc;

use async_nats::HeaderMap;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

use super::{direct::Which, group::Group, headers, link::Link};
use crate::{
    broker::{Entry, Publish},
    error::{Error, ErrorKind},
    message::Message,
    rules::check_key,
};

/// How many values a list reads at a time.
const LIST_PARALLEL: usize = 64;
/// How often a write to a key that is deleted is tried, while it is being deleted by others.
const CREATE_ATTEMPTS: u32 = 4;

/// A bucket, by the name of its stream, `KV_<bucket>`.
#[derive(Clone, Debug)]
pub(super) struct Kv {
    pub(super) link: Arc<Link>,
    pub(super) stream: String,
    prefix: String,
    /// Where the bucket's values are stored in groups.
    group: Option<Arc<Group>>,
}

impl Kv {
    pub(super) fn new(link: Arc<Link>, bucket: &str) -> Self {
        Self { link, stream: format!("KV_{bucket}"), prefix: format!("$KV.{bucket}."), group: None }
    }

    /// The same bucket, with values that are stored together with others of the time.
    pub(super) fn grouped(self, group: Arc<Group>) -> Self {
        Self { group: Some(group), ..self }
    }

    pub(super) async fn get(&self, key: &str) -> Result<Option<Entry>, Error> {
        Ok(self.last(key).await?.and_then(value))
    }

    /// The last message of a key, which may be the mark of a deletion.
    async fn last(&self, key: &str) -> Result<Option<Message>, Error> {
        Ok(self.link.get_from_leader(&self.stream, &self.last_of(key)?).await?)
    }

    /// What to ask for to get the last message of a key.
    pub(super) fn last_of(&self, key: &str) -> Result<Which, Error> {
        Ok(Which::last(self.subject(key)?))
    }

    pub(super) async fn put(&self, key: &str, value: Bytes, revision: Option<u64>) -> Result<u64, Error> {
        let subject = self.subject(key)?;
        let first = self.store(subject.clone(), value.clone(), revision).await;
        let (Some(0), Err(mut conflict)) = (revision, first.clone()) else { return first };
        // A key that was deleted has a last message all the same.
        for _ in 0..CREATE_ATTEMPTS {
            if !matches!(conflict.kind, ErrorKind::Conflict | ErrorKind::UnderWay) {
                break;
            }
            let expect = match self.last(key).await? {
                None => 0,
                Some(message) if is_gone(&message) => message.seq,
                Some(_) => {
                    conflict.kind = ErrorKind::Conflict;
                    break;
                }
            };
            match self.store(subject.clone(), value.clone(), Some(expect)).await {
                Ok(revision) => return Ok(revision),
                Err(error) => conflict = error,
            }
        }
        Err(conflict)
    }

    async fn store(&self, subject: String, value: Bytes, expect: Option<u64>) -> Result<u64, Error> {
        let message = Publish { subject, payload: value, expect_last: expect, ..Publish::default() };
        let stored = match &self.group {
            Some(group) => group.publish(message).await?,
            None => self.link.publish(message).await?,
        };
        Ok(stored.seq)
    }

    pub(super) async fn delete(&self, key: &str) -> Result<(), Error> {
        let mut map = HeaderMap::new();
        headers::append(&mut map, headers::KV_OPERATION, "DEL")?;
        self.link.store(self.subject(key)?, map, Bytes::new()).await?;
        Ok(())
    }

    /// All keys and values. Each is what the leader has in the moment it is read.
    pub(super) async fn list(&self) -> Result<Vec<(String, Entry)>, Error> {
        let keys = self.keys().await?;
        let read = |key: String| async move {
            let entry = self.get(&key).await?;
            Ok::<_, Error>(entry.map(|entry| (key, entry)))
        };
        stream::iter(keys).map(read).buffered(LIST_PARALLEL).try_filter_map(async |found| Ok(found)).try_collect().await
    }

    /// The keys that have a message, be it the mark of a deletion.
    async fn keys(&self) -> Result<Vec<String>, Error> {
        #[derive(Serialize)]
        struct Body<'a> {
            subjects_filter: &'a str,
            offset: usize,
        }
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default)]
            total: usize,
            state: State,
        }
        #[derive(Deserialize)]
        struct State {
            #[serde(default)]
            subjects: Option<std::collections::BTreeMap<String, u64>>,
        }
        let call = format!("STREAM.INFO.{}", self.stream);
        let mut keys = Vec::new();
        loop {
            let body = Body { subjects_filter: ">", offset: keys.len() };
            let answer: Answer = self.link.api(&call, &body).await?;
            let page = answer.state.subjects.unwrap_or_default();
            let before = keys.len();
            keys.extend(page.into_keys().filter_map(|subject| self.key(&subject).map(str::to_owned)));
            if keys.len() == before || keys.len() >= answer.total {
                return Ok(keys);
            }
        }
    }

    /// The key of a message's subject.
    pub(super) fn key<'a>(&self, subject: &'a str) -> Option<&'a str> {
        subject.strip_prefix(&self.prefix)
    }

    fn subject(&self, key: &str) -> Result<String, Error> {
        check_key(key, &self.stream)?;
        Ok(format!("{}{key}", self.prefix))
    }
}

/// Whether a message says that its key is gone: deleted by somebody, or expired.
pub(super) fn is_gone(message: &Message) -> bool {
    message.headers.get(headers::KV_OPERATION).is_some() || message.headers.get(headers::MARKER_REASON).is_some()
}

/// The value of a message, when it is one.
pub(super) fn value(message: Message) -> Option<Entry> {
    (!is_gone(&message)).then(|| Entry { revision: message.seq, value: message.payload })
}
