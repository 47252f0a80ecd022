//! Group commit: what is published at the same time is stored by one write to the disk.
//!
//! A server with `sync_interval: always` has every message on the disk before it answers, one after the other, and the
//! disk decides how many there are a second. An atomic batch (ADR-50) is written as one. So each stream has a committer
//! here: while a flight of messages is under way, what comes in collects, and goes out together when there is a place
//! again. Nothing waits for a clock.
//!
//! Nobody here needs the atomicity. It is only used the other way round: a batch that was refused has left nothing
//! behind, so it is taken apart and its parts are tried again, down to single messages. Whoever loses a CAS loses it
//! alone.
//!
//! What holds for every publish holds for those in batches:
//!
//! - An answer that got lost leaves the outcome open, for every message of the batch, and is told as such.
//! - Messages to one subject are stored in the order in which they came: one whose subject is under way waits.

mod batch;
mod committer;
mod flight;
mod queue;
mod setting;

use std::sync::Arc;

use highwater_protocol::{Namespace, subject::Subjects};
use tokio::{
    sync::{
        mpsc::{UnboundedSender, unbounded_channel},
        oneshot,
    },
    time::timeout,
};

use self::queue::Item;
use super::{
    link::{ANSWER_WAIT, Link},
    names,
};
use crate::{
    broker::{Bucket, Publish},
    error::{Error, ErrorKind},
    message::PubAck,
    rules::check_subject,
};

/// The committers of a namespace. They end when this is dropped.
#[derive(Debug)]
pub(super) struct Group {
    link: Arc<Link>,
    /// What the subjects begin with, and who commits them. What is queued there has somebody waiting for it, for no
    /// longer than an answer may take, so the callers are the limit.
    committers: Vec<(String, UnboundedSender<Item>)>,
}

impl Group {
    /// Begins to commit for a namespace.
    pub(super) fn new(link: Arc<Link>, namespace: &Namespace, subjects: &Subjects) -> Self {
        let streams = [
            vec![subjects.history_all()],
            vec![subjects.inbox_all(), subjects.public_all()],
            vec![subjects.task_all()],
            vec![subjects.timer_all()],
            vec![format!("$KV.{}.>", names::bucket(namespace, Bucket::Offsets))],
        ];
        let mut committers = Vec::new();
        for filters in streams {
            let (sender, incoming) = unbounded_channel();
            tokio::spawn(committer::run(link.clone(), incoming));
            committers.extend(filters.iter().map(|filter| (filter.trim_end_matches('>').to_owned(), sender.clone())));
        }
        Self { link, committers }
    }

    /// Stores a message and waits for the acknowledgement.
    pub(super) async fn publish(&self, message: Publish) -> Result<PubAck, Error> {
        check_subject(&message.subject, None)?;
        let committer = self.committers.iter().find(|(prefix, _)| message.subject.starts_with(prefix));
        let Some((_, committer)) = committer else { return self.link.publish(message).await };
        let ended =
            |subject: &str| Error::new(ErrorKind::Unavailable, format!("{subject} was not sent: it is the end"));
        let subject = message.subject.clone();
        let (done, outcome) = oneshot::channel();
        committer.send(Item { message, done }).map_err(|_| ended(&subject))?;
        match timeout(ANSWER_WAIT, outcome).await {
            Ok(outcome) => outcome.unwrap_or_else(|_| {
                let text = format!("it is not known whether {subject} was stored: the runtime has ended");
                Err(Error::new(ErrorKind::Unavailable, text))
            }),
            Err(_) => Err(self.link.no_answer(&subject.into(), ANSWER_WAIT)),
        }
    }
}
