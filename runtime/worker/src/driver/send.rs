//! Sending what records ask for, for as long as it takes the broker to answer.

use std::{sync::Arc, time::Duration};

use highwater_broker::{Broker, Bucket, Error, ErrorKind, Message, PlainMessage, Publish, Schedule, Stream};
use highwater_protocol::{
    Failure, FailureKind, Headers, Key, OpId, QueueName, RunId, Timestamp,
    subject::EngineVerb,
    task::{ActivityState, ActivityTask, CancelActivity, StartDecision},
    timer::{Fire, TimerId},
    wire,
};

use crate::{
    backoff::Backoff,
    engine::{Outgoing, Send, Sent, UnitId},
};

/// The shortest and the longest wait between two tries.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Tries until the broker answers; an error that a retry cannot mend comes back.
pub(crate) async fn insist<T, F: Future<Output = Result<T, Error>>>(
    what: &str,
    mut call: impl FnMut() -> F,
) -> Result<T, Error> {
    let mut backoff = Backoff::between(PAUSE_MIN, PAUSE_MAX);
    loop {
        match call().await {
            Err(error) if error.is_retryable() => tracing::warn!(%error, "{what} failed; it is tried again"),
            result => return result,
        }
        backoff.pause().await;
    }
}

/// Sends it. Only what there may be thousands of at a time is not on the heap by itself.
pub(super) async fn send(broker: Arc<dyn Broker>, queues: Arc<[QueueName]>, key: Key, send: Send) -> Sent {
    match send {
        Send::Task { task, seen, verify } => send_task(&*broker, &key, task, seen, verify).await,
        Send::Timer { unit, run, timer, at } => arm(&*broker, &queues, key, unit, run, timer, at).await,
        Send::DeleteTimer { run, timer } => Box::pin(delete_timer(&*broker, &key, run, timer)).await,
        Send::CancelActivity { run, op, queue, wait: false } => Box::pin(cancel(&*broker, run, op, &queue)).await,
        Send::CancelActivity { run, op, queue, wait: true } => {
            Box::pin(cancel_and_wait(&*broker, run, op, &queue)).await
        }
        Send::Message { run, to, message } => Box::pin(post(&*broker, run, to, message)).await,
        Send::DecideStart { run, op, queue, failure } => {
            Box::pin(decide_start(&*broker, run, op, &queue, failure)).await
        }
    }
}

async fn send_task(broker: &dyn Broker, key: &Key, task: Box<ActivityTask>, seen: u64, mut verify: bool) -> Sent {
    let (queue, run, op) = (&task.call.queue, task.run, task.call.op);
    let message = Publish {
        subject: broker.subjects().task(queue, run, op, task.attempt),
        payload: wire::encode(&*task),
        expect_last: Some(0),
        ..Publish::default()
    };
    let mut backoff = Backoff::between(PAUSE_MIN, PAUSE_MAX);
    loop {
        if verify && let Some(sent) = Box::pin(sent_before(broker, key, &task, seen)).await {
            return sent;
        }
        match broker.publish(message.clone()).await {
            Ok(_) => return Sent::Done,
            Err(error) if error.kind == ErrorKind::Conflict => return Sent::Done,
            Err(error) if error.is_retryable() => {
                // It may be there all the same, and somebody may have done it by now: then its subject is free again.
                verify |= error.kind != ErrorKind::NoResponders;
                tracing::warn!(%error, "sending a task failed; it is tried again");
            }
            Err(error) => return refused(&task, &error),
        }
        backoff.pause().await;
    }
}

/// What became of a task if it was sent before. A worker publishes the outcome before it lets go of the task. So when
/// the task is not there, either it was never sent or its outcome is in the inbox by now.
async fn sent_before(broker: &dyn Broker, key: &Key, task: &ActivityTask, seen: u64) -> Option<Sent> {
    let (queue, run, op) = (&task.call.queue, task.run, task.call.op);
    if matches!(find_task(broker, run, op, queue).await, Ok(Some(_))) {
        return Some(Sent::Done);
    }
    let outcomes = broker.subjects().inbox_engine(EngineVerb::Activity, &task.run_queue, run, key);
    let waiting = insist("looking for outcomes", || broker.last_from_leader(Stream::Inbox, outcomes.clone())).await;
    let seq = waiting.ok()??.seq;
    (seq > seen).then_some(Sent::Waits { run, op, seq })
}

fn refused(task: &ActivityTask, error: &Error) -> Sent {
    let kind = match error.kind {
        ErrorKind::TooLarge => FailureKind::TooLarge,
        _ => FailureKind::Application { non_retryable: true },
    };
    let text = format!("the task of activity {} cannot be sent: {error}", task.call.name);
    Sent::Refused { run: task.run, op: task.call.op, failure: Failure::new(kind, text) }
}

