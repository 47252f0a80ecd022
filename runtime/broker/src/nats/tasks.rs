//! Taking tasks.
//!
//! One feed per queue asks the server on behalf of all calls in this process, so that a call that is given up loses
//! nothing: what was delivered for it goes to the next call, or back to the server within moments.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use async_nats::Message as NatsMessage;
use tokio::sync::{mpsc, oneshot};

use super::{headers, info::Info, link::Link, puller::Puller, task_ack::NatsAck};
use crate::{
    error::{Error, ErrorKind},
    message::{Message, Task},
};

/// How many tasks one pull asks for at most.
pub(super) const BATCH_MAX: usize = 256;

/// A process's access to a queue. The feed ends when the last handle is dropped.
#[derive(Clone, Debug)]
pub(super) struct Feed {
    orders: mpsc::UnboundedSender<Order>,
}

/// What the consumer of a queue is.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    pub(super) stream: String,
    pub(super) consumer: String,
    pub(super) filter: String,
}

/// What a feed is asked to do.
#[derive(Debug)]
pub(super) enum Order {
    Take { max: usize, give: Give },
    Return(VecDeque<NatsMessage>),
}

/// Where a call waits for its messages.
pub(super) type Give = oneshot::Sender<Result<Delivery, Error>>;

/// Messages on their way to a call. They come back when nobody takes them out.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) messages: VecDeque<NatsMessage>,
    pub(super) orders: mpsc::UnboundedSender<Order>,
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if !self.messages.is_empty() {
            // Fails when the feed has ended; it waits for every handle, and a call holds one.
            let _ = self.orders.send(Order::Return(std::mem::take(&mut self.messages)));
        }
    }
}

impl Feed {
    pub(super) fn new(link: Arc<Link>, queue: Queue) -> Self {
        let (orders, receiver) = mpsc::unbounded_channel();
        tokio::spawn(Puller::new(link, queue, orders.downgrade()).run(receiver));
        Self { orders }
    }

    /// Whether it can no longer serve.
    pub(super) fn has_ended(&self) -> bool {
        self.orders.is_closed()
    }

    /// Takes up to `max` messages, waiting up to `wait` for the first one.
    pub(super) async fn take(&self, link: &Arc<Link>, max: usize, wait: Duration) -> Result<Vec<Task>, Error> {
        let (give, mut receiver) = oneshot::channel();
        let max = max.min(BATCH_MAX);
        if max == 0 {
            return Ok(Vec::new());
        }
        let ended = || Error::new(ErrorKind::Unavailable, "the task feed has ended with its connection");
        self.orders.send(Order::Take { max, give }).map_err(|_| ended())?;
        let given = if let Ok(given) = tokio::time::timeout(wait, &mut receiver).await {
            given
        } else {
            receiver.close();
            match receiver.try_recv() {
                Ok(given) => Ok(given),
                Err(_) => return Ok(Vec::new()),
            }
        };
        let mut delivery = match given {
            Ok(given) => given?,
            Err(_) => return Err(ended()),
        };
        Ok(std::mem::take(&mut delivery.messages).into_iter().filter_map(|message| task(link, message)).collect())
    }
}

fn task(link: &Arc<Link>, message: NatsMessage) -> Option<Task> {
    let reply = message.reply?;
    let info = Info::parse(&reply)?;
    Some(Task {
        delivered: info.delivered,
        ack: Box::new(NatsAck::new(link.clone(), reply)),
        message: Message {
            headers: headers::from_nats(message.headers.as_ref()),
            subject: message.subject.into_string(),
            payload: message.payload,
            seq: info.seq,
            time: info.time,
        },
    })
}
