//! The stream of requests that could not be accepted.

use futures_util::StreamExt;
use highwater::Highwater;
use highwater_broker::{Broker, Delivered, Message, Stream};
use highwater_protocol::header;

use crate::deadline::{until, within};

/// A rejected request, as it is kept.
#[derive(Clone, Debug)]
pub struct Rejected {
    /// The word for programs.
    pub code: String,
    /// The words for people.
    pub reason: String,
    /// The subject that it came in on.
    pub subject: String,
    /// The whole message.
    pub message: Message,
}

/// Everything that was rejected so far.
pub async fn all(highwater: &Highwater) -> Vec<Rejected> {
    let broker = highwater.broker();
    let subjects = vec![broker.subjects().rejected_all()];
    let mut messages = broker.read(Stream::Rejected, subjects, 1).await.expect("the stream can be read");
    let mut all = Vec::new();
    loop {
        match within("reading rejected requests", messages.next()).await {
            Some(Ok(Delivered::Message(message))) => all.push(read(message)),
            Some(Ok(Delivered::CaughtUp)) => return all,
            other => panic!("the stream of rejected requests ended with {other:?}"),
        }
    }
}

/// The request that was rejected for this workflow id (its token, as published), once it is there.
pub async fn of(highwater: &Highwater, token: &str) -> Rejected {
    let suffix = format!(".{token}");
    let mut found = until(
        &format!("{token} is rejected"),
        async || all(highwater).await.into_iter().filter(|r| r.subject.ends_with(&suffix)).collect::<Vec<_>>(),
        |found| !found.is_empty(),
    )
    .await;
    assert_eq!(found.len(), 1, "one request is rejected once: {found:#?}");
    found.remove(0)
}

fn read(message: Message) -> Rejected {
    let header = |name| message.headers.get(name).unwrap_or_default().to_owned();
    let (code, reason, subject) = (header(header::CODE), header(header::REASON), header(header::SUBJECT));
    Rejected { code, reason, subject, message }
}
