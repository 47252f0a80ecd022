//! From an addressed run to its end.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use highwater_broker::{
    BoxFuture, BoxStream, PlainMessage,
    history::{self, Freshness, HistoryError, StoredRecord},
};
use highwater_protocol::{
    Failure, Payload, RunId, Status, WorkflowId,
    reply::{Closed, Reply},
};
use tokio::time::{sleep, timeout};

use super::{ResultError, follows};
use crate::{
    handle::{Addressed, Target},
    intercept::Asked,
    pace::{ANSWER_ALONE, Retryable, looks},
    replies::Expected,
    run::{self, Tail},
};

/// There is no outcome to wait for.
#[derive(Debug)]
pub(super) enum Missed {
    NotFound,
    ContinuedAsNew(RunId),
    StillRunning(Duration),
    History(HistoryError),
}

impl Missed {
    pub(super) fn into_error<E>(self, id: &WorkflowId) -> ResultError<E> {
        let id = id.clone();
        match self {
            Self::NotFound => ResultError::NotFound { id },
            Self::ContinuedAsNew(next) => ResultError::ContinuedAsNew { id, next },
            Self::StillRunning(waited) => ResultError::StillRunning { id, waited },
            Self::History(source) => ResultError::History { id, source },
        }
    }
}

impl From<HistoryError> for Missed {
    fn from(error: HistoryError) -> Self {
        Self::History(error)
    }
}

/// How a run ended.
type Heard = (Status, Result<Payload, Failure>);

/// What a look at the history says.
enum Look {
    Ended(Closed),
    /// It goes on, at present as this run.
    Open(RunId),
    /// It has been asked for, and no worker has taken it yet.
    Pending,
    ContinuedAsNew(RunId),
    NotFound,
}

/// Waits until the addressed run has ended, but no longer than `limit`: how it ended, and its outcome as the
/// interceptors let it be heard.
pub(super) fn outcome(target: &Target, limit: Option<Duration>) -> BoxFuture<'_, Result<Heard, Missed>> {
    Box::pin(async move {
        let closed = match limit {
            None => closed(target).await?,
            Some(limit) => timeout(limit, closed(target)).await.map_err(|_| Missed::StillRunning(limit))??,
        };
        target.may_have_ended();
        let of = Asked::Run { workflow_id: target.id() };
        Ok((closed.status, target.client().heard(of, closed.outcome)))
    })
}

/// Waits until the addressed run has ended.
async fn closed(target: &Target) -> Result<Closed, Missed> {
    let answers = target.answers();
    if let Some(answers) = answers
        && let Ok(closed) = timeout(ANSWER_ALONE, answered(target, answers)).await
    {
        return Ok(closed);
    }
    let broker = target.client().broker();
    let mut run = target.wanted();
    let mut pauses = looks(broker);
    let mut told: Option<BoxStream<PlainMessage>> = None;
    loop {
        if told.is_none() {
            // Listening begins before the look, so that no end falls in between.
            match broker.subscribe(broker.subjects().closed(target.key())).await {
                Ok(messages) => told = Some(messages),
                Err(error) => {
                    tracing::debug!(%error, "cannot listen for the end of a run; the history is read instead");
                }
            }
        }
        match look(target, run).await {
            Ok(Look::Ended(closed)) => return Ok(closed),
            Ok(Look::ContinuedAsNew(next)) => return Err(Missed::ContinuedAsNew(next)),
            Ok(Look::NotFound) => return Err(Missed::NotFound),
            Ok(Look::Open(current)) => {
                run = Some(current);
                if matches!(target.addressed(), Addressed::Chain(_)) {
                    target.reached(current);
                }
            }
            Ok(Look::Pending) => {}
            Err(error) if error.is_retryable() => tracing::debug!(%error, "cannot read the history now"),
            Err(error) => return Err(error.into()),
        }
        tokio::select! {
            closed = told_of(&mut told, run) => {
                if let Some(closed) = closed {
                    return Ok(closed);
                }
                // Something else ended, perhaps a run that the addressed one continued as: look.
            }
            closed = own_answer(target, answers) => return Ok(closed),
            () = sleep(pauses.next()) => {}
        }
    }
}

/// The outcome that is told to the starter.
async fn answered(target: &Target, answers: &Expected) -> Closed {
    let (started, follows) = (target.run_id(), follows(target.addressed()));
    // Only runs of the chain are told here: the subject was made for the start of its first one.
    answers
        .until(|answers| {
            answers
                .closed
                .clone()
                .filter(|closed| closed.status != Status::ContinuedAsNew && (follows || Some(closed.run) == started))
        })
        .await
}

async fn own_answer(target: &Target, answers: Option<&Arc<Expected>>) -> Closed {
    match answers {
        Some(answers) => answered(target, answers).await,
        None => std::future::pending().await,
    }
}

/// Waits for a message on the `closed` subject: with the outcome when it is the run's, `None` when it is not.
async fn told_of(told: &mut Option<BoxStream<PlainMessage>>, run: Option<RunId>) -> Option<Closed> {
    let Some(messages) = told else { return std::future::pending().await };
    loop {
        let Some(message) = messages.next().await else {
            *told = None;
            return std::future::pending().await;
        };
        if let Some(Reply::Closed(closed)) = Reply::decode(&message.headers, &message.payload) {
            return (Some(closed.run) == run && closed.status != Status::ContinuedAsNew).then_some(closed);
        }
    }
}

/// What the history says of a run; of the latest one when none is named.
async fn look(target: &Target, run: Option<RunId>) -> Result<Look, HistoryError> {
    let broker = target.client().broker();
    // A run's end never changes, so any replica's word will do for that. A miss is asked of the leader.
    let hint = history::last(broker, target.key(), Freshness::Any).await?;
    if let Some(seen) = look_at(target, hint.as_ref(), run).await? {
        return Ok(seen);
    }
    let last = run::last_of(broker, target.key()).await?;
    if let Some(seen) = look_at(target, last.as_ref(), run).await? {
        return Ok(seen);
    }
    if last.is_none() && run::pending_start(broker, target.key()).await?.is_some() {
        return Ok(Look::Pending);
    }
    Ok(Look::NotFound)
}

async fn look_at(
    target: &Target,
    last: Option<&StoredRecord>,
    run: Option<RunId>,
) -> Result<Option<Look>, HistoryError> {
    let Some(last) = last else { return Ok(None) };
    let run = run.unwrap_or(last.frame.run);
    if run == last.frame.run && !last.frame.closed {
        return Ok(Some(Look::Open(run)));
    }
    let Some(found) = run::find(target.client().broker(), last, run, 0).await? else { return Ok(None) };
    let tail: Tail = if follows(target.addressed()) { found.chain } else { found.own };
    if let Some(next) = tail.continued_as() {
        return Ok(Some(Look::ContinuedAsNew(next)));
    }
    match tail.closed() {
        Some(closed) => Ok(Some(Look::Ended(closed))),
        None => Ok(Some(Look::Open(tail.run))),
    }
}
