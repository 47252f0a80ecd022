//! Performing the engine's actions.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt, StreamExt};
use highwater_broker::{
    Broker, Error, ErrorKind, Message, PlainMessage, Publish,
    history::{self, Appended, NewRecord},
};
use highwater_protocol::{
    Headers, Key, Payload, QueueName, TypeName, WorkflowId, header,
    query::QueryRejected,
    rejection::Rejection,
    reply::Reply,
    request,
    subject::{InboxKind, Verb},
};
use tokio::{sync::mpsc::UnboundedSender, time::Instant};

use super::{Driver, load::load, send, send::insist, step::Step};
use crate::{
    engine::{Action, Early, Input, Question, UnitId},
    executor::Job,
};

/// The wait after a record that the server refuses.
const REFUSED_PAUSE: Duration = Duration::from_secs(1);
/// Timers that are further away are left to the server alone: a queue of delays reaches about two years.
const LOCAL_TIMER_MAX: Duration = Duration::from_hours(365 * 24);

impl Driver {
    pub(super) fn perform_all(&mut self, mut actions: Vec<Action>) {
        for action in actions.drain(..) {
            self.perform(action);
        }
        self.engine.reuse(actions);
    }

    fn perform(&mut self, action: Action) {
        let (broker, answer) = (Arc::clone(&self.broker), self.answer.clone());
        match action {
            Action::Load { key, generation, all, left } => {
                tokio::spawn(async move {
                    let loaded = load(broker, key.clone(), all, left).await;
                    let _ = answer.send(Input::Loaded { key, generation, loaded });
                });
            }
            Action::Job(job) => self.executor.send(job),
            Action::Evict { key } => self.executor.send(Job::Evict { key }),
            Action::RunsOfThread { thread } => {
                let executor = &self.executor;
                let actions = self.engine.rebuild(|key| executor.thread_of(key) == thread, Instant::now());
                self.perform_all(actions);
            }
            Action::Append { key, generation, record, expect, early } => {
                self.flights.add(async move {
                    let appended = append(&*broker, &key, &record, expect, early).await;
                    if appended.is_err() {
                        // It will be tried again, and most likely with the same end.
                        Box::pin(tokio::time::sleep(REFUSED_PAUSE)).await;
                    }
                    let (result, answered) = match appended {
                        Ok((appended, answered)) => (Ok(appended), answered),
                        Err(error) => (Err(error), false),
                    };
                    Some(Input::Appended { key, generation, result, answered })
                });
            }
            Action::Send { key, generation, send } => {
                let queues = Arc::clone(&self.queues);
                self.flights.add(async move {
                    let sent = send::send(broker, queues, key.clone(), send).await;
                    Some(Input::Sent { key, generation, sent })
                });
            }
            Action::Reject { unit, message, verb, rejection } => {
                tokio::spawn(reject(broker, answer, unit, message, verb, rejection));
            }
            Action::Forward { unit, message, queue } => {
                tokio::spawn(forward(broker, answer, unit, message, queue));
            }
            Action::Reply { subject, reply } => {
                self.flights.add(send_reply(broker, subject, reply).map(|()| None));
            }
            Action::Announce { key, reply } => {
                let subjects = broker.subjects();
                let subject = match &reply {
                    Reply::Updated(_) => subjects.updated(&key),
                    Reply::Accepted { .. } | Reply::Rejected(_) | Reply::Closed(_) => subjects.closed(&key),
                };
                self.flights.add(send_reply(broker, subject, reply).map(|()| None));
            }
            Action::Step { key, run, step, started } => {
                let name = step.name.clone();
                let step = Step { key, run, code: step, started };
                self.user.spawn(&name, step.run(answer, self.given_up.clone()));
            }
            Action::LocalTimer { key, run, timer, at, now } => {
                let delay = at.since(now);
                if delay <= LOCAL_TIMER_MAX {
                    self.timers.insert((key, run, timer), delay);
                }
            }
            Action::Answer { reply, answer } => {
                self.flights.add(send_answer(broker, reply, answer).map(|()| None));
            }
        }
    }

    /// Takes queries for the queues that this worker serves. Every worker of a queue hears them, and only the owner of
    /// the partition answers: whoever has lost it does not know it as its own any more.
    pub(super) fn subscribe_queries(&mut self) {
        for (index, queue) in self.queues.iter().enumerate() {
            let (broker, answer, queue) = (Arc::clone(&self.broker), self.answer.clone(), queue.clone());
            self.questions.spawn(async move {
                let filter = broker.subjects().query_filter_of_queue(&queue);
                let Ok(mut queries) = insist("subscribing to queries", || broker.subscribe(filter.clone())).await
                else {
                    return;
                };
                while let Some(message) = queries.next().await {
                    let goes_on = match question(&*broker, index, message) {
                        None => true,
                        Some(Ok(input)) => answer.send(input).is_ok(),
                        Some(Err((reply, rejected))) => {
                            send_answer(Arc::clone(&broker), reply, Err(rejected)).await;
                            true
                        }
                    };
                    if !goes_on {
                        return;
                    }
                }
            });
        }
    }
}

