//! What the server's refusals mean to callers.

use serde::Deserialize;

use crate::error::{Error, ErrorKind};

/// JetStream is off for this account.
const NOT_ENABLED_FOR_ACCOUNT: u64 = 10039;
/// JetStream is off.
const NOT_ENABLED: u64 = 10076;
/// A stream of this name exists with another configuration.
pub(super) const STREAM_NAME_IN_USE: u64 = 10058;
/// There is no such stream.
pub(super) const STREAM_NOT_FOUND: u64 = 10059;
/// There is no such message.
pub(super) const NO_MESSAGE: u64 = 10037;

/// The error of a JetStream answer, as it stands in its JSON.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct ApiError {
    #[serde(default)]
    pub(super) code: u64,
    #[serde(default)]
    pub(super) err_code: u64,
    #[serde(default)]
    pub(super) description: String,
}

/// A call that failed, with JetStream's code when it was the server that refused.
#[derive(Debug)]
pub(super) struct Refusal {
    /// The code; 0 when there was no answer.
    pub(super) code: u64,
    pub(super) error: Error,
}

impl Refusal {
    pub(super) fn new(what: &str, error: &ApiError) -> Self {
        let message = format!("{what}: {} (NATS error {})", error.description, error.err_code);
        Self { code: error.err_code, error: Error::new(kind(error), message) }
    }

    pub(super) fn is_no_jetstream(&self) -> bool {
        matches!(self.code, NOT_ENABLED | NOT_ENABLED_FOR_ACCOUNT)
            || (self.code == 0 && self.error.kind == ErrorKind::NoResponders)
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self { code: 0, error }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        refusal.error
    }
}

/// The sort of a JetStream error. Codes are those of nats-server's `errors.json`.
fn kind(error: &ApiError) -> ErrorKind {
    match error.err_code {
        // Wrong last sequence; the same of a subject that has a message in flight through the replicas, which may get
        // lost.
        10071 => ErrorKind::Conflict,
        10164 => ErrorKind::UnderWay,
        // No consumer, message, sequence, stream.
        10014 | NO_MESSAGE | 10043 | STREAM_NOT_FOUND => ErrorKind::NotFound,
        // Message or headers too large.
        10054 | 10097 => ErrorKind::TooLarge,
        // Account, insufficient, memory, storage, the store itself (its limits, or no space left), stream bytes.
        10002 | 10023 | 10028 | 10047 | 10077 | 10122 => ErrorKind::Full,
        // Not enabled at all: nothing to wait for.
        NOT_ENABLED_FOR_ACCOUNT => ErrorKind::Other,
        // The same id is being stored; the last sequence is not known yet; too many requests; not leader; offline.
        10158 | 10163 | 10167 | 10006 | 10007 | 10009 | 10118 | 10119 | 10194 | 10195 => ErrorKind::Unavailable,
        _ if error.code == 503 || error.code == 429 => ErrorKind::Unavailable,
        _ if error.code == 404 => ErrorKind::NotFound,
        _ => ErrorKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind_of(code: u64, err_code: u64) -> ErrorKind {
        kind(&ApiError { code, err_code, description: String::new() })
    }

    #[test]
    fn a_wrong_last_sequence_is_a_conflict_unless_it_is_that_of_a_message_in_flight() {
        assert_eq!(kind_of(400, 10071), ErrorKind::Conflict);
        assert_eq!(kind_of(400, 10164), ErrorKind::UnderWay);
    }

    #[test]
    fn a_server_that_has_no_leader_yet_is_worth_another_attempt() {
        for (code, err_code) in [(503, 10008), (503, 10163), (500, 10118), (429, 10167), (503, 10076)] {
            assert_eq!(kind_of(code, err_code), ErrorKind::Unavailable, "{err_code}");
        }
    }

    #[test]
    fn sizes_and_full_stores_are_told_apart() {
        assert_eq!(kind_of(400, 10054), ErrorKind::TooLarge);
        assert_eq!(kind_of(503, 10077), ErrorKind::Full);
        assert_eq!(kind_of(400, 10049), ErrorKind::Other);
    }
}
