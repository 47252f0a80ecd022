//! What went wrong with a run's code, in words that say what to do.

use highwater_protocol::{Event, Failure, FailureKind, TypeName};

use super::{Run, Shared, TaskFailure};

impl Run {
    pub(super) fn unknown(&self, workflow_type: &TypeName) -> TaskFailure {
        let known: Vec<String> = self.registry.names().iter().map(ToString::to_string).collect();
        let text = format!("this worker knows no workflow type {workflow_type}; it knows: {}", list(&known));
        TaskFailure { failure: Failure::new(FailureKind::Unknown, text) }
    }

    pub(super) fn nondeterminism(&self, recorded: &Event, code: &str) -> TaskFailure {
        self.nondeterminism_at(self.event_number, &recorded.to_string(), code)
    }

    pub(super) fn nondeterminism_at(&self, number: u64, recorded: &str, code: &str) -> TaskFailure {
        self.beside.differ(number, code);
        let whose = match &self.live {
            Some(live) => {
                format!("workflow {} {:?}", live.shared.started.workflow_type, live.shared.started.workflow_id.as_str())
            }
            None => "the workflow".into(),
        };
        let text = format!(
            "{whose} does not match its history at event {number}:\n  on record: {recorded}\n  the code:  {code}\n\
             Usually the code was changed while the run was under way: guard the change with ctx.patched. Or it is not the \
             same at every replay, as with the clock, random numbers, the order of a HashMap or HashSet, or anything else \
             that does not come of `ctx`: use ctx.now, ctx.random and a BTreeMap. Deploy the code that the run began with, \
             or terminate the run."
        );
        TaskFailure { failure: Failure::new(FailureKind::Nondeterminism, text) }
    }

    pub(super) fn panicked(shared: &Shared, panic: &str) -> TaskFailure {
        const NO_RUNTIME: [&str; 3] =
            ["there is no reactor running", "no reactor running", "must be called from the context of a Tokio"];
        let hint = if NO_RUNTIME.iter().any(|text| panic.contains(text)) {
            // The place of the panic may be inside of a library; this one is in the workflow.
            let after = shared.after_last();
            format!(
                "; workflow code has no tokio runtime{after}: use ctx.sleep for time, ctx.spawn for tasks, and an activity or \
                 ctx.step for everything that does I/O"
            )
        } else {
            String::new()
        };
        TaskFailure { failure: Failure::new(FailureKind::Panic, format!("{panic}{hint}")) }
    }
}

pub(super) fn list(names: &[String]) -> String {
    if names.is_empty() { "none".into() } else { names.join(", ") }
}
