//! What every broker takes and refuses alike.

use std::time::Duration;

use crate::{
    broker::Bucket,
    error::{Error, ErrorKind},
};

/// For how long a request with an id is known.
pub(crate) const INBOX_WINDOW: Duration = Duration::from_secs(30);
/// How long a worker that does not renew its entry counts as alive.
const WORKERS_TTL: Duration = Duration::from_secs(6);
/// How long what is known about an activity is kept.
const ACTIVITIES_TTL: Duration = Duration::from_hours(7 * 24);
/// The longest subject and reply subject together, in bytes. A server ends connections over longer lines than 4 KiB.
const SUBJECTS_MAX: usize = 4000;

/// How long an entry of a bucket lives.
pub(crate) fn ttl(bucket: Bucket) -> Option<Duration> {
    match bucket {
        Bucket::Workers => Some(WORKERS_TTL),
        Bucket::Activities => Some(ACTIVITIES_TTL),
        Bucket::Config | Bucket::Offsets => None,
    }
}

/// Whether `filter` matches `subject`: `*` is any one token, `>` at the end is any one or more.
pub(crate) fn matches(filter: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for wanted in filter.split('.') {
        match (wanted, tokens.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (wanted, Some(token)) if wanted == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

/// Refuses what must not reach the wire: too long, a wildcard, or a character that ends the line.
pub(crate) fn check_subject(subject: &str, reply: Option<&str>) -> Result<(), Error> {
    if subject.len() + reply.map_or(0, str::len) > SUBJECTS_MAX {
        return Err(Error::new(ErrorKind::Other, format!("a subject of {} bytes is too long", subject.len())));
    }
    let bad_token = |token: &[u8]| matches!(token, [] | [b'*' | b'>']);
    let bad_byte = |byte: u8| byte <= b' ' || byte == 0x7f;
    let bytes = subject.as_bytes();
    if bytes.iter().any(|byte| bad_byte(*byte)) || bytes.split(|byte| *byte == b'.').any(bad_token) {
        return Err(Error::new(ErrorKind::Other, format!("{subject:?} is not a subject to send to")));
    }
    Ok(())
}

/// Refuses what cannot be a key of a bucket.
pub(crate) fn check_key(key: &str, bucket: &str) -> Result<(), Error> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=./".contains(&byte);
    if key.is_empty() || key.starts_with('.') || key.ends_with('.') || !key.bytes().all(plain) {
        return Err(Error::new(ErrorKind::Other, format!("{key:?} cannot be a key of the bucket {bucket}")));
    }
    Ok(())
}

/// Why a server writes a message of a bucket itself: the one header of its own that is handed out.
pub(crate) const MARKER_REASON: &str = "Nats-Marker-Reason";

/// Whether a header is between publishers and the server. A forwarded message must not repeat it: with its id it would
/// be taken for a repeat, with its schedule it would wait again.
pub(crate) fn is_servers_header(name: &str) -> bool {
    name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("Nats-")) && name != MARKER_REASON
}

/// Refuses a header that gives the server orders: those are not for callers to set.
pub(crate) fn check_header(name: &str) -> Result<(), Error> {
    if is_servers_header(name) {
        return Err(Error::new(ErrorKind::Other, format!("the header {name} is the server's own")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_as_in_nats() {
        for (filter, subject) in [("a.b", "a.b"), ("a.*", "a.b"), ("*.b", "a.b"), (">", "a"), ("a.>", "a.b.c")] {
            assert!(matches(filter, subject), "{filter} {subject}");
        }
        for (filter, subject) in
            [("a.b", "a"), ("a", "a.b"), ("a.*", "a"), ("a.*", "a.b.c"), ("a.>", "a"), ("b.>", "a.b")]
        {
            assert!(!matches(filter, subject), "{filter} {subject}");
        }
    }
}
