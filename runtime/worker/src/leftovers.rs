//! Public subjects that the server's transform does not match: they are stored under their own subject, where no
//! partition reads. Whoever finds one moves it to the rejected ones.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use highwater_broker::{Broker, Delivered, Error, PlainMessage, Stream};
use highwater_protocol::{
    rejection::{Code, Rejection},
    reply::Reply,
    request,
};

use crate::driver::store_rejected;

/// The wait before a reader that failed is opened again, at first and at most.
const REOPEN_AFTER: Duration = Duration::from_secs(1);
const REOPEN_AFTER_MAX: Duration = Duration::from_mins(1);

/// Clears leftovers for as long as the worker lives. Every worker does; two that find the same one store it twice at
/// worst, and it is stored before it is deleted.
pub(crate) async fn clear(broker: Arc<dyn Broker>) {
    let mut from = 1;
    let mut pause = REOPEN_AFTER;
    loop {
        let begun = from;
        if let Err(error) = clear_from(&*broker, &mut from).await {
            tracing::warn!(%error, "cannot look for requests to subjects that name no run; again in {pause:?}");
        }
        tokio::time::sleep(pause).await;
        // Whatever it is, it may last.
        pause = if from > begun { REOPEN_AFTER } else { (pause * 2).min(REOPEN_AFTER_MAX) };
    }
}

/// Clears leftovers from a sequence on, until something goes wrong.
async fn clear_from(broker: &dyn Broker, from: &mut u64) -> Result<(), Error> {
    let mut messages = broker.read(Stream::Inbox, vec![broker.subjects().public_all()], *from).await?;
    while let Some(delivered) = messages.next().await {
        let Delivered::Message(message) = delivered? else { continue };
        // Another worker may have moved it meanwhile.
        if broker.get_from_leader(Stream::Inbox, message.seq).await?.is_none() {
            continue;
        }
        let rejection = Rejection::new(
            Code::BadSubject,
            format!(
                "{} is not of the form hw.<namespace>.do.<verb>.<queue>.<name>.<workflow id>; in a token everything but letters, digits, - and _ is escaped, a dot as =2E",
                message.subject
            ),
        );
        tracing::warn!(subject = message.subject, seq = message.seq, %rejection, "a request was rejected");
        if !store_rejected(broker, 0, "unknown", &message, &rejection).await {
            // That has told why.
            return Ok(());
        }
        if let Ok(Some(to)) = request::reply(&message.headers) {
            let (headers, payload) = Reply::Rejected(rejection).encode();
            let _ = broker.send(PlainMessage { subject: to, reply: None, headers, payload: payload.data }).await;
        }
        broker.delete(Stream::Inbox, message.seq).await?;
        *from = message.seq + 1;
    }
    Ok(())
}
