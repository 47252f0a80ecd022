//! Attempts to connect, and what their failures mean.

use std::{error::Error as _, time::Duration};

use async_nats::{Client, ConnectErrorKind, ServerAddr};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::error::ConnectError;

/// The first and the longest pause between two attempts to connect.
const RETRY_PAUSE: Duration = Duration::from_millis(50);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(1);

/// The pause before another attempt to connect.
pub(super) fn reconnect_delay(attempts: usize) -> Duration {
    match attempts {
        0 | 1 => Duration::ZERO,
        _ => {
            let doublings = u32::try_from(attempts - 2).unwrap_or(u32::MAX).min(10);
            (Duration::from_millis(2) * 2u32.pow(doublings)).min(RETRY_PAUSE_MAX)
        }
    }
}

/// Connects, trying until the deadline.
pub(super) async fn dial(
    options: &async_nats::ConnectOptions,
    servers: &[ServerAddr],
    url: &str,
    deadline: Instant,
) -> Result<Client, ConnectError> {
    let mut pause = RETRY_PAUSE;
    let mut reason = "it does not answer".to_owned();
    loop {
        match timeout_at(deadline, options.clone().connect(servers)).await {
            Ok(Ok(client)) => return Ok(client),
            Ok(Err(error)) => match sort(&error, url) {
                Failure::Final(error) => return Err(error),
                Failure::Passing(why) => reason = why,
            },
            Err(_) => return Err(ConnectError::Unreachable { url: url.into(), reason }),
        }
        let next = Instant::now() + pause;
        if next >= deadline {
            return Err(ConnectError::Unreachable { url: url.into(), reason });
        }
        sleep_until(next).await;
        pause = (pause * 2).min(RETRY_PAUSE_MAX);
    }
}

enum Failure {
    /// Another attempt would end the same.
    Final(ConnectError),
    /// It may be over soon.
    Passing(String),
}

fn sort(error: &async_nats::ConnectError, url: &str) -> Failure {
    let mut reason = error.to_string();
    let mut source = error.source();
    let mut tls = false;
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            // What rustls says of a handshake comes as this kind.
            tls |= io.kind() == std::io::ErrorKind::InvalidData;
        }
        let text = cause.to_string();
        if !reason.contains(&text) {
            reason = format!("{reason}: {text}");
        }
        source = cause.source();
    }
    let url = url.to_owned();
    match error.kind() {
        ConnectErrorKind::AuthorizationViolation => Failure::Final(ConnectError::Denied { url, reason }),
        ConnectErrorKind::Authentication => Failure::Final(ConnectError::File {
            what: "the NKey seed or credentials",
            path: String::new(),
            reason: "it is not a valid key".into(),
        }),
        ConnectErrorKind::ServerParse => Failure::Final(ConnectError::Address { url, reason }),
        ConnectErrorKind::Tls => Failure::Final(ConnectError::Unreachable { url, reason }),
        ConnectErrorKind::Io if is_denial(&reason) => Failure::Final(ConnectError::Denied { url, reason }),
        ConnectErrorKind::Io if tls => Failure::Final(ConnectError::Unreachable { url, reason }),
        ConnectErrorKind::Io | ConnectErrorKind::Dns | ConnectErrorKind::TimedOut | ConnectErrorKind::MaxReconnects => {
            Failure::Passing(reason)
        }
    }
}

/// Whether the server's words are about who we are: `User Authentication Expired` and the like.
fn is_denial(reason: &str) -> bool {
    let reason = reason.to_lowercase();
    ["authentication", "authorization", "revoked"].iter().any(|word| reason.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_come_fast_at_first_and_at_least_every_second() {
        assert_eq!(reconnect_delay(1), Duration::ZERO);
        assert_eq!(reconnect_delay(2), Duration::from_millis(2));
        assert_eq!(reconnect_delay(5), Duration::from_millis(16));
        assert_eq!(reconnect_delay(usize::MAX), RETRY_PAUSE_MAX);
    }
}
