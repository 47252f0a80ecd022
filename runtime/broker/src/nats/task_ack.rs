//! What is told the server about a task.

use std::{future::ready, sync::Arc, time::Duration};

use async_nats::{HeaderMap, Subject};
use bytes::Bytes;

use super::link::{Link, is_unanswered};
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

    /// Tells the server.
    async fn told(&self, what: Bytes) -> Result<(), Error> {
        self.link.send_off(self.reply.clone(), None, HeaderMap::new(), what).await
    }
}

impl TaskAck for NatsAck {
    fn done(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(self.confirmed(Bytes::from_static(ACK.as_bytes())))
    }

    fn let_go(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(ready(self.link.post_later(self.reply.clone(), Bytes::from_static(ACK.as_bytes()))))
    }

    fn progress(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(self.told(Bytes::from_static(PROGRESS.as_bytes())))
    }

    fn retry_after(&self, delay: Duration) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(self.confirmed(format!("{NAK} {{\"delay\":{}}}", delay.as_nanos()).into()))
    }
}
