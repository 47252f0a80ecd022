//! Pulling tasks from the server, on behalf of a feed.
//!
//! A pull is one-shot (`no_wait` with an expiry): the server answers with what there is, or waits for the first
//! message, and then ends it. So it does not go on delivering to a process that has no room any more.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use async_nats::{HeaderMap, Message};
use futures_util::{FutureExt, StreamExt};
use serde::Serialize;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until, timeout},
};

use super::{
    info::Info,
    link::{ANSWER_WAIT, Link},
    task_ack::NAK,
    tasks::{BATCH_MAX, Delivery, Give, Order, Queue},
};
use crate::error::{Error, ErrorKind};

/// How long a pull waits at the server for a first message.
const EXPIRES: Duration = Duration::from_secs(30);
/// A pull that waits is heard of this often.
const HEARTBEAT: Duration = Duration::from_millis(2_500);
/// After so long without a sign of life a pull counts as gone.
const SILENCE_MAX: Duration = Duration::from_secs(6);
/// How long a delivered task waits for the next call before it goes back to the server.
const HOLD: Duration = Duration::from_millis(50);
/// Pauses before another pull: when others' pulls are about to be served, and when the consumer is gone.
const BUSY_PAUSE: Duration = Duration::from_millis(5);
const GONE_PAUSE: Duration = Duration::from_millis(100);
/// How many pulls may wait at the server for one queue: that many processes can serve it.
const WAITING_MAX: u32 = 4096;
/// A long time.
const NEVER: Duration = Duration::from_hours(1);

/// What serves a feed.
pub(super) struct Puller {
    link: Arc<Link>,
    queue: Queue,
    /// Weak, so that the feed ends with its handles.
    orders: mpsc::WeakUnboundedSender<Order>,
    takers: VecDeque<(usize, Give)>,
    ready: VecDeque<Message>,
    /// When what is ready goes back to the server.
    give_back_at: Instant,
    pull: Option<Pull>,
    pulls: u64,
    not_before: Instant,
    consumer_exists: bool,
    lost: watch::Receiver<u64>,
}

/// A pull at the server.
struct Pull {
    reply: String,
    /// How many messages it may still bring.
    left: usize,
    silent_since: Instant,
}

#[derive(Serialize)]
struct PullRequest {
    batch: usize,
    no_wait: bool,
    expires: u128,
    idle_heartbeat: u128,
}

impl Puller {
    pub(super) fn new(link: Arc<Link>, queue: Queue, orders: mpsc::WeakUnboundedSender<Order>) -> Self {
        let now = Instant::now();
        Self {
            lost: link.lost(),
            link,
            queue,
            orders,
            takers: VecDeque::new(),
            ready: VecDeque::new(),
            give_back_at: now,
            pull: None,
            pulls: 0,
            not_before: now,
            consumer_exists: false,
        }
    }