async fn arm(
    broker: &dyn Broker,
    queues: &[QueueName],
    key: Key,
    unit: UnitId,
    run: RunId,
    timer: TimerId,
    at: Timestamp,
) -> Sent {
    let subjects = broker.subjects();
    let message = Publish {
        subject: subjects.timer(&key, run, timer),
        payload: wire::encode(&Fire { key, run, timer }),
        // A subject is used once: to arm it again while it fires would lose the new timer.
        expect_last: Some(0),
        schedule: Some(Schedule { at, target: subjects.fire(unit.partition, &queues[unit.queue]) }),
        ..Publish::default()
    };
    match insist("arming a timer", || broker.publish(message.clone())).await {
        Err(error) if error.kind != ErrorKind::Conflict => {
            tracing::error!(%run, %timer, %error, "a timer cannot be armed");
        }
        _ => {}
    }
    Sent::Done
}

async fn delete_timer(broker: &dyn Broker, key: &Key, run: RunId, timer: TimerId) -> Sent {
    let subject = broker.subjects().timer(key, run, timer);
    let armed = insist("looking for a timer", || broker.last_from_leader(Stream::Timers, subject.clone())).await;
    if let Ok(Some(message)) = armed {
        let deleted = insist("deleting a timer", || broker.delete(Stream::Timers, message.seq)).await;
        if let Err(error) = deleted {
            tracing::warn!(%run, %timer, %error, "a timer that is not needed could not be deleted; it fires into nothing");
        }
    }
    Sent::Done
}

/// Tells the activity's worker, and whoever takes the task later, that the run does not want it any more.
async fn cancel(broker: &dyn Broker, run: RunId, op: OpId, queue: &QueueName) -> Sent {
    let state = |state: &mut ActivityState| state.cancel_requested = true;
    if let Err(error) = change_state(broker, run, op, state).await {
        tracing::warn!(%run, %op, %error, "a cancellation could not be noted for later attempts");
    }
    tell_workers(broker, run, op, queue).await;
    // A task that nobody has taken yet is never to be taken. Where one works on it, its acknowledgement finds nothing.
    delete_task(broker, run, op, queue).await;
    Sent::Cancelled
}

/// Tells the activity's worker that the run wants it to end. Whoever writes first decides whether there is one: this
/// process, or the worker that takes the task.
async fn cancel_and_wait(broker: &dyn Broker, run: RunId, op: OpId, queue: &QueueName) -> Sent {
    let decided = change_state(broker, run, op, |state| {
        state.cancel_requested = true;
        state.start.get_or_insert(StartDecision::TimedOut);
    });
    match decided.await {
        Ok(state) if state.start == Some(StartDecision::Started) => {
            tell_workers(broker, run, op, queue).await;
            Sent::Done
        }
        Ok(_) => {
            delete_task(broker, run, op, queue).await;
            let failure = Failure::new(FailureKind::Cancelled, "it was cancelled before a worker had taken it");
            Sent::Refused { run, op, failure }
        }
        Err(error) => {
            tracing::error!(%run, %op, %error, "a cancellation could not be noted; the activity is left to run");
            Sent::Done
        }
    }
}

async fn tell_workers(broker: &dyn Broker, run: RunId, op: OpId, queue: &QueueName) {
    let message = PlainMessage {
        subject: broker.subjects().cancel_activity(queue),
        reply: None,
        headers: Headers::new(),
        payload: wire::encode(&CancelActivity { run, op }),
    };
    let _ = insist("cancelling an activity", || broker.send(message.clone())).await;
}

/// Puts a message of a run's into the other one's inbox.
async fn post(broker: &dyn Broker, run: RunId, to: Key, message: Outgoing) -> Sent {
    let mut message = message;
    loop {
        let publish = Publish {
            subject: message.subject(broker.subjects(), run, &to),
            payload: message.payload(),
            ..Publish::default()
        };
        let Err(error) = insist("sending to another workflow", || broker.publish(publish.clone())).await else {
            return Sent::Posted { run, to, undelivered: None };
        };
        tracing::error!(%run, to = %to, %error, "a message to another workflow cannot be sent");
        let kind = if error.kind == ErrorKind::TooLarge { FailureKind::TooLarge } else { FailureKind::Refused };
        let failure = Failure::new(kind, format!("it cannot be sent: {error}"));
        match message.shortened(&failure) {
            Some(short) => message = short,
            None => return Sent::Posted { run, undelivered: message.undelivered(failure), to },
        }
    }
}

