//! What workflow code does that no replay can repeat, in words that name the operation and what to use instead.

use std::fmt::Write;

use highwater_protocol::{Failure, FailureKind};

use super::{Shared, TaskFailure};

/// What workflow code may wait for.
const INSTEAD: &str = "Await only what comes of `ctx`: ctx.sleep for time; ctx.run or ctx.step for I/O, computations and other \
                       libraries' futures; ctx.signals and ctx.wait_until for what comes from outside; ctx.spawn and \
                       highwater::sync for tasks and what they tell each other";

impl Shared {
    /// Fails when another thread, or another run, has woken this one: in a history nothing of that is told.
    pub(super) fn check_woken(&self) -> Result<(), TaskFailure> {
        let Some(stranger) = self.tasks.stranger() else { return Ok(()) };
        let waits = self.pending();
        let beside = if waits.is_empty() { String::new() } else { format!(" beside {}", waits.join(", ")) };
        let text = format!(
            "{} was woken by {stranger}, so it awaits something that is not of `ctx`{beside}{}. At a replay that would end at \
             another time or never. {INSTEAD}",
            self.whose(),
            self.after_last(),
        );
        Err(TaskFailure { failure: Failure::new(FailureKind::Nondeterminism, text) })
    }

    /// Fails when the code waits and there is nothing of the run that could end before anything else happens.
    pub(super) fn check_waits(&self) -> Result<(), TaskFailure> {
        if self.waits_for_events() {
            return Ok(());
        }
        let local = self.local_waits.get() > 0;
        if local && self.handlers.borrow().take_messages() {
            // A handler may send, or let go of, what the code waits for.
            return Ok(());
        }
        let (whose, after) = (self.whose(), self.after_last());
        let text = if local {
            format!(
                "all tasks of {whose} wait for each other{after}: for a channel, a lock or a permit that nobody is left to \
                 send or to let go of"
            )
        } else {
            format!(
                "{whose} waits for something that is not of `ctx`{after}, and nothing of the run can end this. {INSTEAD}. \
                 To wait for messages only, await ctx.cancelled()"
            )
        };
        Err(TaskFailure { failure: Failure::new(FailureKind::Stuck, text) })
    }

    fn whose(&self) -> String {
        format!("workflow {} {:?}", self.workflow_type, self.workflow_id.as_str())
    }

    /// In which part of the code this is, as far as that is known.
    pub(super) fn after_last(&self) -> String {
        let mut text = String::new();
        if let Some(last) = &*self.last_made.borrow() {
            write!(text, " (the last operation that its code made is {last})").expect("a string takes everything");
        }
        text
    }
}
