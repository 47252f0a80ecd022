//! An ordered reader of a stream, for as long as one consumer lives.
//!
//! The consumer pushes without acknowledgements, with flow control (so a slow reader slows the server down instead of
//! filling memory) and heartbeats (so silence means trouble). Any gap ends the cursor; whoever reads on makes another
//! one from where it was. This is the ordered consumer of ADR-17.

use std::{sync::Arc, time::Duration};

use async_nats::{HeaderMap, Message as NatsMessage, Subscriber};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::{sync::watch, time::timeout};

use super::{headers, info::Info, link::Link, refusal::Refusal};
use crate::message::Message;

/// A consumer with nothing to deliver says so this often.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// After so long without a sign of life the consumer counts as gone.
const SILENCE_MAX: Duration = Duration::from_millis(2_500);
/// The server forgets a consumer that nobody listens to after so long.
const INACTIVE_MAX: Duration = Duration::from_secs(10);

const LAST_CONSUMER: &str = "Nats-Last-Consumer";
const STALLED: &str = "Nats-Consumer-Stalled";

/// Where a cursor begins.
#[derive(Clone, Copy, Debug)]
pub(super) enum Start {
    /// At a sequence.
    At(u64),
    /// With the last message of each subject.
    LastOfEach,
}

/// What a cursor tells.
#[derive(Debug)]
pub(super) enum Step {
    /// A message, and how many there are behind it.
    Message(Message, u64),
    /// The first message of a batch, and how many there are behind it. It may not be on the disk yet.
    Batched(Message, u64),
    /// There is nothing more at the moment.
    Idle,
    /// The cursor is over.
    Lost(&'static str),
}

/// An ordered reader.
#[derive(Debug)]
pub(super) struct Cursor {
    link: Arc<Link>,
    messages: Subscriber,
    /// How many messages there were to deliver when it began.
    pub(super) pending: u64,
    consumer_seq: u64,
    /// The batch of which the last message was.
    batch: String,
    lost: watch::Receiver<u64>,
}

#[derive(Serialize)]
struct Create<'a> {
    stream_name: &'a str,
    config: Config<'a>,
    action: &'static str,
}

/// The part of a consumer's configuration that is not its default.
#[derive(Serialize)]
struct Config<'a> {
    name: &'a str,
    deliver_subject: &'a str,
    deliver_policy: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    opt_start_seq: Option<u64>,
    ack_policy: &'static str,
    replay_policy: &'static str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    filter_subjects: &'a [String],
    flow_control: bool,
    idle_heartbeat: u128,
    inactive_threshold: u128,
    num_replicas: u8,
    mem_storage: bool,
}

#[derive(Deserialize)]
struct Created {
    #[serde(default)]
    num_pending: u64,
}

impl Cursor {
    /// Makes a consumer and listens to it. Without filters it reads everything.
    pub(super) async fn open(link: Arc<Link>, stream: &str, filters: &[String], start: Start) -> Result<Self, Refusal> {
        // Seen from here on: a connection that is lost while the consumer is made.
        let lost = link.lost();
        let deliver_subject = link.client.new_inbox();
        let name = format!("hw_{}", deliver_subject.rsplit('.').next().unwrap_or_default());
        let messages = link.listen(deliver_subject.clone()).await?;
        let (deliver_policy, opt_start_seq) = match start {
            Start::At(0 | 1) => ("all", None),
            Start::At(seq) => ("by_start_sequence", Some(seq)),
            Start::LastOfEach => ("last_per_subject", None),
        };
        let everything = [">".to_owned()];
        let filters = if filters.is_empty() { &everything } else { filters };
        let config = Config {
            name: &name,
            deliver_subject: &deliver_subject,
            deliver_policy,
            opt_start_seq,
            ack_policy: "none",
            replay_policy: "instant",
            filter_subjects: filters,
            flow_control: true,
            idle_heartbeat: HEARTBEAT.as_nanos(),
            inactive_threshold: INACTIVE_MAX.as_nanos(),
            num_replicas: 1,
            mem_storage: true,
        };
        let call = format!("CONSUMER.CREATE.{stream}.{name}");
        let created: Created = link.api(&call, &Create { stream_name: stream, config, action: "create" }).await?;
        Ok(Self { link, messages, pending: created.num_pending, consumer_seq: 0, batch: String::new(), lost })
    }

    /// The next thing to know.
    pub(super) async fn next(&mut self) -> Step {
        loop {
            // What is there already goes before the news that the connection is lost.
            let message = if let Some(message) = self.messages.next().now_or_never() {
                message
            } else {
                tokio::select! {
                    message = timeout(SILENCE_MAX, self.messages.next()) => match message {
                        Ok(message) => message,
                        Err(_) => return Step::Lost("no sign of life from the consumer"),
                    },
                    _ = self.lost.changed() => return Step::Lost("the connection was lost"),
                }
            };
            let Some(message) = message else { return Step::Lost("the connection was closed") };
            // First of all, as a stored message can bear a status that somebody made up.
            let Some(info) = message.reply.as_deref().and_then(Info::parse) else {
                match message.status.map(|status| status.as_u16()) {
                    Some(100) => match self.control(message).await {
                        Some(step) => return step,
                        None => continue,
                    },
                    Some(_) => return Step::Lost("the server ended the consumer"),
                    // Nobody else knows this subject, so it is a stray; a missing one would be noticed.
                    None => continue,
                }
            };
            self.consumer_seq += 1;
            if info.consumer_seq != self.consumer_seq {
                return Step::Lost("a message is missing");
            }
            let begins_batch = self.begins_batch(message.headers.as_ref());
            let message = Message {
                headers: headers::from_nats(message.headers.as_ref()),
                subject: message.subject.into_string(),
                payload: message.payload,
                seq: info.seq,
                time: info.time,
            };
            let step = if begins_batch { Step::Batched } else { Step::Message };
            return step(message, info.pending);
        }
    }

    /// Whether a message is of another batch than the one before it.
    fn begins_batch(&mut self, map: Option<&HeaderMap>) -> bool {
        // What a schedule fires has the headers of the message that armed it, and was stored by itself.
        let fired = headers::get(map, headers::SCHEDULER).is_some();
        let batch = headers::get(map, headers::BATCH_ID).filter(|_| !fired).unwrap_or_default();
        if batch == self.batch {
            return false;
        }
        batch.clone_into(&mut self.batch);
        !batch.is_empty()
    }

    /// Answers flow control, and takes a heartbeat for what it says.
    async fn control(&mut self, message: NatsMessage) -> Option<Step> {
        if let Some(reply) = message.reply {
            return self.go_on(reply.to_string()).await;
        }
        let map = message.headers.as_ref();
        let sent: u64 = headers::get(map, LAST_CONSUMER)?.parse().ok()?;
        if sent != self.consumer_seq {
            return Some(Step::Lost("a message is missing"));
        }
        if let Some(stalled) = headers::get(map, STALLED) {
            return self.go_on(stalled.to_owned()).await;
        }
        Some(Step::Idle)
    }

    /// Tells the server that everything so far has been read.
    async fn go_on(&self, reply: String) -> Option<Step> {
        match self.link.post(reply.into(), None, HeaderMap::new(), Bytes::new()).await {
            Ok(()) => None,
            Err(_) => Some(Step::Lost("flow control could not be answered")),
        }
    }
}
