//! Reading histories for the engine.

use std::{sync::Arc, time::Duration};

use highwater_broker::{
    Broker,
    history::{self, Freshness, HistoryError, StoredRecord},
};
use highwater_protocol::{Event, Key};

use crate::engine::{Left, Loaded};

/// The longest wait between two tries of a read that the broker did not answer.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Reads a history, for as long as it takes the broker to answer.
pub(super) async fn load(broker: Arc<dyn Broker>, key: Key, all: bool, left: bool) -> Loaded {
    let mut pause = Duration::from_millis(50);
    loop {
        match try_load(&*broker, &key, all, left).await {
            Ok(loaded) => return loaded,
            Err(error) => tracing::warn!(workflow_id = %key, %error, "a history could not be read; it is tried again"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Only errors of the broker come back as errors.
async fn try_load(broker: &dyn Broker, key: &Key, all: bool, left: bool) -> Result<Loaded, HistoryError> {
    let last = match history::last(broker, key, Freshness::Leader).await {
        Ok(Some(last)) => last,
        Ok(None) => return Ok(Loaded::Absent),
        Err(error @ HistoryError::Broker(_)) => return Err(error),
        Err(error) => return Ok(Loaded::Unreadable { error }),
    };
    let whole = all || !last.frame.closed;
    let stored = if whole { history::read_run(broker, last.clone()).await } else { Ok(vec![last.clone()]) };
    let first = stored.as_ref().ok().and_then(|records| records.first()).filter(|_| whole && left).cloned();
    match stored.and_then(decode) {
        Ok(records) => {
            let before = before(broker, &last, &records).await?;
            let left = match first {
                Some(first) => left_behind(broker, &first).await?,
                None => None,
            };
            Ok(Loaded::Records { records, whole, before, left })
        }
        Err(error @ HistoryError::Broker(_)) => Err(error),
        Err(error) => Ok(Loaded::Partly { last, error }),
    }
}

/// How far the inbox was consumed when the run began: by the last record of the run before it under the same id.
async fn before(
    broker: &dyn Broker,
    last: &StoredRecord,
    records: &[(StoredRecord, Vec<Event>)],
) -> Result<Option<u64>, HistoryError> {
    let Some(Event::Started(started)) = records.first().and_then(|(_, events)| events.first()) else { return Ok(None) };
    match (started.continued_from, started.prior) {
        (Some(_), _) => Ok(None),
        (None, None) => Ok(Some(0)),
        (None, Some(prior)) => match history::read_one(broker, last.frame.run, prior).await {
            Ok(prior) => Ok(Some(prior.frame.marks.inbox.seq)),
            Err(error @ HistoryError::Broker(_)) => Err(error),
            Err(_) => Ok(None),
        },
    }
}

/// What the run before this one left behind, which ended in its first record or in one of its own.
async fn left_behind(broker: &dyn Broker, first: &StoredRecord) -> Result<Option<Left>, HistoryError> {
    match try_left_behind(broker, first).await {
        Err(error) if !matches!(error, HistoryError::Broker(_)) => {
            tracing::error!(run = %first.frame.run, %error, "what the run before left behind cannot be read; its children are left alone");
            Ok(None)
        }
        result => result,
    }
}

async fn try_left_behind(broker: &dyn Broker, first: &StoredRecord) -> Result<Option<Left>, HistoryError> {
    let body = first.body()?;
    let (run, ordinal, back, last, time) = match (body.previous, body.events.first()) {
        (Some(previous), _) => {
            (previous.run, previous.ordinal, previous.back.clone(), previous.events, first.frame.time)
        }
        (None, Some(Event::Started(started))) if started.prior.is_some() => {
            let prior = history::read_one(broker, first.frame.run, started.prior.unwrap_or_default()).await?;
            let frame = &prior.frame;
            (frame.run, frame.ordinal, frame.back.clone(), prior.body()?.events, frame.time)
        }
        _ => return Ok(None),
    };
    let records = decode(history::read_back(broker, run, ordinal, back).await?)?;
    let earlier = records.iter().map(|(record, events)| (events.as_slice(), record.frame.time));
    Ok(Left::of(run, earlier.chain([(last.as_slice(), time)])))
}

fn decode(records: Vec<StoredRecord>) -> Result<Vec<(StoredRecord, Vec<Event>)>, HistoryError> {
    records.into_iter().map(|record| record.body().map(|body| (record, body.events))).collect()
}
