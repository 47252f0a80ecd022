//! From a plan to a run: look, ask, look again.

use std::sync::Arc;

use highwater_core::run::Limits;
use highwater_protocol::{
    Key, RunId,
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
    replies::Expected,
    run,
    terminate::{self, TerminateError},
};

/// How often a start that others got in the way of is tried again, each time as a new request.
const ATTEMPTS_MAX: u32 = 8;

/// The reason that a run is terminated with when a start puts itself in its place.
const REPLACED: &str = "another run was started under the same id with the policy terminate-existing";

type Outcome = (Addressed, Option<Arc<Expected>>);

pub(super) async fn start(client: &Client, plan: &Plan) -> Result<Outcome, StartError> {
    let limits = Limits::for_message_max(client.broker().payload_max());
    if let Some(failure) = limits.check("the input", &plan.input) {
        return Err(StartError::TooLarge { id: plan.id.clone(), reason: failure.message });
    }
    let key = plan.id.to_key();
    // Where any history means no, the request itself finds out whether there is one.
    let only_if_new = plan.id_reuse == IdReuse::Reject && plan.id_conflict == IdConflict::Fail;
    let mut verdict = if plan.id_is_new || only_if_new { Verdict::Ask(0) } else { look(client, plan, &key).await? };
    let mut id_reuse = plan.id_reuse;
    for _ in 0..ATTEMPTS_MAX {
        match verdict {
            Verdict::Running(run) => return Err(StartError::AlreadyRunning { id: plan.id.clone(), run }),
            Verdict::Used(run, status) => return Err(StartError::AlreadyUsed { id: plan.id.clone(), run, status }),
            Verdict::Use(run) => return Ok((Addressed::Chain(run), None)),
            Verdict::Terminate(run) => {
                verdict = match replace(client, plan, &key, run).await? {
                    Some(seq) => {
                        // The policy allowed this end, so it allows the run that follows.
                        id_reuse = IdReuse::Allow;
                        Verdict::Ask(seq)
                    }
                    None => look(client, plan, &key).await?,
                };
            }
            Verdict::Ask(expect) => {
                let attempt = Attempt { client, plan, key: &key, run: RunId::generate(), expect, id_reuse };
                id_reuse = plan.id_reuse;
                match attempt.send().await? {
                    Sent::Ours(answers) => return Ok((Addressed::Chain(attempt.run), Some(answers))),
                    Sent::Existing(run) => return Ok((Addressed::Chain(run), None)),
                    Sent::Refused(rejection) => {
                        verdict = look(client, plan, &key).await?;
                        // The owner has refused what the history would allow: for a reason that another try does not mend.
                        if let (Verdict::Ask(same), Some(rejection)) = (verdict, rejection)
                            && same == expect
                        {
                            return Err(StartError::Rejected { id: plan.id.clone(), rejection });
                        }
                    }
                }
            }
        }
    }
    Err(StartError::Contended { id: plan.id.clone(), attempts: ATTEMPTS_MAX })
}

/// Judges by the leader's last record.
async fn look(client: &Client, plan: &Plan, key: &Key) -> Result<Verdict, StartError> {
    let unreadable = |source| StartError::History { id: plan.id.clone(), source };
    let last = persist(PATIENCE, || run::last_of(client.broker(), key)).await.map_err(unreadable)?;
    let last = match last {
        None => None,
        Some(last) => {
            let status = if last.frame.closed {
                run::closed_status(&last).map_err(unreadable)?
            } else {
                highwater_protocol::Status::Running
            };
            Some(LastRun { seq: last.seq, run: last.frame.run, status })
        }
    };
    Ok(judge(last, plan.id_reuse, plan.id_conflict))
}

/// Ends a run to make room. Returns the sequence of its closing record; `None` when it ended by itself.
async fn replace(client: &Client, plan: &Plan, key: &Key, run: RunId) -> Result<Option<u64>, StartError> {
    match terminate::close(client, &plan.id, key, run, REPLACED).await {
        Ok(terminate::Ended::Closed(seq)) => Ok(Some(seq)),
        Ok(terminate::Ended::Requested) => Ok(None),
        Err(TerminateError::Closed { .. } | TerminateError::NotFound { .. }) => Ok(None),
        Err(TerminateError::Broker { id, source }) => Err(StartError::Broker { id, source }),
        Err(TerminateError::History { id, source }) => Err(StartError::History { id, source }),
        Err(error) => Err(StartError::Rejected {
            id: plan.id.clone(),
            rejection: highwater_protocol::rejection::Rejection::new(
                highwater_protocol::rejection::Code::AlreadyRunning,
                format!("the run {run} could not be terminated: {error}"),
            ),
        }),
    }
}
