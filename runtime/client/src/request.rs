//! Requests to runs: published to the inbox, once.

use std::{sync::Arc, time::Duration};

use highwater_broker::{Broker, Error, ErrorKind, PubAck, Publish};
use highwater_protocol::{
    Headers, Key, Payload, Payloads, QueueName, TypeName, UpdateId, header, rejection::Rejection, request::Meant,
    subject::Verb,
};
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use crate::{
    client::Client,
    pace::{PATIENCE, Pauses, RESEND_WINDOW, persist},
    replies::{Answers, Expected},
};

/// How long a sender waits for the owner's answer once the request is durable.
pub(crate) const ANSWER_WAIT: Duration = Duration::from_millis(500);

/// How long the owner's answer alone is waited for, before the server is asked whether it has the request.
const OWNER_ALONE: Duration = Duration::from_millis(200);

/// How far a request got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// It is in the run's history.
    Accepted,
    /// It is stored and survives everything, but no worker has taken it yet. The next one that serves the queue will;
    /// it is lost only if the run closes before.
    Durable,
}

/// A request was not stored for certain.
#[derive(Clone, Debug)]
pub(crate) enum Unsent {
    /// It is not stored.
    Refused(Error),
    /// It may be.
    Unknown(Error),
}

/// A request that is in the inbox, or was answered before that was known.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    /// Where the answers to it come.
    pub(crate) answers: Arc<Expected>,
    /// Its sequence in the inbox; unknown when the answer came first.
    pub(crate) seq: Option<u64>,
}

impl Stored {
    /// Waits for the first answer.
    pub(crate) async fn answered(&self) -> Answers {
        self.answers.first().await
    }
}

/// Sends a request that carries an id, so that the server or the owner has it for certain. `None`: the owner has
/// answered it.
///
/// The owner's answer says more than the server's acknowledgement and mostly comes as soon, so that one is only asked
/// for where the other does not come: the server then has one message less to send, and this process one wake-up less
/// to wait.
pub(crate) async fn submit(broker: &dyn Broker, publish: Publish, answer: &Expected) -> Result<Option<PubAck>, Unsent> {
    match broker.offer(publish.clone()).await {
        Ok(Some(ack)) => Ok(Some(ack)),
        Ok(None) => {
            if timeout(OWNER_ALONE, answer.first()).await.is_ok() {
                return Ok(None);
            }
            keep_publishing(broker, publish, answer, Before::Offered).await
        }
        Err(error) if error.kind == ErrorKind::Unavailable => {
            keep_publishing(broker, publish, answer, Before::MaybeStored).await
        }
        Err(_) => keep_publishing(broker, publish, answer, Before::Nothing).await,
    }
}

/// The same, always with the acknowledgement unless the answer comes first.
pub(crate) async fn store(broker: &dyn Broker, publish: Publish, answer: &Expected) -> Result<Option<PubAck>, Unsent> {
    keep_publishing(broker, publish, answer, Before::Nothing).await
}

/// What was done about a request before it is published with an acknowledgement.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    /// It went out, and nobody has said what became of it.
    Offered,
    /// What became of it could not be told.
    MaybeStored,
}

/// Publishes a request while the stream remembers its id, until the server has it.
async fn keep_publishing(
    broker: &dyn Broker,
    publish: Publish,
    answer: &Expected,
    before: Before,
) -> Result<Option<PubAck>, Unsent> {
    debug_assert!(publish.id.is_some(), "without an id a repeat would be a second request");
    let resend_until = Instant::now() + RESEND_WINDOW;
    let mut pauses = Pauses::between_attempts();
    let mut maybe_stored = before == Before::MaybeStored;
    loop {
        let error = tokio::select! {
            biased;
            stored = broker.publish(publish.clone()) => match stored {
                Ok(ack) => return Ok(Some(ack)),
                Err(error) => error,
            },
            _ = answer.first() => return Ok(None),
        };
        // A stream that refuses a repeat does not have what was offered: it looks for the id first. That no stream
        // answers says nothing about that, nor does that there is no room: with replicas the limits of the account come
        // before the id.
        let is_open = matches!(error.kind, ErrorKind::NoResponders | ErrorKind::Full);
        maybe_stored |= error.kind == ErrorKind::Unavailable || before == Before::Offered && is_open;
        let pause = pauses.next();
        if !error.is_retryable() || Instant::now() + pause >= resend_until {
            return Err(if maybe_stored { Unsent::Unknown(error) } else { Unsent::Refused(error) });
        }
        sleep(pause).await;
    }
}

