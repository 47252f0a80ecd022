//! From a plan to a run: look, ask, look again.

use highwater_core::run::Limits;
use highwater_protocol::{
    Key, RunId, Status,
    rejection::{Code, Rejection},
    request::{IdConflict, IdReuse},
};

use super::{
    Plan, StartError,
    attempt::{Attempt, Sent},
    policy::{LastRun, Verdict, judge},
};
use crate::{
    client::Client,
    handle::Addressed,
    pace::{PATIENCE, persist},
    request::Stored,
    run,
    terminate::{self, TerminateError},
};

/// How often a start that others got in the way of is tried again, each time as a new request.
const ATTEMPTS_MAX: u32 = 8;

/// The reason that a run is terminated with when a start puts itself in its place.
const REPLACED: &str = "another run was started under the same id with the policy terminate-existing";

/// Where a start led.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) addressed: Addressed,
    /// The run was begun by the request.
    pub(super) own: bool,
    /// The request, if one was needed.
    pub(super) request: Option<Stored>,
}

impl Outcome {
    fn new(run: RunId, own: bool, request: Option<Stored>) -> Self {
        Self { addressed: Addressed::Chain(run), own, request }
    }
}

pub(super) async fn start(client: &Client, plan: &Plan) -> Result<Outcome, StartError> {
    let limits = Limits::for_message_max(client.broker().payload_max());
    if let Some(failure) = limits.check("the input", &plan.request.input) {
        return Err(StartError::TooLarge { id: plan.id.clone(), reason: failure.message });
    }
    if let Some(failure) = limits.check("the start, with what goes along,", &plan.request.message(None).1) {
        return Err(StartError::TooLarge { id: plan.id.clone(), reason: failure.message });
    }
    let key = plan.id.to_key();
    // Where any history means no, the request itself finds out whether there is one.
    let only_if_new = plan.request.id_reuse == IdReuse::Reject && plan.request.id_conflict == IdConflict::Fail;
    let mut replaced = None;
    let mut verdict =
        if plan.id_is_new || only_if_new { Verdict::Ask(0) } else { look(client, plan, &key, replaced).await? };
    for _ in 0..ATTEMPTS_MAX {
        match verdict {
            Verdict::Running(run) => return Err(StartError::AlreadyRunning { id: plan.id.clone(), run }),
            Verdict::Used(run, status) => return Err(StartError::AlreadyUsed { id: plan.id.clone(), run, status }),
            Verdict::Use(run, _) if !plan.brings_messages() => return Ok(Outcome::new(run, false, None)),
            Verdict::Terminate(run) => {
                replace(client, plan, &key, run).await?;
                replaced = Some(run);
                verdict = look(client, plan, &key, replaced).await?;
            }
            Verdict::Ask(expect) | Verdict::Use(_, expect) => {
                // The policy allowed to end the run before, so it allows the one that follows.
                let id_reuse = if replaced.is_some() { IdReuse::Allow } else { plan.request.id_reuse };
                let attempt = Attempt { client, plan, key: &key, run: RunId::generate(), expect, id_reuse };
                let rejection = match attempt.send().await? {
                    (Sent::Ours, request) => return Ok(Outcome::new(attempt.run, true, Some(request))),
                    (Sent::Existing(run), request) => return Ok(Outcome::new(run, false, Some(request))),
                    (Sent::Refused(rejection), _) => rejection,
                };
                verdict = look(client, plan, &key, replaced).await?;
                if let (Verdict::Ask(same), Some(rejection)) = (verdict, rejection)
                    && same == expect
                {
                    // The owner refuses what the history allows: for a reason that another try does not mend.
                    return Err(StartError::Rejected { id: plan.id.clone(), rejection });
                }
            }
        }
    }
    Err(StartError::Contended { id: plan.id.clone(), attempts: ATTEMPTS_MAX })
}

/// Judges by the leader's last record. A run that this start has terminated itself does not count as a use of the id.
async fn look(client: &Client, plan: &Plan, key: &Key, replaced: Option<RunId>) -> Result<Verdict, StartError> {
    let unreadable = |source| StartError::History { id: plan.id.clone(), source };
    let last = persist(PATIENCE, || run::last_of(client.broker(), key)).await.map_err(unreadable)?;
    let Some(last) = last else { return Ok(judge(None, plan.request.id_reuse, plan.request.id_conflict)) };
    let (seq, run) = (last.seq, last.frame.run);
    let status = if last.frame.closed { run::closed_status(&last).map_err(unreadable)? } else { Status::Running };
    let ours = replaced == Some(run) && status == Status::Terminated;
    let id_reuse = if ours { IdReuse::Allow } else { plan.request.id_reuse };
    Ok(judge(Some(LastRun { seq, run, status }), id_reuse, plan.request.id_conflict))
}

/// Ends a run to make room.
async fn replace(client: &Client, plan: &Plan, key: &Key, run: RunId) -> Result<(), StartError> {
    match terminate::close(client, &plan.id, key, run, REPLACED).await {
        // Whether and how it ended is looked at next.
        Ok(_) | Err(TerminateError::Closed { .. } | TerminateError::NotFound { .. }) => Ok(()),
        Err(TerminateError::Broker { id, source }) => Err(StartError::Broker { id, source }),
        Err(TerminateError::History { id, source }) => Err(StartError::History { id, source }),
        Err(error) => {
            let reason = format!("run {run} goes on and could not be terminated: {error}");
            Err(StartError::Rejected { id: plan.id.clone(), rejection: Rejection::new(Code::AlreadyRunning, reason) })
        }
    }
}
