//! From an update to its outcome.

use std::convert::Infallible;

use futures_util::StreamExt;
use highwater_broker::{BoxStream, PlainMessage};
use highwater_protocol::{
    RunId, UpdateId,
    reply::{Reply, Updated},
};
use tokio::time::{sleep, timeout};

use super::{
    Outcome, SentUpdate, UpdateError,
    look::{Standing, look},
    send::unsaid,
};
use crate::{
    pace::{ANSWER_ALONE, Retryable, looks},
    request::Stored,
};

/// What was told of an update, as far as it ends the wait.
enum Told {
    Done(Updated),
    Refused(highwater_protocol::rejection::Rejection),
}

/// Waits until the update has an outcome.
pub(super) async fn outcome(update: &SentUpdate) -> Result<Outcome, UpdateError<Infallible>> {
    let (target, id) = (&update.target, &update.id);
    let sent = update.stored.as_ref();
    if sent.is_some()
        && let Ok(told) = timeout(ANSWER_ALONE, answered(sent)).await
    {
        return read(update, told);
    }
    let broker = target.client().broker();
    let mut run = update.run;
    let mut pauses = looks(broker);
    let mut listening: Option<BoxStream<PlainMessage>> = None;
    loop {
        if listening.is_none() {
            // Listening begins before the look, so that no outcome falls in between.
            match broker.subscribe(broker.subjects().updated(target.key())).await {
                Ok(messages) => listening = Some(messages),
                Err(error) => {
                    tracing::debug!(%error, "cannot listen for the outcome of an update; the history is read instead");
                }
            }
        }
        match look(target, id, run).await {
            Ok(Standing::Done(_, outcome)) => return Ok(outcome),
            Ok(Standing::Accepted(found)) => run = Some(found),
            Ok(Standing::Unanswered(_)) => return Err(unanswered(update)),
            Ok(Standing::Absent { closed, read_to }) => absent(update, closed.is_some(), read_to)?,
            Err(error) if error.is_retryable() => tracing::debug!(%error, "cannot read the history now"),
            Err(source) => return Err(UpdateError::History { id: target.id().clone(), source }),
        }
        tokio::select! {
            told = announced(&mut listening, id, run) => return read(update, told),
            told = answered(sent) => return read(update, told),
            () = sleep(pauses.next()) => {}
        }
    }
}

/// An update that is in no history may still get there: when it went along with a start that nobody has taken yet.
fn absent(update: &SentUpdate, closed: bool, read_to: u64) -> Result<(), UpdateError<Infallible>> {
    let id = || update.target.id().clone();
    match &update.stored {
        Some(Stored { seq, .. }) if seq.is_some_and(|seq| read_to >= seq) => {
            Err(UpdateError::Refused { id: id(), rejection: unsaid() })
        }
        Some(_) if !closed => Ok(()),
        _ => Err(UpdateError::Unknown { id: id(), update: update.id.clone() }),
    }
}

fn unanswered(update: &SentUpdate) -> UpdateError<Infallible> {
    UpdateError::Unanswered { id: update.target.id().clone(), update: update.id.clone() }
}

fn read(update: &SentUpdate, told: Told) -> Result<Outcome, UpdateError<Infallible>> {
    match told {
        Told::Done(Updated { outcome: Err(failure), .. })
            if failure.kind == highwater_protocol::FailureKind::Closed =>
        {
            Err(unanswered(update))
        }
        Told::Done(updated) => Ok(updated.outcome),
        Told::Refused(rejection) => Err(UpdateError::Refused { id: update.target.id().clone(), rejection }),
    }
}

/// What the sender of the update is told; nothing when that is somebody else.
async fn answered(sent: Option<&Stored>) -> Told {
    let Some(Stored { answers, .. }) = sent else { return std::future::pending().await };
    let wanted = |answers: &crate::replies::Answers| match (&answers.updated, &answers.rejected) {
        (Some(updated), _) => Some(Told::Done(updated.clone())),
        (None, Some(rejection)) => Some(Told::Refused(rejection.clone())),
        (None, None) => None,
    };
    answers.until(wanted).await
}

/// Waits for the update's outcome on the subject where those of all updates of the workflow id are announced.
async fn announced(listening: &mut Option<BoxStream<PlainMessage>>, id: &UpdateId, run: Option<RunId>) -> Told {
    let Some(messages) = listening else { return std::future::pending().await };
    loop {
        let Some(message) = messages.next().await else {
            *listening = None;
            return std::future::pending().await;
        };
        if let Some(Reply::Updated(updated)) = Reply::decode(&message.headers, &message.payload)
            && updated.id == *id
            && run.is_none_or(|run| run == updated.run)
        {
            return Told::Done(updated);
        }
    }
}
