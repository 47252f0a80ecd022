//! What all attempts of a queue share.

use std::{
    future::pending,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use highwater_broker::Broker;
use highwater_core::run::Limits;
use highwater_protocol::{QueueName, Timestamp};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{cancel::Cancellations, catalog::ActivityCatalog};
use crate::{backoff::Backoff, clock::ServerClock, user::UserRuntime};

/// How often the server's clock is asked for, beside what messages tell of it.
const CLOCK_INTERVAL: Duration = Duration::from_secs(30);

/// A place for one running activity; free when the last clone is gone.
pub(super) type Slot = Arc<OwnedSemaphorePermit>;

#[derive(Debug)]
pub(crate) struct Host {
    pub(super) broker: Arc<dyn Broker>,
    /// Where the code runs.
    pub(super) user: Arc<UserRuntime>,
    pub(super) queue: QueueName,
    pub(super) catalog: Arc<ActivityCatalog>,
    pub(super) limits: Limits,
    pub(super) cancellations: Cancellations,
    /// No new attempts.
    pub(super) stop: CancellationToken,
    /// The grace period is over: what still runs is left to others.
    pub(super) abandon: CancellationToken,
    clock: Mutex<Option<ServerClock>>,
}

impl Host {
    pub(crate) fn new(
        broker: Arc<dyn Broker>,
        user: Arc<UserRuntime>,
        queue: QueueName,
        catalog: Arc<ActivityCatalog>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            limits: Limits::for_message_max(broker.payload_max()),
            broker,
            user,
            queue,
            catalog,
            cancellations: Cancellations::default(),
            stop,
            abandon: CancellationToken::new(),
            clock: Mutex::default(),
        }
    }

    /// The server's clock showed this now or before.
    pub(super) fn observe(&self, server: Timestamp) {
        let at = Instant::now();
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *clock {
            Some(clock) => clock.observe(server, at),
            None => *clock = Some(ServerClock::new(server, at)),
        }
    }

    /// The server's time now, as far as it is known; never ahead of it.
    pub(super) fn now(&self) -> Timestamp {
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        clock.as_mut().map_or(Timestamp::ZERO, |clock| clock.now(Instant::now()))
    }

    /// Asks for the server's time once in a while, for ever; once and for all where it is this process's.
    pub(super) async fn keep_time(&self) {
        let mut backoff = Backoff::new();
        loop {
            match self.broker.server_time().await {
                Ok(time) => {
                    self.observe(time);
                    backoff.reset();
                    if self.broker.is_in_process() {
                        return pending().await;
                    }
                    tokio::time::sleep(CLOCK_INTERVAL).await;
                }
                Err(error) => {
                    tracing::debug!(%error, "cannot read the server's clock");
                    backoff.pause().await;
                }
            }
        }
    }
}
