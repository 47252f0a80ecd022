//! How often and how long things are tried.

use std::time::Duration;

use highwater_broker::{Broker, Error, history::HistoryError};
use tokio::time::{Instant, sleep};

/// How long an operation keeps trying while NATS is away, when the caller set no time of his own.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A message with an id may be sent again within this time of its first sending: half of the 30 s for which the stream
/// remembers the id, so that even a slow repeat is recognised.
pub(crate) const RESEND_WINDOW: Duration = Duration::from_secs(15);

/// Pauses that double up to a limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pauses {
    next: Duration,
    max: Duration,
}

impl Pauses {
    pub(crate) const fn new(first: Duration, max: Duration) -> Self {
        Self { next: first, max }
    }

    /// Between attempts of something that failed.
    pub(crate) const fn between_attempts() -> Self {
        Self::new(Duration::from_millis(50), Duration::from_secs(1))
    }

    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.next;
        self.next = (self.next * 2).min(self.max);
        pause
    }
}

/// How long an answer alone is waited for, before the history is read too. It gets lost only with a worker or a
/// connection; to look sooner costs a server under load four messages and two changes of its subscriptions for each
/// run.
pub(crate) const ANSWER_ALONE: Duration = Duration::from_secs(1);

/// The pauses between two looks at the history, by who waits for something to be told.
///
/// Within a process only what ends with its worker is not told, and a virtual clock stops at every look. So there they
/// become rare.
pub(crate) fn looks(broker: &dyn Broker) -> Pauses {
    const OVER_NETWORK_MAX: Duration = Duration::from_secs(5);
    const IN_PROCESS_MAX: Duration = Duration::from_hours(365 * 24);
    let max = if broker.is_in_process() { IN_PROCESS_MAX } else { OVER_NETWORK_MAX };
    Pauses::new(Duration::from_millis(250), max)
}

/// An error that knows whether the same call may do better later.
pub(crate) trait Retryable {
    fn is_retryable(&self) -> bool;
}

impl Retryable for Error {
    fn is_retryable(&self) -> bool {
        Error::is_retryable(self)
    }
}

impl Retryable for HistoryError {
    fn is_retryable(&self) -> bool {
        match self {
            Self::Broker(error) => error.is_retryable(),
            _ => false,
        }
    }
}

/// Calls until it succeeds, fails for good, or has failed for longer than `patience`.
pub(crate) async fn persist<T, E, F>(patience: Duration, mut call: impl FnMut() -> F) -> Result<T, E>
where
    E: Retryable,
    F: Future<Output = Result<T, E>>,
{
    let deadline = Instant::now() + patience;
    let mut pauses = Pauses::between_attempts();
    loop {
        match call().await {
            Err(error) if error.is_retryable() => {
                let pause = pauses.next();
                if Instant::now() + pause >= deadline {
                    return Err(error);
                }
                sleep(pause).await;
            }
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_limit() {
        let mut pauses = Pauses::new(Duration::from_millis(250), Duration::from_secs(1));
        let millis: Vec<_> = (0..4).map(|_| pauses.next().as_millis()).collect();
        assert_eq!(millis, [250, 500, 1000, 1000]);
    }
}
