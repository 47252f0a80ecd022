//! Whether an activity has its outcome already.
//!
//! A worker publishes the outcome and then lets go of the task, without waiting for the server to confirm that. Should
//! it end in between, or that message get lost, the task is delivered again though its work is done. So whoever gets a
//! task that was delivered before looks for the outcome first: in the history, and in the inbox behind what that has
//! consumed. In this order, as outcomes move from there to here and stay in the inbox for a while longer.

use futures_util::StreamExt;
use highwater_broker::{
    Broker, Delivered, Error, Stream,
    history::{
        self, Freshness, HistoryError, StoredRecord,
        runs::{self, Tail},
    },
};
use highwater_protocol::{
    Event, Key, OpId,
    subject::EngineVerb,
    task::{ActivityReport, ActivityTask},
    wire,
};

/// What a record tells of an activity.
enum Told {
    Closed,
    /// The record that asked for it: none before it tells more.
    Open,
}

/// Looks for the outcome, by the leader. `false` where it cannot be found out: an activity runs at least once. An error
/// may do better later.
pub(super) async fn is_settled(broker: &dyn Broker, task: &ActivityTask) -> Result<bool, Error> {
    match find(broker, task).await {
        Ok(found) => Ok(found),
        Err(HistoryError::Broker(error)) if error.is_retryable() => Err(error),
        Err(error) => {
            tracing::warn!(%error, "cannot find out whether the activity has an outcome already; it runs again");
            Ok(false)
        }
    }
}

async fn find(broker: &dyn Broker, task: &ActivityTask) -> Result<bool, HistoryError> {
    let key = task.workflow_id.to_key();
    let Some(last) = history::last(broker, &key, Freshness::Leader).await? else {
        return Ok(is_on_its_way(broker, &key, task, 0).await?);
    };
    let consumed = if last.frame.run == task.run { last.frame.marks.inbox.seq } else { 0 };
    match in_history(broker, &last, task).await {
        Ok(true) => Ok(true),
        Err(error @ HistoryError::Broker(_)) => Err(error),
        // What the history cannot tell, the inbox may.
        not_found => Ok(is_on_its_way(broker, &key, task, consumed).await? || not_found?),
    }
}

/// Whether the outcome is in the history of the task's run. That may have continued as another one since, or its id may
/// have been used again.
async fn in_history(broker: &dyn Broker, last: &StoredRecord, task: &ActivityTask) -> Result<bool, HistoryError> {
    match runs::find(broker, last, task.run, 0).await? {
        Some(run) => is_on_record(broker, run.own, task.call.op).await,
        None => Ok(false),
    }
}

/// Goes back through the history to where the activity was asked for.
async fn is_on_record(broker: &dyn Broker, last: Tail, op: OpId) -> Result<bool, HistoryError> {
    let (run, mut ordinal, mut back) = (last.run, last.ordinal, last.back);
    let mut found = told(&last.events, op);
    while found.is_none() && !back.is_empty() {
        let records = history::read_round(broker, run, ordinal, &back).await?;
        let earliest = records.last().map(|earliest| (earliest.frame.ordinal, earliest.frame.back.clone()));
        (ordinal, back) = earliest.unwrap_or_default();
        for record in &records {
            found = told(&record.body()?.events, op);
            if found.is_some() {
                break;
            }
        }
    }
    Ok(matches!(found, Some(Told::Closed)))
}

fn told(events: &[Event], op: OpId) -> Option<Told> {
    events.iter().rev().find_map(|event| match event {
        Event::ActivityClosed { op: of, .. } if *of == op => Some(Told::Closed),
        Event::ActivityScheduled(call) if call.op == op => Some(Told::Open),
        _ => None,
    })
}

/// Whether the outcome is in the inbox behind `consumed`.
async fn is_on_its_way(broker: &dyn Broker, key: &Key, task: &ActivityTask, consumed: u64) -> Result<bool, Error> {
    let subject = broker.subjects().inbox_engine(EngineVerb::Activity, &task.run_queue, task.run, key);
    let last = broker.last_from_leader(Stream::Inbox, subject.clone()).await?;
    if last.is_none_or(|last| last.seq <= consumed) {
        return Ok(false);
    }
    let mut outcomes = broker.read(Stream::Inbox, vec![subject], consumed + 1).await?;
    while let Some(delivered) = outcomes.next().await {
        let Delivered::Message(message) = delivered? else { break };
        if wire::decode(&message.payload).is_ok_and(|report: ActivityReport| report.op == task.call.op) {
            return Ok(true);
        }
    }
    Ok(false)
}
