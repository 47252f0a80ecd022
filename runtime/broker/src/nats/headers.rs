//! Headers between ours and async-nats's.

use std::{borrow::Cow, mem};

use async_nats::{HeaderMap, HeaderName};
use highwater_protocol::{Headers, header};

pub(super) use crate::rules::MARKER_REASON;
use crate::{
    broker::Publish,
    error::{Error, ErrorKind},
    rules::{check_header, is_servers_header},
};

/// The sequence that the subject must have now.
pub(super) const EXPECTED_LAST: &str = "Nats-Expected-Last-Subject-Sequence";
/// The id by which a repeat is known.
pub(super) const MSG_ID: &str = "Nats-Msg-Id";
/// When a message is to be published.
pub(super) const SCHEDULE: &str = "Nats-Schedule";
/// To which subject.
pub(super) const SCHEDULE_TARGET: &str = "Nats-Schedule-Target";
/// On a message that a schedule fired: the subject of the schedule.
pub(super) const SCHEDULER: &str = "Nats-Scheduler";
/// The id that all messages of a batch bear.
pub(super) const BATCH_ID: &str = "Nats-Batch-Id";
/// The place of a message in its batch, from 1 on.
pub(super) const BATCH_SEQUENCE: &str = "Nats-Batch-Sequence";
/// On the last message of a batch.
pub(super) const BATCH_COMMIT: &str = "Nats-Batch-Commit";
/// What a bucket's message does, when it is not a value.
pub(super) const KV_OPERATION: &str = "KV-Operation";
/// On a direct get's answer: the message's sequence.
pub(super) const SEQUENCE: &str = "Nats-Sequence";
/// On a direct get's answer: when it was stored.
pub(super) const TIME_STAMP: &str = "Nats-Time-Stamp";
/// On a direct get's answer: its subject.
pub(super) const SUBJECT: &str = "Nats-Subject";

/// Headers as async-nats sends them. It would panic on some values, so everything is checked. Those that give the
/// server orders are not for callers to set.
pub(super) fn to_nats(headers: Headers) -> Result<HeaderMap, Error> {
    let mut map = HeaderMap::new();
    for (name, value) in headers.into_parts() {
        check_header(&name)?;
        append(&mut map, name, value)?;
    }
    Ok(map)
}

/// The headers of a message to be stored, taken out of it: its own, and what it asks of the server.
pub(super) fn of(message: &mut Publish) -> Result<HeaderMap, Error> {
    let mut map = to_nats(mem::take(&mut message.headers))?;
    if let Some(seq) = message.expect_last {
        append(&mut map, EXPECTED_LAST, seq.to_string())?;
    }
    if let Some(id) = message.id.take() {
        append(&mut map, MSG_ID, id)?;
    }
    if let Some(schedule) = message.schedule.take() {
        append(&mut map, SCHEDULE, format!("@at {}", schedule.at.to_rfc3339()))?;
        append(&mut map, SCHEDULE_TARGET, schedule.target)?;
    }
    Ok(map)
}

/// Adds a header, or says why it cannot be one.
pub(super) fn append(
    map: &mut HeaderMap,
    name: impl Into<Cow<'static, str>>,
    value: impl Into<String>,
) -> Result<(), Error> {
    let name = name.into();
    // async-nats takes an empty name for one, and any character of a static one on trust.
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':') {
        return Err(Error::new(ErrorKind::Other, format!("{name:?} cannot be the name of a header")));
    }
    let value = value.into();
    if value.contains(['\r', '\n']) {
        return Err(Error::new(ErrorKind::Other, format!("the value of the header {name} has a line break")));
    }
    match name {
        Cow::Borrowed(name) => map.append(HeaderName::from_static(name), value),
        Cow::Owned(name) => map.append(name, value),
    }
    Ok(())
}

/// The headers of a message, without the server's.
pub(super) fn from_nats(map: Option<&HeaderMap>) -> Headers {
    let mut headers = Headers::new();
    let Some(map) = map else { return headers };
    for (name, values) in map.iter() {
        let name: &str = name.as_ref();
        if is_servers_header(name) {
            continue;
        }
        for value in values {
            headers.insert(known(name), value.as_str());
        }
    }
    headers
}

/// A header's name, without a copy of it where it is one of ours.
fn known(name: &str) -> Cow<'static, str> {
    match header::ALL.iter().find(|known| **known == name) {
        Some(name) => Cow::Borrowed(name),
        None => Cow::Owned(name.to_owned()),
    }
}

/// One header of a message.
pub(super) fn get<'a>(map: Option<&'a HeaderMap>, name: &'static str) -> Option<&'a str> {
    Some(map?.get(HeaderName::from_static(name))?.as_str())
}

/// Reads headers as they stand on the wire, leniently: a line that is none is skipped. Used where the server hands out
/// the raw bytes, which anybody may have made up.
pub(super) fn from_wire(bytes: &[u8]) -> Headers {
    let mut headers = Headers::new();
    for line in String::from_utf8_lossy(bytes).lines().skip(1) {
        if let Some((name, value)) = line.split_once(':')
            && !name.is_empty()
            && name.parse::<HeaderName>().is_ok()
            && !is_servers_header(name)
        {
            headers.insert(known(name), value.trim());
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back_as_they_were() {
        let headers = Headers::new().with("Hw-Run", "7").with("Hw-Reason", "because");
        let back = from_nats(Some(&to_nats(headers).unwrap()));
        assert_eq!((back.get("Hw-Run"), back.get("Hw-Reason")), (Some("7"), Some("because")));
    }

    #[test]
    fn the_servers_headers_neither_come_in_nor_go_out() {
        let mut map = to_nats(Headers::new().with("Hw-Run", "7")).unwrap();
        append(&mut map, MSG_ID, "id").unwrap();
        assert_eq!(from_nats(Some(&map)), Headers::new().with("Hw-Run", "7"));
        assert_eq!(from_wire(b"NATS/1.0\r\nnats-msg-id: x\r\nHw-Run: 7\r\n\r\n"), Headers::new().with("Hw-Run", "7"));
        assert!(to_nats(Headers::new().with("nats-rollup", "all")).is_err());
    }

    #[test]
    fn a_name_that_would_break_the_line_is_an_error() {
        assert!(to_nats(Headers::new().with("a: b\r\nc", "x")).is_err());
        assert!(to_nats(Headers::new().with("", "x")).is_err());
    }

    #[test]
    fn hostile_header_bytes_are_read_leniently() {
        let headers = from_wire(b"NATS/1.0\r\nHw-Run: 7\r\nno colon\r\nbad name: x\r\nHw-Reason: \xff\r\n\r\n");
        assert_eq!(headers.get("Hw-Run"), Some("7"));
        assert_eq!(headers.get("Hw-Reason"), Some("\u{fffd}"));
        assert_eq!(headers.iter().count(), 2);
    }
}
