//! Cancellation: how it reaches an activity that runs.
//!
//! The owner writes it down in the activity's entry and tells all workers of the queue. The message may be lost, so an
//! activity that takes longer looks at its entry, too.

use std::{
    collections::HashMap,
    convert::Infallible,
    future::pending,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::StreamExt;
use highwater_broker::Broker;
use highwater_protocol::{
    OpId, QueueName, RunId,
    task::{ActivityTask, CancelActivity},
    wire,
};
use tokio_util::sync::CancellationToken;

use super::{heartbeat::Port, state::StateEntry};
use crate::backoff::Backoff;

/// A running activity's entry is read this often, or at its heartbeat interval when that is shorter.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// And not more often than this.
const LOOK_INTERVAL_MIN: Duration = Duration::from_secs(1);

/// The attempts that run in this process, and how to tell each that it is not wanted any more.
#[derive(Debug, Default)]
pub(super) struct Cancellations {
    running: Mutex<Running>,
}

/// Two attempts of one activity can run at once, when the first has lost its task.
#[derive(Debug, Default)]
struct Running {
    last_ticket: u64,
    tokens: HashMap<(RunId, OpId), Vec<(u64, CancellationToken)>>,
}

/// An attempt is in the list as long as this lives.
#[derive(Debug)]
pub(super) struct Registered<'a> {
    list: &'a Cancellations,
    key: (RunId, OpId),
    ticket: u64,
    pub(super) token: CancellationToken,
}

impl Cancellations {
    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn register(&self, task: &ActivityTask) -> Registered<'_> {
        let (key, token) = ((task.run, task.call.op), CancellationToken::new());
        let mut running = self.running();
        running.last_ticket += 1;
        let ticket = running.last_ticket;
        running.tokens.entry(key).or_default().push((ticket, token.clone()));
        Registered { list: self, key, ticket, token }
    }

    fn cancel(&self, request: &CancelActivity) {
        let running = self.running();
        for (_, token) in running.tokens.get(&(request.run, request.op)).into_iter().flatten() {
            token.cancel();
        }
    }

    /// Hears of cancellations in a queue, for ever.
    pub(super) async fn listen(&self, broker: &dyn Broker, queue: &QueueName) {
        let mut backoff = Backoff::new();
        loop {
            match broker.subscribe(broker.subjects().cancel_activity(queue)).await {
                Ok(mut messages) => {
                    backoff.reset();
                    while let Some(message) = messages.next().await {
                        match wire::decode(&message.payload) {
                            Ok(request) => self.cancel(&request),
                            Err(error) => {
                                tracing::warn!(%queue, %error, "a request to cancel an activity is unreadable");
                            }
                        }
                    }
                }
                Err(error) => tracing::warn!(%queue, %error, "cannot listen for cancellations"),
            }
            backoff.pause().await;
        }
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        let mut running = self.list.running();
        if let Some(tokens) = running.tokens.get_mut(&self.key) {
            tokens.retain(|(ticket, _)| *ticket != self.ticket);
            if tokens.is_empty() {
                running.tokens.remove(&self.key);
            }
        }
    }
}

/// Looks at the entry of a running activity for a cancellation whose message was lost.
pub(super) async fn look(port: &Port, entry: &StateEntry, heartbeat: Option<Duration>) -> Infallible {
    if entry.is_in_process() {
        return pending().await;
    }
    let interval = heartbeat.unwrap_or(LOOK_INTERVAL).clamp(LOOK_INTERVAL_MIN, LOOK_INTERVAL);
    tokio::time::sleep(LOOK_INTERVAL).await;
    loop {
        match entry.read().await {
            Ok(state) if state.cancel_requested => {
                port.cancel();
                return pending().await;
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "cannot look for a cancellation"),
        }
        tokio::time::sleep(interval).await;
    }
}
