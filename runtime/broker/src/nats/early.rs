//! Answers that go out with the record that they tell of.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_nats::Subject;
use highwater_protocol::subject::Subjects;
use tokio::{task::AbortHandle, time::sleep};

use super::{headers, link::Link, outbox::Outgoing, publish};
use crate::{
    broker::Publish,
    error::{Error, ErrorKind},
    message::{PlainMessage, PubAck},
};

/// How long until it is tried again to listen, when the server did not answer.
const LISTEN_PAUSE: Duration = Duration::from_secs(1);

/// Where this process hears the acknowledgements that others hear too. It listens from the first time on that one is to
/// come there.
#[derive(Debug)]
pub(super) struct EarlyAcks {
    /// Whoever hears an acknowledgement sees it, so it is not the one that tells this process's inbox.
    token: String,
    listening: OnceLock<Listening>,
}

#[derive(Debug)]
struct Listening {
    filter: String,
    /// The server knows of it and allows it.
    is_certain: Arc<AtomicBool>,
    reader: AbortHandle,
}

impl EarlyAcks {
    pub(super) fn new(link: &Link) -> Self {
        let inbox = link.client.new_inbox();
        let token = inbox.rsplit('.').next().unwrap_or(&inbox).to_owned();
        Self { token, listening: OnceLock::new() }
    }

    /// Stores a message, with an answer right behind it if both sides can hear what becomes of it.
    pub(super) async fn publish(
        &self,
        link: Arc<Link>,
        subjects: &Subjects,
        message: Publish,
        answer: PlainMessage,
    ) -> Result<(PubAck, bool), Error> {
        if self.are_heard(&link, subjects) {
            link.publish_with_answer(subjects, &self.token, message, answer).await
        } else {
            Ok((link.publish(message).await?, false))
        }
    }

    fn are_heard(&self, link: &Arc<Link>, subjects: &Subjects) -> bool {
        let Listening { filter, is_certain, .. } = self.listening.get_or_init(|| {
            let filter = subjects.early_acks_of_owner(&self.token);
            let is_certain = Arc::default();
            let reader = tokio::spawn(listen(link.clone(), filter.clone(), Arc::clone(&is_certain))).abort_handle();
            Listening { filter, is_certain, reader }
        });
        if !is_certain.load(Ordering::Acquire) {
            return false;
        }
        if link.replies.was_denied_to_listen(filter) {
            // It was allowed before.
            is_certain.store(false, Ordering::Release);
            return false;
        }
        true
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn listen(link: Arc<Link>, filter: String, is_certain: Arc<AtomicBool>) {
    let subscriber = loop {
        match link.listen_for_certain(filter.clone()).await {
            Ok(subscriber) => break subscriber,
            Err(error) if error.kind == ErrorKind::Denied => {
                tracing::warn!(%error, "no answer goes out before its record is stored, which takes a little longer");
                return;
            }
            Err(error) => tracing::debug!(%error, "cannot listen to acknowledgements yet"),
        }
        sleep(LISTEN_PAUSE).await;
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
        let mut exchange = self.begin_awaiting(expected, ack.clone(), subject.clone(), map, message.payload);
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