    /// Serves until the last handle is dropped. The server drops a pull that nobody listens to any more.
    pub(super) async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        let inbox = self.link.client.new_inbox();
        let mut messages = match self.link.listen(format!("{inbox}.*")).await {
            Ok(messages) => messages,
            Err(error) => return tracing::error!("cannot take tasks: {error}"),
        };
        loop {
            self.give();
            if self.wants_pull() {
                let started = timeout(ANSWER_WAIT, self.start_pull(&inbox)).await;
                if let Err(error) = started.unwrap_or_else(|_| Err(no_connection())) {
                    self.fail(&error);
                }
            }
            let wake = self.next_wake();
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::Take { max, give }) => self.takers.push_back((max, give)),
                    Some(Order::Return(messages)) => self.hold(messages),
                    None => break,
                },
                message = messages.next() => {
                    let Some(message) = message else { break };
                    self.take_in(message);
                    while let Some(Some(message)) = messages.next().now_or_never() {
                        self.take_in(message);
                    }
                }
                _ = self.lost.changed() => {
                    self.pull = None;
                    self.consumer_exists = false;
                }
                () = sleep_until(wake) => self.wake().await,
            }
        }
        self.give_back().await;
    }

    /// Hands what is ready to those who wait.
    fn give(&mut self) {
        self.takers.retain(|(_, give)| !give.is_closed());
        while !self.ready.is_empty()
            && let Some((max, give)) = self.takers.pop_front()
            && let Some(orders) = self.orders.upgrade()
        {
            let messages = self.ready.drain(..max.min(self.ready.len())).collect();
            // One that nobody takes returns by its drop.
            let _ = give.send(Ok(Delivery { messages, orders }));
        }
    }

    fn fail(&mut self, error: &Error) {
        for (_, give) in self.takers.drain(..) {
            let _ = give.send(Err(error.clone()));
        }
        self.not_before = Instant::now() + GONE_PAUSE;
    }

    fn wants_pull(&self) -> bool {
        self.pull.is_none() && !self.takers.is_empty() && Instant::now() >= self.not_before
    }

    async fn start_pull(&mut self, inbox: &str) -> Result<(), Error> {
        if !self.consumer_exists {
            self.create_consumer().await?;
            self.consumer_exists = true;
        }
        self.pulls += 1;
        let reply = format!("{inbox}.{}", self.pulls);
        let batch = self.takers.iter().map(|(max, _)| max).sum::<usize>().min(BATCH_MAX);
        let request =
            PullRequest { batch, no_wait: true, expires: EXPIRES.as_nanos(), idle_heartbeat: HEARTBEAT.as_nanos() };
        let payload = serde_json::to_vec(&request).map_err(|error| Error::new(ErrorKind::Other, error.to_string()))?;
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{}.{}", self.queue.stream, self.queue.consumer);
        self.link.post(subject.into(), Some(reply.clone().into()), HeaderMap::new(), payload.into()).await?;
        self.pull = Some(Pull { reply, left: batch, silent_since: Instant::now() });
        Ok(())
    }

    /// Makes the consumer, or finds it as it should be.
    async fn create_consumer(&self) -> Result<(), Error> {
        #[derive(Serialize)]
        struct Create<'a> {
            stream_name: &'a str,
            config: Config<'a>,
        }
        #[derive(Serialize)]
        struct Config<'a> {
            name: &'a str,
            durable_name: &'a str,
            deliver_policy: &'static str,
            ack_policy: &'static str,
            ack_wait: u128,
            max_deliver: i64,
            max_ack_pending: i64,
            max_waiting: u32,
            replay_policy: &'static str,
            filter_subject: &'a str,
        }
        let Queue { stream, consumer, filter } = &self.queue;
        let config = Config {
            name: consumer,
            durable_name: consumer,
            deliver_policy: "all",
            ack_policy: "explicit",
            ack_wait: self.link.task_ack_wait.as_nanos(),
            max_deliver: -1,
            max_ack_pending: -1,
            max_waiting: WAITING_MAX,
            replay_policy: "instant",
            filter_subject: filter,
        };
        let call = format!("CONSUMER.CREATE.{stream}.{consumer}");
        self.link.api::<serde::de::IgnoredAny>(&call, &Create { stream_name: stream, config }).await?;
        Ok(())
    }

    fn take_in(&mut self, message: Message) {
        let now = Instant::now();
        let is_task = message.reply.as_deref().is_some_and(|reply| Info::parse(reply).is_some());
        let status = message.status.filter(|_| !is_task).map(|status| status.as_u16());
        let Some(status) = status else {
            if let Some(pull) = &mut self.pull {
                pull.left = pull.left.saturating_sub(1);
                if pull.left == 0 {
                    self.pull = None;
                }
            }
            return self.hold([message].into());
        };
        // What an older pull still has to say is of no interest.
        let Some(pull) = self.pull.as_mut().filter(|pull| pull.reply == message.subject.as_str()) else { return };
        let description = message.description.as_deref().unwrap_or_default();
        match status {
            100 => pull.silent_since = now,
            404 => self.pull = None,
            408 => {
                self.pull = None;
                if description.contains("Requests Pending") {
                    self.not_before = now + BUSY_PAUSE;
                }
            }
            400 | 423 => {
                self.pull = None;
                let Queue { stream, consumer, .. } = &self.queue;
                let message = format!("taking tasks from {stream} {consumer}: {status} {description}");
                self.fail(&Error::new(ErrorKind::Other, message));
            }
            // Deleted, another leader, a server that shuts down, nobody listens.
            _ => {
                tracing::debug!("taking tasks from {}: {status} {description}", self.queue.consumer);
                self.pull = None;
                self.consumer_exists = false;
                self.not_before = now + GONE_PAUSE;
            }
        }
    }

    fn hold(&mut self, messages: VecDeque<Message>) {
        if self.ready.is_empty() {
            self.give_back_at = Instant::now() + HOLD;
        }
        self.ready.extend(messages);
    }

    fn next_wake(&self) -> Instant {
        let mut wake = Instant::now() + NEVER;
        if !self.ready.is_empty() {
            wake = wake.min(self.give_back_at);
        }
        match &self.pull {
            Some(pull) => wake.min(pull.silent_since + SILENCE_MAX),
            None if !self.takers.is_empty() => wake.min(self.not_before),
            None => wake,
        }
    }

    async fn wake(&mut self) {
        let now = Instant::now();
        if !self.ready.is_empty() && now >= self.give_back_at {
            self.give_back().await;
        }
        if self.pull.as_ref().is_some_and(|pull| now >= pull.silent_since + SILENCE_MAX) {
            tracing::debug!("a pull of {} went silent", self.queue.consumer);
            self.pull = None;
            self.consumer_exists = false;
        }
    }

    /// Gives back to the server what nobody here takes.
    async fn give_back(&mut self) {
        for message in std::mem::take(&mut self.ready) {
            // When it does not get through, the ack wait brings the task back.
            if let Some(reply) = message.reply
                && self.link.is_connected()
            {
                let _ = self.link.post(reply, None, HeaderMap::new(), NAK.into()).await;
            }
        }
    }
}

fn no_connection() -> Error {
    Error::new(ErrorKind::Unavailable, "no connection to take tasks by")
}
