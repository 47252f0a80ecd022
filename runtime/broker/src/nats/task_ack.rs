//! What is told the server about a task.

use std::{sync::Arc, time::Duration};

use async_nats::{HeaderMap, Subject};
use bytes::Bytes;
use tokio::time::timeout;

use super::link::{ANSWER_WAIT, Link, is_unanswered};
use crate::{
    broker::{BoxFuture, TaskAck},
    error::{Error, ErrorKind},
};

const ACK: &str = "+ACK";
const PROGRESS: &str = "+WPI";
/// Deliver it again.
pub(super) const NAK: &str = "-NAK";

pub(super) struct NatsAck {
    link: Arc<Link>,
    reply: Subject,
}

impl NatsAck {
    pub(super) fn new(link: Arc<Link>, reply: Subject) -> Self {
        Self { link, reply }
    }

    /// Tells the server and waits until it has taken it in.
    async fn confirmed(&self, what: Bytes) -> Result<(), Error> {
        let answer = self.link.ask(self.reply.clone(), HeaderMap::new(), what).await?;
        if is_unanswered(&answer) {
            return Err(Error::new(ErrorKind::NoResponders, format!("no consumer takes {}", self.reply)));
        }
        Ok(())
    }
}

impl TaskAck for NatsAck {
    fn done(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(self.confirmed(Bytes::from_static(ACK.as_bytes())))
    }

    fn progress(&self) -> BoxFuture<'_, Result<(), Error>> {
        let payload = Bytes::from_static(PROGRESS.as_bytes());
        let post = self.link.post(self.reply.clone(), None, HeaderMap::new(), payload);
        Box::pin(async move {
            timeout(ANSWER_WAIT, post)
                .await
                .unwrap_or_else(|_| Err(Error::new(ErrorKind::Unavailable, "no connection to tell progress by")))
        })
    }

    fn retry_after(&self, delay: Duration) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(self.confirmed(format!("{NAK} {{\"delay\":{}}}", delay.as_nanos()).into()))
    }
}
