//! Message headers: names, and values that cannot break the line they stand on.

use std::borrow::Cow;

/// Content type of a payload; JSON when absent.
pub const CONTENT_TYPE: &str = "Content-Type";
/// W3C trace context.
pub const TRACEPARENT: &str = "traceparent";
/// W3C trace context, vendor part.
pub const TRACESTATE: &str = "tracestate";
/// Where the owner answers: an inbox subject of the sender's.
pub const REPLY: &str = "Hw-Reply";
/// On a request: the sender takes early answers, which are true once it hears that their record is stored. See
/// [`crate::reply`].
pub const EARLY: &str = "Hw-Early";
/// What an answer tells: see [`crate::reply::Kind`].
pub const REPLY_KIND: &str = "Hw-Kind";
/// The run id, proposed by a starter, or the run that a request is meant for.
pub const RUN: &str = "Hw-Run";
/// The first run of the chain that a request is for, which may have continued since.
pub const CHAIN: &str = "Hw-Chain";
/// On a start: the sequence that the history subject must have now; 0 for an id without history.
pub const EXPECT: &str = "Hw-Expect";
/// On a start: `reject` (the default) or `allow` a new run under the id of a closed one.
pub const ID_REUSE: &str = "Hw-Id-Reuse";
/// On a start: `fail` (the default), `use-existing` or `terminate-existing` when the id is running.
pub const ID_CONFLICT: &str = "Hw-Id-Conflict";
/// On a start: how long the run may take, in milliseconds.
pub const RUN_TIMEOUT: &str = "Hw-Run-Timeout-Ms";
/// On a start: how long all runs of the chain may take, in milliseconds.
pub const EXECUTION_TIMEOUT: &str = "Hw-Execution-Timeout-Ms";
/// On a start: how long the code waits before it begins, in milliseconds.
pub const START_DELAY: &str = "Hw-Start-Delay-Ms";
/// On an update: what its sender calls it; the owner makes an id from the message when absent.
pub const UPDATE_ID: &str = "Hw-Update-Id";
/// Context headers of a request: a JSON object in ASCII.
pub const CONTEXT: &str = "Hw-Context";
/// Why a request was sent or refused, for people.
pub const REASON: &str = "Hw-Reason";
/// The code of a rejection: see [`crate::rejection::Code`].
pub const CODE: &str = "Hw-Code";
/// On a record: the run's status, unless it is running.
pub const STATUS: &str = "Hw-Status";
/// On a record: what else a run is found by, as `name=value` with `;` in between. One header of many fields, because
/// every header of every record is paid for by whoever writes, stores and reads it. See [`field`].
pub const RECORD: &str = "Hw-Record";
/// On a record: the run's search attributes, as JSON in ASCII.
pub const ATTRIBUTES: &str = "Hw-Attributes";
/// On a rejected message: the subject it came in on.
pub const SUBJECT: &str = "Hw-Subject";

/// The fields of [`RECORD`].
pub mod field {
    /// The run id.
    pub const RUN: &str = "run";
    /// The workflow type, escaped as in subjects, since a header cannot hold every character.
    pub const TYPE: &str = "type";
    /// The queue, likewise.
    pub const QUEUE: &str = "queue";
    /// When the run started, in microseconds since the epoch.
    pub const STARTED_AT: &str = "started";
    /// On a closing record: when the run closed, in microseconds since the epoch.
    pub const CLOSED_AT: &str = "closed";

    /// The header that a field was before there was one for all.
    pub fn before(name: &str) -> Option<&'static str> {
        match name {
            RUN => Some(super::RUN),
            TYPE => Some("Hw-Type"),
            QUEUE => Some("Hw-Queue"),
            STARTED_AT => Some("Hw-Started"),
            CLOSED_AT => Some("Hw-Closed"),
            _ => None,
        }
    }

    /// The value of a field.
    pub fn get<'a>(fields: &'a str, name: &str) -> Option<&'a str> {
        fields.split(';').find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
    }
}

/// All of these names.
pub const ALL: &[&str] = &[
    CONTENT_TYPE,
    TRACEPARENT,
    TRACESTATE,
    REPLY,
    EARLY,
    REPLY_KIND,
    RUN,
    CHAIN,
    EXPECT,
    ID_REUSE,
    ID_CONFLICT,
    RUN_TIMEOUT,
    EXECUTION_TIMEOUT,
    START_DELAY,
    UPDATE_ID,
    CONTEXT,
    REASON,
    CODE,
    STATUS,
    RECORD,
    ATTRIBUTES,
    SUBJECT,
];

/// The longest header value, in bytes; a longer one is cut. All headers of a message together may take 64 KiB.
pub const VALUE_MAX: usize = 4 * 1024;

/// A few headers, in order. Values are made safe when they are added: line breaks and other control characters become
/// spaces, so that no header of a user's can forge another one or break the connection's framing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(Cow<'static, str>, String)>);

impl Headers {
    /// No headers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one. The name is one of ours; the value can be anything.
    pub fn insert(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) {
        let mut value: String = value.into();
        if value.len() > VALUE_MAX {
            value.truncate(value.floor_char_boundary(VALUE_MAX));
        }
        if value.contains(|c: char| c.is_control()) {
            value = value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        }
        self.0.push((name.into(), value));
    }

    /// Adds one, in a chain.
    pub fn with(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        self.insert(name, value);
        self
    }

    /// Adds one when there is a value.
    pub fn with_opt(self, name: &'static str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Adds those of another message whose names are `wanted`.
    pub fn insert_from(&mut self, other: &Self, wanted: impl Fn(&str) -> bool) {
        self.0.extend(other.0.iter().filter(|(name, _)| wanted(name)).cloned());
    }

    /// The first value of a header. Names compare without regard to case, as other languages' clients differ in it.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(n, v)| (n.as_ref(), v.as_str()))
    }

    /// All of them, in order, to be taken apart.
    pub fn into_parts(self) -> impl Iterator<Item = (Cow<'static, str>, String)> {
        self.0.into_iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let fields = "run=1;type=a=2Eb;queue=shop";
        assert_eq!(
            [field::RUN, field::TYPE, "typ"].map(|name| field::get(fields, name)),
            [Some("1"), Some("a=2Eb"), None]
        );
    }

    #[test]
    fn a_value_cannot_break_its_line() {
        let headers = Headers::new().with(REASON, "a\r\nHw-Run: forged\0");
        assert_eq!(headers.get("hw-reason"), Some("a  Hw-Run: forged "));
    }
}
