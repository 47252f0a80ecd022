//! Messages outside of any stream.

use std::{sync::Arc, time::Duration};

use async_nats::Message;
use futures_util::{Stream, StreamExt};

use super::{
    headers,
    link::{Link, is_unanswered},
};
use crate::{
    error::{Error, ErrorKind},
    message::PlainMessage,
};

impl Link {
    /// Sends a message.
    pub(super) async fn send(&self, message: PlainMessage) -> Result<(), Error> {
        let map = headers::to_nats(message.headers)?;
        self.send_off(message.subject.into(), message.reply.map(Into::into), map, message.payload).await
    }

    /// Asks and waits for one answer.
    pub(super) async fn request(&self, message: PlainMessage, wait: Duration) -> Result<PlainMessage, Error> {
        let map = headers::to_nats(message.headers)?;
        let subject = message.subject;
        let answer = self.ask_for(wait, subject.clone().into(), map, message.payload).await?;
        if is_unanswered(&answer) {
            return Err(Error::new(ErrorKind::NoResponders, format!("nobody listens to {subject}")));
        }
        Ok(plain(answer))
    }

    /// Listens to a subject, until the stream is dropped.
    pub(super) async fn subscribe(
        self: Arc<Self>,
        subject: String,
    ) -> Result<impl Stream<Item = PlainMessage> + Send + use<>, Error> {
        let subscriber = self.listen_for_certain(subject).await?;
        // The connection stays as long as somebody listens.
        let link = self;
        Ok(subscriber.map(move |message| {
            let _ = &link;
            plain(message)
        }))
    }
}

fn plain(message: Message) -> PlainMessage {
    PlainMessage {
        headers: headers::from_nats(message.headers.as_ref()),
        subject: message.subject.to_string(),
        reply: message.reply.map(|reply| reply.to_string()),
        payload: message.payload,
    }
}
