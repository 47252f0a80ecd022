//! From an update to the run that has it.

use std::{convert::Infallible, sync::Arc};

use highwater_core::run::Limits;
use highwater_protocol::{
    RunId, UpdateId,
    rejection::{Code, Rejection},
    subject::Verb,
};
use tokio::time::sleep;

use super::{
    UpdateError,
    look::{Standing, look},
};
use crate::{
    handle::{Located, Target},
    intercept::UpdateCall,
    pace::{Retryable, looks},
    replies::{Answers, Expected},
    request::{Ask, AskError, Stored, Unsent},
    run,
};

/// How often an update is sent again of which only the answer got lost.
const SENDS_MAX: u32 = 8;

/// An update that a run has accepted.
#[derive(Clone, Debug)]
pub struct Accepted {
    pub(super) run: RunId,
    pub(super) sent: Option<Stored>,
}

impl Accepted {
    /// The run.
    pub fn run_id(&self) -> RunId {
        self.run
    }
}

/// What became of one request.
enum Became {
    Accepted(RunId),
    Rejected(Rejection),
    /// It was refused, and the answer that said why is lost.
    Lost,
}

pub(super) async fn send(target: &Target, call: UpdateCall) -> Result<Accepted, UpdateError<Infallible>> {
    let UpdateCall { update_id: update, name, input, headers, .. } = &call;
    let id = || target.id().clone();
    let unreadable = |source| UpdateError::History { id: id(), source };
    let limits = Limits::for_message_max(target.client().broker().payload_max());
    if let Some(failure) = limits.check("the update's argument", input) {
        return Err(UpdateError::TooLarge { id: id(), reason: failure.message });
    }
    let mut lost = None;
    for _ in 0..SENDS_MAX {
        let queue = match target.open_queue() {
            Some(queue) => queue,
            None => match target.locate().await.map_err(unreadable)? {
                Located::Open(last) => run::queue_of(&last).map_err(unreadable)?,
                Located::Pending(pending) => pending.queue,
                Located::Unknown => return Err(UpdateError::NotFound { id: id() }),
                Located::Closed { .. } => return before_the_end(target, update).await,
            },
        };
        let ask = Ask {
            verb: Verb::Update,
            name: Some(name),
            key: target.key(),
            queue: &queue,
            meant: target.meant(),
            reason: None,
            update: Some(update),
            context: Some(headers),
            input: input.clone(),
        };
        let (ack, answers) = match ask.submit(target.client()).await {
            Ok((ack, answers)) => (ack, Arc::new(answers)),
            Err(AskError::Unsent(Unsent::Refused(source))) => return Err(UpdateError::Broker { id: id(), source }),
            Err(AskError::Unsent(Unsent::Unknown(source))) => {
                return Err(UpdateError::OutcomeUnknown { id: id(), update: update.clone(), source });
            }
            Err(AskError::Rejected(rejection)) => return Err(UpdateError::Refused { id: id(), rejection }),
        };
        let seq = ack.map(|ack| ack.seq);
        let became = became(target, update, &answers, seq).await;
        target.noted(&queue, matches!(became, Ok(Became::Accepted(_))));
        match became? {
            Became::Accepted(run) => return Ok(Accepted { run, sent: Some(Stored { answers, seq }) }),
            Became::Rejected(rejection) if rejection.code == Code::Closed => {
                return before_the_end(target, update).await;
            }
            Became::Rejected(rejection) if rejection.code == Code::NotFound => {
                return Err(UpdateError::NotFound { id: id() });
            }
            Became::Rejected(rejection) => return Err(UpdateError::Refused { id: id(), rejection }),
            Became::Lost => lost = Some(unsaid()),
        }
    }
    Err(UpdateError::Refused { id: id(), rejection: lost.unwrap_or_else(unsaid) })
}

/// What is told when the history shows that an update was refused, and the answer that said why is lost.
pub(super) fn unsaid() -> Rejection {
    Rejection::new(Code::Refused, "the update is not in the history; the answer that said why is lost, send it again")
}

async fn became(
    target: &Target,
    update: &UpdateId,
    answers: &Expected,
    seq: Option<u64>,
) -> Result<Became, UpdateError<Infallible>> {
    let mut pauses = looks(target.client().broker());
    loop {
        tokio::select! {
            biased;
            became = answers.until(answered) => return Ok(became),
            () = sleep(pauses.next()) => {}
        }
        match look(target, update, None).await {
            Ok(Standing::Accepted(run) | Standing::Unanswered(run) | Standing::Done(run, _)) => {
                return Ok(Became::Accepted(run));
            }
            Ok(Standing::Absent { closed: Some(status), .. }) => {
                return Err(UpdateError::Closed { id: target.id().clone(), status });
            }
            Ok(Standing::Absent { read_to, .. }) if seq.is_some_and(|seq| read_to >= seq) => return Ok(Became::Lost),
            Ok(Standing::Absent { .. }) => {}
            Err(error) if error.is_retryable() => tracing::debug!(%error, "cannot read the history now"),
            Err(source) => return Err(UpdateError::History { id: target.id().clone(), source }),
        }
    }
}

fn answered(answers: &Answers) -> Option<Became> {
    let accepted = answers.accepted.or(answers.updated.as_ref().map(|updated| updated.run));
    match (accepted, &answers.rejected) {
        (Some(run), _) => Some(Became::Accepted(run)),
        (None, Some(rejection)) => Some(Became::Rejected(rejection.clone())),
        (None, None) => None,
    }
}

/// The run has ended. It may have had the update before.
async fn before_the_end(target: &Target, update: &UpdateId) -> Result<Accepted, UpdateError<Infallible>> {
    let id = || target.id().clone();
    match look(target, update, None).await.map_err(|source| UpdateError::History { id: id(), source })? {
        Standing::Accepted(run) | Standing::Unanswered(run) | Standing::Done(run, _) => {
            Ok(Accepted { run, sent: None })
        }
        Standing::Absent { closed: Some(status), .. } => Err(UpdateError::Closed { id: id(), status }),
        Standing::Absent { closed: None, .. } => Err(UpdateError::NotFound { id: id() }),
    }
}
