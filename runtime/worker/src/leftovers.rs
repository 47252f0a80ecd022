//! Public subjects that the server's transform does not match: they are stored under their own subject, where no
//! partition reads. Whoever finds one moves it to the rejected ones.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use highwater_broker::{Broker, Delivered, Stream};
use highwater_protocol::{
    rejection::{Code, Rejection},
    reply::Reply,
    request,
};

use crate::driver::store_rejected;

/// The wait before a reader that failed is opened again.
const REOPEN_AFTER: Duration = Duration::from_secs(1);

/// Clears leftovers for as long as the worker lives. Every worker does; two that find the same one store it twice at
/// worst, and it is stored before it is deleted.
pub(crate) async fn clear(broker: Arc<dyn Broker>) {
    let subject = broker.subjects().public_all();
    let mut from = 1;
    loop {
        if let Ok(mut messages) = broker.read(Stream::Inbox, vec![subject.clone()], from).await {
            while let Some(Ok(delivered)) = messages.next().await {
                let Delivered::Message(message) = delivered else { continue };
                // Another worker may have moved it meanwhile.
                match broker.get_from_leader(Stream::Inbox, message.seq).await {
                    Ok(Some(_)) => {}
                    Ok(None) => continue,
                    Err(_) => break,
                }
                let rejection = Rejection::new(
                    Code::BadSubject,
                    format!(
                        "{} is not of the form hw.<namespace>.do.<verb>.<queue>.<name>.<workflow id>; in a token everything but letters, digits, - and _ is escaped, a dot as =2E",
                        message.subject
                    ),
                );
                tracing::warn!(subject = message.subject, seq = message.seq, %rejection, "a request was rejected");
                if !store_rejected(&*broker, 0, "unknown", &message, &rejection).await {
                    break;
                }
                if let Ok(Some(to)) = request::reply(&message.headers) {
                    let (headers, payload) = Reply::Rejected(rejection).encode();
                    let answer =
                        highwater_broker::PlainMessage { subject: to, reply: None, headers, payload: payload.data };
                    let _ = broker.send(answer).await;
                }
                if broker.delete(Stream::Inbox, message.seq).await.is_err() {
                    break;
                }
                from = message.seq + 1;
            }
        }
        tokio::time::sleep(REOPEN_AFTER).await;
    }
}
