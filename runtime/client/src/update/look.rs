//! What the history says of an update.

use highwater_broker::{Broker, history::HistoryError};
use highwater_protocol::{Event, Failure, FailureKind, Payload, RunId, Status, UpdateId, event::Outcome};

use crate::{
    handle::{Addressed, Target},
    run::{self, Tail},
};

/// How many runs of a chain are searched for an update of which nobody knows which run has it.
const SEARCHED_MAX: u32 = 64;

/// How an update stands.
#[derive(Debug)]
pub(super) enum Standing {
    /// Its handler returned.
    Done(RunId, Result<Payload, Failure>),
    /// The run has it.
    Accepted(RunId),
    /// The run had it and ended before its handler did.
    Unanswered(RunId),
    /// It is nowhere.
    Absent {
        /// How the addressed run ended, if it did.
        closed: Option<Status>,
        /// How far the id has consumed its inbox.
        read_to: u64,
    },
}

/// Looks for an update: in a certain run, or else in the addressed one and those that it continues.
pub(super) async fn look(target: &Target, update: &UpdateId, run: Option<RunId>) -> Result<Standing, HistoryError> {
    let broker = target.client().broker();
    let absent = |closed, read_to| Ok(Standing::Absent { closed, read_to });
    let Some(last) = run::last_of(broker, target.key()).await? else { return absent(None, 0) };
    let read_to = last.frame.marks.inbox.seq;
    let mut tail = match run.or_else(|| target.wanted()).filter(|run| *run != last.frame.run) {
        None => Tail::of(&last)?,
        Some(wanted) => match run::find(broker, &last, wanted, 0).await? {
            Some(found) if run.is_none() && matches!(target.addressed(), Addressed::Chain(_)) => found.chain,
            Some(found) => found.own,
            None => return absent(None, read_to),
        },
    };
    let status = tail.status();
    let closed = status.is_closed().then_some(status);
    let only_this = run.is_some() || matches!(target.addressed(), Addressed::Run(_));
    for _ in 0..SEARCHED_MAX {
        if let Some(standing) = in_run(broker, &tail, update).await? {
            return Ok(standing);
        }
        match tail.continued_from(broker).await? {
            Some(earlier) if !only_this => tail = earlier,
            _ => break,
        }
    }
    absent(closed, read_to)
}

async fn in_run(broker: &dyn Broker, tail: &Tail, update: &UpdateId) -> Result<Option<Standing>, HistoryError> {
    let mut accepted = false;
    let mut note = |event: Event| match event {
        Event::UpdateAccepted(found) if found.id == *update => {
            accepted = true;
            None
        }
        Event::UpdateClosed { id, outcome } if id == *update => Some(read(outcome)),
        _ => None,
    };
    for record in tail.records_before(broker).await? {
        if let Some(outcome) = record.body()?.events.into_iter().find_map(&mut note) {
            return Ok(Some(Standing::Done(tail.run, outcome)));
        }
    }
    if let Some(outcome) = tail.events.iter().cloned().find_map(&mut note) {
        return Ok(Some(Standing::Done(tail.run, outcome)));
    }
    let ended = tail.status().is_closed();
    Ok(accepted.then_some(if ended { Standing::Unanswered(tail.run) } else { Standing::Accepted(tail.run) }))
}

fn read(outcome: Outcome) -> Result<Payload, Failure> {
    match outcome {
        Outcome::Completed(result) => Ok(result),
        Outcome::Failed(failure) | Outcome::Cancelled(failure) => Err(failure),
        other => {
            Err(Failure::new(FailureKind::Payload, format!("an outcome that this client does not know: {other:?}")))
        }
    }
}