/// What a query asks, or what is wrong with it. Nothing when there is nowhere to answer to.
fn question(
    broker: &dyn Broker,
    queue: usize,
    message: PlainMessage,
) -> Option<Result<Input, (String, QueryRejected)>> {
    let reply = message.reply?;
    if !request::is_inbox(&reply) {
        tracing::warn!(subject = message.subject, reply, "a query gets no answer, as its reply subject is no inbox");
        return None;
    }
    let subjects = broker.subjects();
    let (_, name, key) = subjects.parse_query(&message.subject)?;
    let names = WorkflowId::from_token(key).and_then(|id| Ok((id.to_key(), TypeName::from_token(name)?)));
    let (key, name) = match names {
        Ok(names) => names,
        Err(error) => {
            return Some(Err((reply, QueryRejected { code: "bad-subject".into(), reason: error.to_string() })));
        }
    };
    let input = Payload::with_content_type(message.payload, message.headers.get(header::CONTENT_TYPE));
    let unit = UnitId { queue, partition: key.partition(subjects.partitions()) };
    Some(Ok(Input::Question { unit, key, question: Question { name, input, reply } }))
}

/// Appends a record. Says also whether the early answer counts.
async fn append(
    broker: &dyn Broker,
    key: &Key,
    record: &NewRecord,
    expect: u64,
    early: Option<Box<Early>>,
) -> Result<(Appended, bool), Error> {
    let Some(early) = early else {
        return history::append(broker, key, record, expect).await.map(|appended| (appended, false));
    };
    let Early { to, reply } = *early;
    history::append_with_answer(broker, key, record, expect, message(to, &reply)).await
}

async fn send_reply(broker: Arc<dyn Broker>, subject: String, reply: Reply) {
    // An answer is a hint: whoever misses it reads the history.
    let _ = broker.send(message(subject, &reply)).await;
}

fn message(subject: String, reply: &Reply) -> PlainMessage {
    let (headers, payload) = reply.encode();
    PlainMessage { subject, reply: None, headers, payload: payload.data }
}

async fn send_answer(broker: Arc<dyn Broker>, reply: String, answer: Result<Payload, QueryRejected>) {
    let (headers, payload) = match answer {
        Ok(payload) => (Headers::new().with_opt(header::CONTENT_TYPE, payload.content_type.as_deref()), payload.data),
        Err(rejected) => (rejected.headers(), bytes::Bytes::new()),
    };
    let _ = broker.send(PlainMessage { subject: reply, reply: None, headers, payload }).await;
}

/// Whether a header goes along when a message is passed on.
fn is_senders(name: &str) -> bool {
    !name.to_ascii_lowercase().starts_with("nats-")
}

/// Stores a request that cannot be accepted, whole and with the reason, and then tells its sender.
pub(crate) async fn store_rejected(
    broker: &dyn Broker,
    partition: u16,
    verb: &str,
    message: &Message,
    rejection: &Rejection,
) -> bool {
    let mut headers = rejection.headers().with(header::SUBJECT, message.subject.clone());
    headers.insert_from(&message.headers, is_senders);
    let mut publish = Publish {
        subject: broker.subjects().rejected(partition, verb),
        headers,
        payload: message.payload.clone(),
        ..Publish::default()
    };
    let mut stored = insist("storing a rejected request", || broker.publish(publish.clone())).await;
    if matches!(&stored, Err(error) if error.kind == ErrorKind::TooLarge) {
        // With the reason it no longer fits: then the beginning has to do.
        publish.payload.truncate(publish.payload.len() / 2);
        stored = insist("storing a rejected request", || broker.publish(publish.clone())).await;
    }
    if let Err(error) = &stored {
        tracing::error!(subject = message.subject, seq = message.seq, %error, %rejection, "a rejected request could not be stored");
    }
    stored.is_ok()
}

async fn reject(
    broker: Arc<dyn Broker>,
    answer: UnboundedSender<Input>,
    unit: UnitId,
    message: Message,
    verb: String,
    rejection: Rejection,
) {
    tracing::warn!(subject = message.subject, seq = message.seq, %rejection, "a request was rejected");
    store_rejected(&*broker, unit.partition, &verb, &message, &rejection).await;
    if let Ok(Some(subject)) = request::reply(&message.headers) {
        send_reply(Arc::clone(&broker), subject, Reply::Rejected(rejection)).await;
    }
    let _ = answer.send(Input::Handled { unit, source: Action::HANDLED_SOURCE, seq: message.seq });
}

/// Puts a request where the readers of its run's queue find it.
async fn forward(
    broker: Arc<dyn Broker>,
    answer: UnboundedSender<Input>,
    unit: UnitId,
    message: Message,
    queue: QueueName,
) {
    if let Some(subject) = forwarded(&*broker, &message, &queue) {
        let mut headers = Headers::new();
        headers.insert_from(&message.headers, is_senders);
        let publish = Publish { subject, headers, payload: message.payload.clone(), ..Publish::default() };
        if let Err(error) = insist("forwarding a request", || broker.publish(publish.clone())).await {
            tracing::error!(subject = message.subject, %error, "a request could not be forwarded to its run's queue");
            return;
        }
    }
    let _ = answer.send(Input::Handled { unit, source: Action::HANDLED_SOURCE, seq: message.seq });
}

fn forwarded(broker: &dyn Broker, message: &Message, queue: &QueueName) -> Option<String> {
    let subjects = broker.subjects();
    let parts = subjects.parse_inbox(&message.subject)?;
    let key = WorkflowId::from_token(parts.kind.key()).ok()?.to_key();
    match parts.kind {
        InboxKind::Public { verb, name, .. } => {
            let name = TypeName::from_token(name).ok();
            Some(subjects.inbox_public(Verb::from_token(verb)?, queue, name.as_ref(), &key))
        }
        InboxKind::Engine { verb, run, .. } => Some(subjects.inbox_engine(verb, queue, run.parse().ok()?, &key)),
    }
}
