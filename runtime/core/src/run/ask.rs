//! What can be asked of a run without changing it.

use highwater_protocol::{
    Payload, RunId, Started, TypeName,
    event::Signal,
    query::{QueryRejected, UNHANDLED_SIGNALS, UnhandledSignal, UnhandledSignals},
};

use super::{Run, Unhandled, mismatch};

/// How many signals that nothing takes a run names to an operator; of the others it tells how many they are.
const NAMED_MAX: usize = 100;

impl Run {
    /// Answers a query. What the answer would change makes it panic, and the query is rejected.
    pub fn query(&self, name: &TypeName, input: &Payload) -> Result<Payload, QueryRejected> {
        let rejected = |code: &str, reason: String| Err(QueryRejected { code: code.into(), reason });
        let Some(live) = &self.live else {
            return rejected("blocked", "the run has not started: its first workflow task failed".into());
        };
        if name.as_str() == UNHANDLED_SIGNALS {
            let answer = unhandled(live.shared.run, self.unhandled_signals());
            return Payload::encode(&answer).or_else(|error| rejected("failed", error.to_string()));
        }
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
    pub fn signals_left(&self) -> Vec<Signal> {
        self.live.as_ref().map(|live| live.shared.signals_left()).unwrap_or_default()
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

/// What an operator is told of the signals that nothing takes.
fn unhandled(run: RunId, all: Vec<Unhandled>) -> UnhandledSignals {
    let more = all.len().saturating_sub(NAMED_MAX) as u64;
    let told = |one: Unhandled| UnhandledSignal { name: one.signal.name, problem: one.problem };
    UnhandledSignals { run, signals: all.into_iter().take(NAMED_MAX).map(told).collect(), more }
}
