//! What is done from time to time, in case that something was missed.

use std::time::Duration;

use highwater_broker::Broker;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// Ticks at once and then in intervals. Never where the broker is in this process: nothing is missed there, and a
/// virtual clock that has to stop at every tick does not get far.
#[derive(Debug)]
pub(crate) struct Tick(Option<Interval>);

impl Tick {
    pub(crate) fn every(period: Duration, broker: &dyn Broker) -> Self {
        let ticker = (!broker.is_in_process()).then(|| interval(period));
        Self(ticker.map(|mut ticker| {
            ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticker
        }))
    }

    /// Leaves out the tick that comes at once.
    pub(crate) fn skip_first(&mut self) {
        if let Some(ticker) = &mut self.0 {
            ticker.reset();
        }
    }

    pub(crate) async fn tick(&mut self) {
        match &mut self.0 {
            Some(ticker) => {
                ticker.tick().await;
            }
            None => std::future::pending().await,
        }
    }
}
