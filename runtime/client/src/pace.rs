//! How often and how long things are tried.

use std::time::Duration;

use highwater_broker::{Error, history::HistoryError};
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

/// How long an answer alone is waited for, before the history is read too.
pub(crate) const ANSWER_ALONE: Duration = Duration::from_millis(250);

/// The pauses between two looks at the history.
pub(crate) const LOOKS: Pauses = Pauses::new(Duration::from_millis(250), Duration::from_secs(5));

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
