//! Answers that go out with the record that they tell of.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use async_nats::Subject;
use highwater_protocol::subject::Subjects;
use tokio::task::AbortHandle;

use super::{headers, link::Link, outbox::Outgoing, publish};
use crate::{
    broker::Publish,
    error::{Error, ErrorKind},
    message::{PlainMessage, PubAck},
};

/// Where this process hears the acknowledgements that others hear too. It listens from the first time on that one is to
/// come there, and anew when one did not come: it may not be allowed to any more.
#[derive(Debug)]
pub(super) struct EarlyAcks {
    /// Whoever hears an acknowledgement sees it, so it is not the one that tells this process's inbox.
    token: String,
    listening: Mutex<Option<Listening>>,
}

#[derive(Debug)]
struct Listening {
    /// The server knows of it and allows it.
    is_certain: Arc<AtomicBool>,
    reader: AbortHandle,
}

impl EarlyAcks {
    pub(super) fn new(link: &Link) -> Self {
        let inbox = link.client.new_inbox();
        let token = inbox.rsplit('.').next().unwrap_or(&inbox).to_owned();
        Self { token, listening: Mutex::default() }
    }

    /// Stores a message, with an answer right behind it if both sides can hear what becomes of it.
    pub(super) async fn publish(
        &self,
        link: Arc<Link>,
        subjects: &Subjects,
        message: Publish,
        answer: PlainMessage,
    ) -> Result<(PubAck, bool), Error> {
        if !self.are_heard(&link, subjects) {
            return Ok((link.publish(message).await?, false));
        }
        let stored = link.publish_with_answer(subjects, &self.token, message, answer).await;
        if stored.as_ref().is_err_and(|error| error.kind == ErrorKind::Unavailable) {
            *self.listening() = None;
        }
        stored
    }

    fn are_heard(&self, link: &Arc<Link>, subjects: &Subjects) -> bool {
        let mut listening = self.listening();
        let listening = listening.get_or_insert_with(|| {
            let filter = subjects.early_acks_of_owner(&self.token);
            let is_certain = Arc::default();
            let reader = tokio::spawn(listen(link.clone(), filter, Arc::clone(&is_certain))).abort_handle();
            Listening { is_certain, reader }
        });
        listening.is_certain.load(Ordering::Acquire)
    }

    fn listening(&self) -> MutexGuard<'_, Option<Listening>> {
        // Nothing panics while it holds the lock.
        self.listening.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn listen(link: Arc<Link>, filter: String, is_certain: Arc<AtomicBool>) {
    let subscriber = match link.listen_for_certain(filter).await {
        Ok(subscriber) => subscriber,
        Err(error) => {
            tracing::warn!(%error, "no answer goes out before its record is stored, which takes a little longer");
            return;
        }
    };
    let replies = link.replies.clone();
    // It must not keep the connection.
    drop(link);
    is_certain.store(true, Ordering::Release);
    replies.hand_out(subscriber).await;
}

impl Link {
    async fn publish_with_answer(
        &self,
        subjects: &Subjects,
        token: &str,
        mut message: Publish,
        answer: PlainMessage,
    ) -> Result<(PubAck, bool), Error> {
        let map = headers::of(&mut message)?;
        let subject = Subject::from(message.subject);
        let expected = self.replies.expect_in_time(subject.clone());
        let ack = subjects.early_ack(&answer.subject, token, expected.number()).map(Subject::from);
        let exchange = self.begin_awaiting(expected, ack.clone(), subject.clone(), map, message.payload);
        // What waits for a connection may be sent when nobody listens any more.
        let was_sent = exchange.is_sent() && ack.is_some_and(|ack| self.send_early(ack, answer));
        let stored = publish::read(&subject, &exchange.answer().await?)?;
        Ok((stored, was_sent))
    }

    fn send_early(&self, ack: Subject, PlainMessage { subject, headers, payload, .. }: PlainMessage) -> bool {
        let Ok(headers) = headers::to_nats(headers) else { return false };
        self.send_now(Outgoing { subject: subject.into(), reply: Some(ack), headers, payload })
    }
}
