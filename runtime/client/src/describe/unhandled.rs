//! Signals that nothing takes, which only the code of a run knows.

use std::time::Duration;

use highwater_protocol::{
    Event, Payload, TypeName,
    query::{UNHANDLED_SIGNALS, UnhandledSignals},
};
use tokio::time::timeout;

use super::Description;
use crate::{handle::Target, history::HistoryEvent, intercept::QueryCall};

/// How long a worker may take to answer. All else that there is to say about a run is known by then.
const ANSWER_WAIT: Duration = Duration::from_secs(3);

/// Whether any signal came in: otherwise nobody needs to be asked.
pub(super) fn has_signals(events: &[HistoryEvent]) -> bool {
    events.iter().any(|event| match &event.event {
        Event::Started(started) => !started.signals.is_empty(),
        event => matches!(event, Event::Signaled(_)),
    })
}

impl Target {
    /// Asks the run which signals nothing takes, unless it is known that nobody can answer.
    ///
    /// Interceptors are for what the code says; this answer is the runtime's own.
    pub(super) async fn unhandled_signals(&self, description: &Description) -> Option<UnhandledSignals> {
        if description.blocked.is_some() || !description.workers.iter().any(|worker| worker.knows_type) {
            return None;
        }
        let name = TypeName::new(UNHANDLED_SIGNALS).expect("any character may be in a name");
        let call = QueryCall { workflow_id: self.id().clone(), name, argument: Payload::null() };
        match timeout(ANSWER_WAIT, self.ask_query(call)).await {
            Ok(Ok(answer)) => answer.decode().ok(),
            Ok(Err(error)) => {
                tracing::debug!(%error, "the run does not tell which signals nothing takes");
                None
            }
            Err(_) => None,
        }
    }
}