/// The activity's task or the schedule of one, by the leader.
async fn find_task(broker: &dyn Broker, run: RunId, op: OpId, queue: &QueueName) -> Result<Option<Message>, Error> {
    let any = broker.subjects().task_any(queue, run, op);
    insist("looking for a task", || broker.last_from_leader(Stream::Tasks, any.clone())).await
}

/// Deletes the activity's task, if there is one.
async fn delete_task(broker: &dyn Broker, run: RunId, op: OpId, queue: &QueueName) {
    if let Ok(Some(task)) = find_task(broker, run, op, queue).await {
        let _ = insist("deleting a task", || broker.delete(Stream::Tasks, task.seq)).await;
    }
}

/// Whoever writes first decides whether the activity started in time: this process, or the worker that takes the task.
async fn decide_start(broker: &dyn Broker, run: RunId, op: OpId, queue: &QueueName, failure: Failure) -> Sent {
    let decided = change_state(broker, run, op, |state| {
        state.start.get_or_insert(StartDecision::TimedOut);
    })
    .await;
    match decided {
        Ok(state) if state.start == Some(StartDecision::Started) => Sent::Done,
        Ok(_) => {
            delete_task(broker, run, op, queue).await;
            Sent::Refused { run, op, failure }
        }
        Err(error) => {
            tracing::error!(%run, %op, %error, "cannot find out whether an activity started in time; it is left to run");
            Sent::Done
        }
    }
}

/// Changes what is known of an activity, against whoever else does.
async fn change_state(
    broker: &dyn Broker,
    run: RunId,
    op: OpId,
    change: impl Fn(&mut ActivityState),
) -> Result<ActivityState, Error> {
    let key = ActivityState::key(run, op);
    loop {
        let entry = insist("reading an activity's state", || broker.kv_get(Bucket::Activities, key.clone())).await?;
        let revision = entry.as_ref().map_or(0, |entry| entry.revision);
        let mut state: ActivityState = entry.and_then(|entry| wire::decode(&entry.value).ok()).unwrap_or_default();
        change(&mut state);
        let value = wire::encode(&state);
        match insist("writing an activity's state", || {
            broker.kv_put(Bucket::Activities, key.clone(), value.clone(), Some(revision))
        })
        .await
        {
            Ok(_) => return Ok(state),
            Err(error) if error.kind == ErrorKind::Conflict => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use highwater_broker::memory::MemoryOptions;
    use highwater_protocol::{
        Namespace, Payload, Payloads, TypeName, WorkflowId,
        event::{ActivityOptions, ActivityScheduled, Outcome},
        task::ActivityReport,
    };

    use super::*;

    fn task(queue: &QueueName) -> ActivityTask {
        ActivityTask {
            workflow_id: WorkflowId::new("acme").unwrap(),
            workflow_type: TypeName::new("order").unwrap(),
            run: RunId::generate(),
            run_queue: queue.clone(),
            call: ActivityScheduled {
                op: OpId(1),
                name: TypeName::new("charge").unwrap(),
                queue: queue.clone(),
                input: Payload::null(),
                options: ActivityOptions::default(),
                headers: Payloads::default(),
            },
            attempt: 1,
            scheduled_at: Timestamp::ZERO,
            trace: None,
            headers: Payloads::default(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_whose_answer_was_lost_is_not_sent_again_once_it_is_done() {
        let broker = MemoryOptions::new(Namespace::default()).build();
        let queue = QueueName::new("main").unwrap();
        let task = task(&queue);
        let key = task.workflow_id.to_key();
        broker.faults().lose_answers(broker.subjects().task_all(), 1);
        let worker = async {
            let taken = broker.take_tasks(queue.clone(), 1, Duration::from_secs(10)).await.unwrap();
            let report = ActivityReport { op: OpId(1), attempt: 1, outcome: Outcome::Completed(Payload::null()) };
            let subject = broker.subjects().inbox_engine(EngineVerb::Activity, &queue, task.run, &key);
            let publish = Publish { subject, payload: wire::encode(&report), ..Publish::default() };
            let stored = broker.publish(publish).await.unwrap();
            taken[0].ack.done().await.unwrap();
            stored.seq
        };
        // The worker is faster than the owner's next try.
        let (sent, seq) = tokio::join!(send_task(&broker, &key, Box::new(task.clone()), 0, false), worker);
        assert!(matches!(sent, Sent::Waits { seq: waiting, .. } if waiting == seq), "{sent:?}");
        let again = broker.take_tasks(queue, 1, Duration::from_mins(1)).await.unwrap();
        assert!(again.is_empty(), "nobody gets the task a second time");
    }
}
