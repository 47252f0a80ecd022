//! What a start may do, judged by the last record of its id.

use highwater_protocol::{
    RunId, Status,
    request::{IdConflict, IdReuse},
};

/// The last record of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LastRun {
    pub(super) seq: u64,
    pub(super) run: RunId,
    pub(super) status: Status,
}

/// What a start may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Ask for a run behind this sequence.
    Ask(u64),
    /// Nothing: this run is the answer. Or ask, with the sequence that its history had, when there is something to tell
    /// it.
    Use(RunId, u64),
    /// End this run first.
    Terminate(RunId),
    /// Fail: this run goes on.
    Running(RunId),
    /// Fail: the id was used by this run.
    Used(RunId, Status),
}

pub(super) fn judge(last: Option<LastRun>, reuse: IdReuse, conflict: IdConflict) -> Verdict {
    let Some(LastRun { seq, run, status }) = last else { return Verdict::Ask(0) };
    if !status.is_closed() {
        return match conflict {
            IdConflict::UseExisting => Verdict::Use(run, seq),
            IdConflict::TerminateExisting => Verdict::Terminate(run),
            _ => Verdict::Running(run),
        };
    }
    let allowed = match reuse {
        IdReuse::Allow => true,
        IdReuse::AllowIfFailed => status != Status::Completed,
        _ => false,
    };
    if allowed { Verdict::Ask(seq) } else { Verdict::Used(run, status) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(status: Status) -> LastRun {
        LastRun { seq: 7, run: RunId(uuid::Uuid::from_u128(1)), status }
    }

    #[test]
    fn an_id_without_history_is_free_under_any_policy() {
        for reuse in [IdReuse::Reject, IdReuse::Allow, IdReuse::AllowIfFailed] {
            for conflict in [IdConflict::Fail, IdConflict::UseExisting, IdConflict::TerminateExisting] {
                assert_eq!(judge(None, reuse, conflict), Verdict::Ask(0));
            }
        }
    }

    #[test]
    fn the_conflict_policy_decides_on_a_run_that_goes_on() {
        for status in [Status::Running, Status::Blocked] {
            let last = last(status);
            let verdict = |conflict| judge(Some(last), IdReuse::Allow, conflict);
            assert_eq!(verdict(IdConflict::Fail), Verdict::Running(last.run));
            assert_eq!(verdict(IdConflict::UseExisting), Verdict::Use(last.run, 7));
            assert_eq!(verdict(IdConflict::TerminateExisting), Verdict::Terminate(last.run));
        }
    }

    #[test]
    fn the_reuse_policy_decides_on_a_closed_run() {
        let verdict = |status, reuse| judge(Some(last(status)), reuse, IdConflict::UseExisting);
        let run = last(Status::Failed).run;
        assert_eq!(verdict(Status::Failed, IdReuse::Reject), Verdict::Used(run, Status::Failed));
        assert_eq!(verdict(Status::Completed, IdReuse::Allow), Verdict::Ask(7));
        assert_eq!(verdict(Status::Completed, IdReuse::AllowIfFailed), Verdict::Used(run, Status::Completed));
        for failed in [Status::Failed, Status::Cancelled, Status::Terminated, Status::TimedOut] {
            assert_eq!(verdict(failed, IdReuse::AllowIfFailed), Verdict::Ask(7));
        }
    }
}
