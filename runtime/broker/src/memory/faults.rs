//! What a test can have go wrong.

use std::{sync::Arc, time::Duration};

use highwater_protocol::Timestamp;

use super::shared::Shared;
use crate::{
    error::{Error, ErrorKind},
    message::Message,
    rules::matches,
};

/// Has things go wrong in a [`MemoryBroker`](super::MemoryBroker), for all of its handles. A cheap clone.
#[derive(Clone, Debug)]
pub struct Faults {
    shared: Arc<Shared>,
}

/// What is to go wrong.
#[derive(Debug, Default)]
pub(super) struct Plan {
    publishes: Vec<Fault>,
    delays: Vec<(String, Duration)>,
    lost: Vec<String>,
    away: bool,
}

#[derive(Debug)]
struct Fault {
    filter: String,
    left: u32,
    stored: bool,
    error: Error,
}

impl Faults {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The next `count` publishes to subjects that match the filter are not stored, and say so with
    /// [`ErrorKind::Unavailable`].
    pub fn fail_publishes(&self, filter: impl Into<String>, count: u32) {
        self.meet(filter, count, false, unavailable("no answer: a test had it lost"));
    }

    /// The next `count` publishes to subjects that match the filter are not stored, and say so with
    /// [`ErrorKind::UnderWay`]: as by a server with replicas, where a message before is stored a moment ago, or may be
    /// stored or get lost.
    pub fn refuse_publishes(&self, filter: impl Into<String>, count: u32) {
        self.meet(filter, count, false, Error::new(ErrorKind::UnderWay, "a test had it refused"));
    }

    /// The next `count` publishes to subjects that match the filter are stored, and their answers are lost: they fail
    /// with [`ErrorKind::Unavailable`], too.
    pub fn lose_answers(&self, filter: impl Into<String>, count: u32) {
        self.meet(filter, count, true, unavailable("no answer: a test had it lost"));
    }

    fn meet(&self, filter: impl Into<String>, count: u32, stored: bool, error: Error) {
        self.plan(|plan| plan.publishes.push(Fault { filter: filter.into(), left: count, stored, error }));
    }

    /// From now on readers get messages of subjects that match the filter so much later than they were stored, and what
    /// stands behind those after them.
    pub fn delay_deliveries(&self, filter: impl Into<String>, by: Duration) {
        self.plan(|plan| plan.delays.push((filter.into(), by)));
    }

    /// From now on messages outside of any stream to subjects that match the filter get lost, as such messages may.
    pub fn lose_messages(&self, filter: impl Into<String>) {
        self.plan(|plan| plan.lost.push(filter.into()));
    }

    /// Has every call fail with [`ErrorKind::Unavailable`], and readers and watchers hear nothing, until it is back.
    pub fn set_away(&self, away: bool) {
        self.plan(|plan| plan.away = away);
    }

    /// Ends all faults.
    pub fn clear(&self) {
        self.plan(|plan| *plan = Plan::default());
    }

    fn plan(&self, change: impl FnOnce(&mut Plan)) {
        change(&mut self.shared.lock().faults);
        self.shared.wake_all();
    }
}

impl Plan {
    pub(super) fn is_away(&self) -> bool {
        self.away
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        if self.away { Err(unavailable("the broker is away")) } else { Ok(()) }
    }

    /// What a publish meets: nothing, or an error with whether the message is stored all the same.
    pub(super) fn meet_publish(&mut self, subject: &str) -> Option<(bool, Error)> {
        let fault = self.publishes.iter_mut().find(|fault| fault.left > 0 && matches(&fault.filter, subject))?;
        fault.left -= 1;
        let met = (fault.stored, fault.error.clone());
        self.publishes.retain(|fault| fault.left > 0);
        Some(met)
    }

    /// Whether a message outside of any stream gets lost.
    pub(super) fn loses(&self, subject: &str) -> bool {
        self.lost.iter().any(|filter| matches(filter, subject))
    }

    /// When readers get a message.
    pub(super) fn delivered_at(&self, message: &Message) -> Timestamp {
        let delay = self.delays.iter().find(|(filter, _)| matches(filter, &message.subject));
        delay.map_or(message.time, |(_, by)| message.time.after(*by))
    }
}

fn unavailable(text: &str) -> Error {
    Error::new(ErrorKind::Unavailable, text)
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, StreamExt};
    use highwater_protocol::{Namespace, WorkflowId};
    use tokio::time::Instant;

    use super::*;
    use crate::{
        broker::{Broker, Publish, Stream},
        memory::{MemoryBroker, MemoryOptions},
        message::Delivered,
    };

    fn broker() -> (MemoryBroker, Publish) {
        let broker = MemoryOptions::new(Namespace::new("test").unwrap()).build();
        let subject = broker.subjects().history(&WorkflowId::new("a").unwrap().to_key());
        (broker, Publish { subject, ..Publish::default() })
    }

    #[tokio::test(start_paused = true)]
    async fn a_publish_fails_or_loses_its_answer_as_often_as_was_said() {
        let (broker, write) = broker();
        broker.faults().fail_publishes("hw.test.h.>", 1);
        broker.faults().lose_answers(write.subject.clone(), 1);
        let mut stored = Vec::new();
        for _ in 0..3 {
            let result = broker.publish(write.clone()).await;
            stored.push((result.map_err(|error| error.kind).is_ok(), broker.last_seq(Stream::History).await.unwrap()));
        }
        assert_eq!(stored, [(false, 0), (false, 1), (true, 2)]);
    }

    #[tokio::test(start_paused = true)]
    async fn deliveries_come_late_and_in_order() {
        let (broker, write) = broker();
        let all = broker.subjects().history_all();
        let mut reader = broker.read(Stream::History, vec![all], 1).await.unwrap();
        assert_eq!(reader.next().await.unwrap().unwrap(), Delivered::CaughtUp);
        broker.faults().delay_deliveries(write.subject.clone(), Duration::from_secs(5));
        broker.publish(write.clone()).await.unwrap();
        let other = Publish { subject: format!("{}b", write.subject), ..write };
        broker.publish(other).await.unwrap();
        let start = Instant::now();
        for seq in 1..=2 {
            let Delivered::Message(message) = reader.next().await.unwrap().unwrap() else { panic!("no message") };
            assert_eq!((message.seq, start.elapsed()), (seq, Duration::from_secs(5)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn while_the_broker_is_away_calls_fail_and_readers_hear_nothing() {
        let (broker, write) = broker();
        let all = broker.subjects().history_all();
        broker.publish(write.clone()).await.unwrap();
        let mut reader = broker.read(Stream::History, vec![all], 1).await.unwrap();
        broker.faults().set_away(true);
        assert_eq!(broker.publish(write).await.unwrap_err().kind, ErrorKind::Unavailable);
        assert!(broker.server_time().await.is_err());
        assert!(reader.next().now_or_never().is_none());
        broker.faults().set_away(false);
        assert!(matches!(reader.next().await, Some(Ok(Delivered::Message(message))) if message.seq == 1));
    }
}
