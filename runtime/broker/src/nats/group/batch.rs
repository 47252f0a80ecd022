//! One atomic batch, as ADR-50 describes it.

use std::sync::Arc;

use async_nats::{Message, Subject};
use futures_util::FutureExt;
use serde::Deserialize;
use tokio::time::timeout;

use super::{
    flight::{Ready, answer, ready},
    queue::Item,
};
use crate::{
    error::{Error, ErrorKind},
    message::PubAck,
    nats::{
        headers,
        link::{ANSWER_WAIT, Link, is_unanswered},
        refusal::ApiError,
        replies::Expected,
    },
};

/// What these headers take at most, names included.
pub(super) const HEADERS_MAX: usize = 128;

/// The stream takes no batches.
const DISABLED: u64 = 10174;
/// A message of the batch is not there, or the batch is not known.
const INCOMPLETE: u64 = 10176;
/// There are too many batches already.
const TOO_MANY: u64 = 10210;

/// What became of a batch.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Everybody was answered: it was stored, or nobody knows.
    Settled,
    /// Nothing of it was stored, because of one of its messages or because of all together.
    Refused(Vec<Item>),
    /// Nothing of it was stored: the server has too many batches at the moment.
    Busy(Vec<Item>),
    /// Nothing of it was stored: the stream takes no batches any more.
    Unwelcome(Vec<Item>),
}

/// What a stream answers to the end of a batch.
#[derive(Debug, Deserialize)]
struct Committed {
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    count: u64,
    error: Option<ApiError>,
}

/// Stores messages as one batch and answers who waits for them, unless nothing was stored.
pub(super) async fn store(link: &Arc<Link>, id: String, items: Vec<Item>) -> Outcome {
    let batch: Vec<Ready> = items.into_iter().filter_map(ready).collect();
    if batch.len() < 2 {
        return Outcome::Refused(batch.into_iter().map(|(item, _)| item).collect());
    }
    let subject_of = |ready: Option<&Ready>| Subject::from(ready.map_or("", |(item, _)| &item.message.subject));
    let mut first = link.replies.expect(subject_of(batch.first()));
    let mut end = link.replies.expect(subject_of(batch.last()));
    let answered = send(link, &id, &batch, &first, &mut end).await;
    let items: Vec<Item> = batch.into_iter().map(|(item, _)| item).collect();
    let committed = match answered.and_then(|message| read(&message)) {
        Ok(committed) => committed,
        // The server did not take the last message in.
        Err(error) if error.kind == ErrorKind::Denied => return Outcome::Refused(items),
        Err(error) => return fail(items, &error),
    };
    match committed.error.map(|error| error.err_code) {
        None => acknowledge(items, committed.seq, committed.count),
        Some(DISABLED) => Outcome::Unwelcome(items),
        Some(INCOMPLETE) => match refusal_of_first(&mut first) {
            Some(TOO_MANY) => Outcome::Busy(items),
            Some(DISABLED) => Outcome::Unwelcome(items),
            _ => Outcome::Refused(items),
        },
        Some(TOO_MANY) => Outcome::Busy(items),
        // Whatever else is answered, is answered before anything of the batch is stored.
        Some(_) => Outcome::Refused(items),
    }
}

/// Sends all messages and waits for the answer to the last one.
async fn send(
    link: &Arc<Link>,
    id: &str,
    batch: &[Ready],
    first: &Expected,
    end: &mut Expected,
) -> Result<Message, Error> {
    let (first_reply, end_reply) = (first.reply(), end.reply());
    let sending = async {
        for ((item, map), number) in batch.iter().zip(1..) {
            let mut map = map.clone();
            headers::append(&mut map, headers::BATCH_ID, id)?;
            headers::append(&mut map, headers::BATCH_SEQUENCE, &number.to_string())?;
            let is_end = number == batch.len();
            let reply = if is_end {
                headers::append(&mut map, headers::BATCH_COMMIT, "1")?;
                Some(end_reply.clone())
            } else {
                (number == 1).then(|| first_reply.clone())
            };
            link.post(item.message.subject.clone().into(), reply, map, item.message.payload.clone()).await?;
        }
        Ok::<_, Error>(())
    };
    let answer = async {
        let mut answer = std::pin::pin!(end.answer());
        // The answer comes first when the connection is lost: the rest is not worth sending then.
        tokio::select! {
            biased;
            answer = &mut answer => return answer,
            sent = sending => sent?,
        }
        answer.await
    };
    let subject = batch.last().map(|(item, _)| item.message.subject.clone()).unwrap_or_default();
    timeout(ANSWER_WAIT, answer).await.unwrap_or_else(|_| Err(link.no_answer(&subject.into(), ANSWER_WAIT)))
}

fn read(message: &Message) -> Result<Committed, Error> {
    if is_unanswered(message) {
        return Err(Error::new(ErrorKind::NoResponders, "no stream takes it at the moment; it was not stored"));
    }
    serde_json::from_slice(&message.payload)
        .map_err(|error| Error::new(ErrorKind::Other, format!("the answer to a batch is not JetStream's: {error}")))
}

/// Why the first message of a batch was not taken in. That was answered before the last one was.
fn refusal_of_first(first: &mut Expected) -> Option<u64> {
    let message = first.answer().now_or_never()?.ok()?;
    Some(read(&message).ok()?.error?.err_code)
}

/// Tells everybody the same.
fn fail(items: Vec<Item>, error: &Error) -> Outcome {
    for item in items {
        answer(item.done, Err(error.clone()));
    }
    Outcome::Settled
}

/// The messages of a batch stand one behind the other, the last one at `last`.
fn acknowledge(items: Vec<Item>, last: u64, count: u64) -> Outcome {
    let sent = items.len() as u64;
    if count != sent || last < count {
        let text = format!("a batch of {sent} was acknowledged as one of {count} up to {last}");
        return fail(items, &Error::new(ErrorKind::Unavailable, text));
    }
    for (item, seq) in items.into_iter().zip(last + 1 - count..) {
        answer(item.done, Ok(PubAck { seq, duplicate: false }));
    }
    Outcome::Settled
}
