//! What can be asked of a run without changing it.

use highwater_protocol::{Payload, Started, TypeName, event::Signal, query::QueryRejected};

use super::{Run, Unhandled, mismatch};

impl Run {
    /// Answers a query. What the answer would change makes it panic, and the query is rejected.
    pub fn query(&self, name: &TypeName, input: &Payload) -> Result<Payload, QueryRejected> {
        let rejected = |code: &str, reason: String| Err(QueryRejected { code: code.into(), reason });
        let Some(live) = &self.live else {
            return rejected("blocked", "the run has not started: its first workflow task failed".into());
        };
        let answer = live.shared.run_code(|| live.shared.answering(|| live.shared.query(name, input)));
        match answer {
            Ok(Some(Ok(result))) => Ok(result),
            Ok(Some(Err(error))) => {
                rejected("bad-argument", format!("the argument or result of query {name} does not fit: {error}"))
            }
            Ok(None) => {
                let (workflow, known) = (&live.shared.workflow_type, mismatch::list(&live.shared.queries()));
                rejected("unknown-query", format!("workflow {workflow} has no query {name}; it has: {known}"))
            }
            Err(panic) => rejected("failed", format!("query {name} panicked: {panic}")),
        }
    }

    /// The run's first event, once it is there.
    pub fn started(&self) -> Option<&Started> {
        self.live.as_ref().map(|live| &live.shared.started)
    }

    /// Signals that came in and that the code has not taken, for the run that follows this one.
    pub fn take_signals(&mut self) -> Vec<Signal> {
        self.live.as_ref().map(|live| live.shared.take_signals()).unwrap_or_default()
    }

    /// Signals that came in and that nothing takes, for an operator.
    pub fn unhandled_signals(&self) -> Vec<Unhandled> {
        self.live.as_ref().map(|live| live.shared.unhandled_signals()).unwrap_or_default()
    }

    /// What the code waits for now, in words, for an operator.
    pub fn waits_for(&self) -> Vec<String> {
        self.live.as_ref().map(|live| live.shared.pending()).unwrap_or_default()
    }
}