/// The sequence of a request that was sent moments ago: the stream knows its id, and stores it if it is not there.
pub(crate) async fn sequence(broker: &dyn Broker, publish: &Publish) -> Result<u64, Error> {
    debug_assert!(publish.id.is_some(), "without an id a repeat would be a second request");
    persist(PATIENCE, || broker.publish(publish.clone())).await.map(|ack| ack.seq)
}

/// A request to a run that exists or is about to.
pub(crate) struct Ask<'a> {
    pub(crate) verb: Verb,
    pub(crate) name: Option<&'a TypeName>,
    pub(crate) key: &'a Key,
    pub(crate) queue: &'a QueueName,
    /// Which run it is meant for, if not for the latest one whichever that is.
    pub(crate) meant: Option<Meant>,
    pub(crate) reason: Option<&'a str>,
    /// What an update is called.
    pub(crate) update: Option<&'a UpdateId>,
    /// Context headers.
    pub(crate) context: Option<&'a Payloads>,
    pub(crate) input: Payload,
}

/// Why an [`Ask`] did not arrive.
#[derive(Debug)]
pub(crate) enum AskError {
    Unsent(Unsent),
    Rejected(Rejection),
}

impl Ask<'_> {
    fn publish(self, client: &Client, answer: &Expected) -> Publish {
        let (run, chain) = match self.meant {
            None => (None, None),
            Some(Meant::Run(run)) => (Some(run), None),
            Some(Meant::Chain(run)) => (None, Some(run)),
        };
        Publish {
            subject: client.broker().subjects().public(self.verb, self.queue, self.name, self.key),
            headers: Headers::new()
                .with_opt(header::CONTENT_TYPE, self.input.content_type.as_deref())
                .with_opt(header::RUN, run.map(|run| run.to_string()))
                .with_opt(header::CHAIN, chain.map(|run| run.to_string()))
                .with_opt(header::REASON, self.reason)
                .with_opt(header::UPDATE_ID, self.update.map(|id| id.to_key().to_string()))
                .with_opt(header::CONTEXT, self.context.filter(|context| !context.is_empty()).map(Payloads::to_json))
                .with(header::REPLY, answer.subject())
                .with_opt(header::EARLY, answer.early()),
            payload: self.input.data,
            id: Some(format!("{}:{}", self.key, Uuid::now_v7().simple())),
            ..Publish::default()
        }
    }

    /// Stores the request, and waits a little for the owner's answer.
    pub(crate) async fn deliver(self, client: &Client) -> Result<Delivered, AskError> {
        let (_, answer) = self.submit(client).await?;
        match timeout(ANSWER_WAIT, answer.first()).await {
            Ok(answers) => match answers.rejected {
                Some(rejection) => Err(AskError::Rejected(rejection)),
                None => Ok(Delivered::Accepted),
            },
            Err(_) => Ok(Delivered::Durable),
        }
    }

    /// Sends the request, so that the server or the owner has it. `None` instead of an acknowledgement: the owner has
    /// answered.
    pub(crate) async fn submit(self, client: &Client) -> Result<(Option<PubAck>, Expected), AskError> {
        let (publish, answer) = self.prepare(client).await?;
        let ack = submit(client.broker(), publish, &answer).await.map_err(AskError::Unsent)?;
        Ok((ack, answer))
    }

    /// Stores the request only. `None` instead of an acknowledgement: it was answered before.
    pub(crate) async fn store(self, client: &Client) -> Result<(Option<PubAck>, Expected), AskError> {
        let (publish, answer) = self.prepare(client).await?;
        let ack = store(client.broker(), publish, &answer).await.map_err(AskError::Unsent)?;
        Ok((ack, answer))
    }

    async fn prepare(self, client: &Client) -> Result<(Publish, Expected), AskError> {
        let expected = client.replies().expect(client.broker()).await;
        let answer = expected.map_err(|error| AskError::Unsent(Unsent::Refused(error)))?;
        Ok((self.publish(client, &answer), answer))
    }
}
