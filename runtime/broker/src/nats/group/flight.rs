//! Messages that went out together, until it is clear what became of each.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::{
    batch::{self, Outcome},
    queue::Item,
};
use crate::{
    error::Error,
    message::PubAck,
    nats::{
        headers,
        link::{ANSWER_WAIT, Link},
        publish,
    },
};

/// From so many messages on a batch is cheaper than as many single ones: the server makes a store of its own for every
/// batch, which costs about as much as so many writes.
const BATCH_MIN: usize = 8;
/// Into how many parts a batch is taken that was refused.
const PARTS: usize = 8;
/// A refused batch of no more than so many messages is sent as single ones.
const SINGLES_MAX: usize = 32;
/// How often a batch is tried for which the server has no place. It has 50 a stream, for all processes.
const BUSY_TRIES: u32 = 5;
/// The first pause between two such attempts; it doubles.
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// Makes the ids of batches, which no two processes may share.
#[derive(Debug)]
pub(super) struct Ids {
    process: String,
    next: AtomicU64,
}

impl Ids {
    pub(super) fn new() -> Self {
        // It is stored with every message, so it is short; 32 bits keep the few that are open at once apart.
        let (random, ..) = Uuid::new_v4().as_fields();
        Self { process: format!("{random:08x}"), next: AtomicU64::new(0) }
    }

    fn next(&self) -> String {
        format!("{}{:x}", self.process, self.next.fetch_add(1, Ordering::Relaxed))
    }
}

/// A message on its way: its headers are what async-nats takes.
pub(super) type Ready = (Item, async_nats::HeaderMap);

/// Sends messages and answers everybody who waits for one; returns the subjects, which are free again.
pub(super) async fn fly(link: &Arc<Link>, ids: &Ids, items: Vec<Item>) -> Vec<String> {
    let subjects = items.iter().map(|item| item.message.subject.clone()).collect();
    // One part after the other, so that what is to one subject stays in order. The next one is the last here.
    let mut parts = vec![items];
    let mut tries = 0;
    while let Some(part) = parts.pop() {
        let part: Vec<Item> = part.into_iter().filter(|item| !item.is_given_up()).collect();
        if part.len() < BATCH_MIN || tries == BUSY_TRIES {
            tries = 0;
            singly(link, part).await;
            continue;
        }
        match batch::store(link, ids.next(), part).await {
            Outcome::Settled => tries = 0,
            Outcome::Refused(refused) => {
                tries = 0;
                take_apart(link, refused, &mut parts).await;
            }
            Outcome::Unwelcome(refused) => {
                tries = 0;
                singly(link, refused).await;
            }
            Outcome::Busy(refused) => {
                sleep(BUSY_PAUSE * 2_u32.pow(tries)).await;
                tries += 1;
                parts.push(refused);
            }
        }
    }
    subjects
}

/// Puts a refused batch back in parts, the first one last; a small one is sent at once.
async fn take_apart(link: &Arc<Link>, mut refused: Vec<Item>, parts: &mut Vec<Vec<Item>>) {
    if refused.len() <= SINGLES_MAX {
        return singly(link, refused).await;
    }
    let size = refused.len().div_ceil(PARTS).max(SINGLES_MAX);
    while !refused.is_empty() {
        parts.push(refused.split_off((refused.len() - 1) / size * size));
    }
}

/// Sends messages one by one, all of them at once.
async fn singly(link: &Arc<Link>, items: Vec<Item>) {
    let mut sent = Vec::with_capacity(items.len());
    for item in items {
        let Some((item, map)) = ready(item) else { continue };
        let Item { message, mut done } = item;
        let mut expected = link.replies.expect(message.subject.clone().into());
        let reply = Some(expected.reply());
        let post = link.post(message.subject.clone().into(), reply, map, message.payload);
        // Nothing goes out that nobody waits for any more, however long there is no connection.
        let posted = tokio::select! {
            biased;
            () = done.closed() => continue,
            posted = post => posted,
        };
        // What cannot be sent is the fault of this message, or the next ones will tell the same.
        match posted {
            Err(error) => answer(done, Err(error)),
            Ok(()) => sent.push(async move {
                let subject = message.subject;
                let answered = timeout(ANSWER_WAIT, expected.answer()).await;
                let answered = answered.unwrap_or_else(|_| Err(link.no_answer(&subject.clone().into(), ANSWER_WAIT)));
                let stored = answered.and_then(|message| publish::read(&subject, &message).map_err(Error::from));
                answer(done, stored);
            }),
        }
    }
    join_all(sent).await;
}

/// Makes a message's headers; one whose headers cannot be is answered at once.
pub(super) fn ready(item: Item) -> Option<Ready> {
    match headers::of(&mut item.message.clone()) {
        Ok(map) => Some((item, map)),
        Err(error) => {
            answer(item.done, Err(error));
            None
        }
    }
}

/// Tells who waits for a message what became of it. He may have left.
pub(super) fn answer(done: tokio::sync::oneshot::Sender<Result<PubAck, Error>>, outcome: Result<PubAck, Error>) {
    let _ = done.send(outcome);
}
