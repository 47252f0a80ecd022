//! For how long a task is this process's.
//!
//! The server gives a task to another process when it has heard nothing for the ack wait. From then on this process
//! says nothing about the task any more: its nak would start a third delivery beside the second.

use std::{
    convert::Infallible,
    future::pending,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use highwater_broker::{BoxFuture, Error, TaskAck};
use tokio::time::{Instant, sleep, timeout_at};

use crate::backoff::Backoff;

/// Progress is told this many times within the ack wait.
const TOLD_PER_WAIT: u32 = 3;
/// The lease ends this part of the ack wait before it does, as the server's wait began before the task arrived here.
const MARGIN_PART: u32 = 8;
/// What an ack wait counts as that is longer than instants can tell.
const FAR: Duration = Duration::from_hours(100 * 365 * 24);
/// How often the end of a task is told at most.
const DONE_TRIES: u32 = 5;

/// The task may be another process's by now.
#[derive(Debug)]
pub(super) struct Lost;

/// Why a call for a task was given up.
#[derive(Debug)]
pub(super) enum GivenUp {
    /// The task may be another process's by now.
    Lost,
    /// Another try would end the same.
    Refused(Error),
}

/// A task in hand.
pub(super) struct Lease {
    ack: Box<dyn TaskAck>,
    wait: Duration,
    held: Mutex<Held>,
}

struct Held {
    /// When the server was last told of progress, or gave the task.
    since: Instant,
    /// It was given back, so nothing more may be told.
    returned: bool,
}

impl Lease {
    /// A task that was just delivered.
    pub(super) fn new(ack: Box<dyn TaskAck>, ack_wait: Duration) -> Self {
        let held = Held { since: Instant::now(), returned: false };
        Self { ack, wait: ack_wait, held: Mutex::new(held) }
    }

    /// When the task may be another process's.
    fn ends(&self) -> Option<Instant> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = self.wait.saturating_sub(self.wait / MARGIN_PART);
        (!held.returned).then(|| held.since.checked_add(wait).unwrap_or(held.since + FAR))
    }

    /// Whether the task is surely this process's.
    pub(super) fn is_held(&self) -> bool {
        self.ends().is_some_and(|ends| Instant::now() < ends)
    }

    fn check(&self) -> Result<Instant, Lost> {
        self.ends().filter(|ends| Instant::now() < *ends).ok_or(Lost)
    }

    /// Tells the server of progress until the task is given back or lost, and never returns.
    pub(super) async fn keep(&self) -> Infallible {
        let mut pause = self.wait / TOLD_PER_WAIT;
        loop {
            sleep(pause).await;
            let Ok(ends) = self.check() else { break };
            let at = Instant::now();
            match timeout_at(ends, self.ack.progress()).await {
                Ok(Ok(())) => {
                    self.held.lock().unwrap_or_else(PoisonError::into_inner).since = at;
                    pause = self.wait / TOLD_PER_WAIT;
                }
                Ok(Err(error)) => {
                    tracing::debug!(%error, "cannot tell the server that a task goes on");
                    pause = self.wait / TOLD_PER_WAIT / TOLD_PER_WAIT;
                }
                Err(_) => break,
            }
        }
        if !self.held.lock().unwrap_or_else(PoisonError::into_inner).returned {
            tracing::warn!("the server has not heard of this task for its ack wait; another worker may get it, too");
        }
        pending().await
    }

    /// The task is done. Not told when it may be another process's.
    pub(super) async fn done(&self) {
        let mut backoff = Backoff::new();
        for _ in 0..DONE_TRIES {
            let Ok(ends) = self.check() else { return };
            match timeout_at(ends, self.ack.done()).await {
                Ok(Ok(())) | Err(_) => return,
                Ok(Err(error)) => tracing::debug!(%error, "cannot tell the server that a task is done"),
            }
            backoff.pause().await;
        }
    }

    /// The task is done, and should the server not hear of it, whoever gets the task again finds that out.
    pub(super) async fn let_go(&self) {
        if self.is_held()
            && let Err(error) = self.ack.let_go().await
        {
            tracing::debug!(%error, "cannot tell the server that a task is done");
        }
    }

    /// Gives the task back for another delivery. Not told when it may be another process's, and told once: a repeated
    /// nak may meet the delivery that the first one brought about.
    pub(super) async fn retry_after(&self, delay: Duration) {
        let Ok(ends) = self.check() else { return };
        // Progress told after this would put the delivery off.
        self.held.lock().unwrap_or_else(PoisonError::into_inner).returned = true;
        if let Ok(Err(error)) = timeout_at(ends, self.ack.retry_after(delay)).await {
            tracing::debug!(%error, "cannot give a task back; the server takes it after the ack wait");
        }
    }

    /// Makes a call again and again while it may do better and the task is this process's.
    pub(super) async fn insist<T>(
        &self,
        mut call: impl FnMut() -> BoxFuture<'static, Result<T, Error>>,
    ) -> Result<T, GivenUp> {
        let mut backoff = Backoff::new();
        loop {
            let ends = self.check()?;
            match timeout_at(ends, call()).await {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(error)) if error.is_retryable() => tracing::debug!(%error, "trying again"),
                Ok(Err(error)) => return Err(GivenUp::Refused(error)),
                // Progress told meanwhile may have moved the end.
                Err(_) => {}
            }
            backoff.pause().await;
        }
    }
}

impl From<Lost> for GivenUp {
    fn from(_: Lost) -> Self {
        Self::Lost
    }
}
