//! Trace contexts: which trace a run belongs to.
//!
//! The format is that of W3C Trace Context, <https://www.w3.org/TR/trace-context/>.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ids::RunId;

/// The longest `tracestate` that is passed on: what the specification asks for at least.
const STATE_MAX: usize = 512;

/// The flags that are passed on: sampled, and random trace id.
const FLAGS: u8 = 0b11;

const SAMPLED: u8 = 0b1;

/// A W3C trace context as it travels in messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// The `traceparent` header.
    pub parent: String,
    /// The `tracestate` header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

/// What a `traceparent` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace.
    pub trace_id: [u8; 16],
    /// The span in it that is the parent.
    pub span_id: [u8; 8],
    /// The flags; the lowest bit is set in a trace that is sampled.
    pub flags: u8,
}

impl Trace {
    /// A context of these parts. Ids of zeros, which the specification forbids, and a state that is too long or has
    /// characters that a header cannot carry are left out.
    pub fn new(parent: TraceParent, state: Option<&str>) -> Option<Self> {
        let valid = parent.trace_id != [0; 16] && parent.span_id != [0; 8];
        let state = state.map(str::trim).filter(|state| {
            !state.is_empty() && state.len() <= STATE_MAX && state.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        });
        valid.then(|| Self { parent: parent.to_text(), state: state.map(str::to_owned) })
    }

    /// A context of the values of its two headers; none if the first is not one, as the specification wants it.
    pub fn of_headers(parent: &str, state: Option<&str>) -> Option<Self> {
        Self::new(TraceParent::of_text(parent.trim())?, state)
    }

    /// The trace of a run that nobody gave one: made of its id, so that whoever needs it finds the same one.
    pub fn of_run(run: RunId) -> Self {
        let hash = Uuid::new_v5(&run.0, b"trace").into_bytes();
        let mut span_id = [0; 8];
        span_id.copy_from_slice(&hash[..8]);
        let parent = TraceParent { trace_id: run.0.into_bytes(), span_id, flags: SAMPLED };
        Self { parent: parent.to_text(), state: None }
    }

    /// What the `traceparent` says, if it is one.
    pub fn parent(&self) -> Option<TraceParent> {
        TraceParent::of_text(&self.parent)
    }
}

impl TraceParent {
    fn to_text(self) -> String {
        let mut text = String::with_capacity(55);
        text.push_str("00-");
        push_hex(&mut text, &self.trace_id);
        text.push('-');
        push_hex(&mut text, &self.span_id);
        text.push('-');
        push_hex(&mut text, &[self.flags & FLAGS]);
        text
    }

    /// Versions to come may append parts, and are read as the one we know.
    fn of_text(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let [version] = hex(parts.next()?)?;
        let parent = Self { trace_id: hex(parts.next()?)?, span_id: hex(parts.next()?)?, flags: flags(parts.next()?)? };
        let complete = match version {
            0 => parts.next().is_none(),
            0xff => false,
            _ => true,
        };
        (complete && parent.trace_id != [0; 16] && parent.span_id != [0; 8]).then_some(parent)
    }
}

fn flags(text: &str) -> Option<u8> {
    let [flags] = hex(text)?;
    Some(flags & FLAGS)
}

// Formatting and parsing numbers would take longer than all else that is done about a step that nobody traces.

const DIGITS: &[u8; 16] = b"0123456789abcdef";

fn push_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 0xf)]));
    }
}

/// What a byte is worth as a digit, and `NO_DIGIT` for others. Lower case only: the specification has no other. A table,
/// as no processor guesses which of two ranges the next digit of an id is in.
const VALUES: [u8; 256] = {
    let mut values = [NO_DIGIT; 256];
    let mut value = 0;
    while value < DIGITS.len() {
        values[DIGITS[value] as usize] = value as u8;
        value += 1;
    }
    values
};

const NO_DIGIT: u8 = 0xff;

fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let (mut bytes, mut seen) = ([0; N], 0);
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        let (high, low) = (VALUES[usize::from(*high)], VALUES[usize::from(*low)]);
        *byte = high << 4 | low;
        seen |= high | low;
    }
    (seen != NO_DIGIT).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn parent_of(text: &str) -> Option<String> {
        Trace::of_headers(text, None).map(|trace| trace.parent)
    }

    #[test]
    fn a_traceparent_comes_back_as_it_was() {
        assert_eq!(parent_of(PARENT).as_deref(), Some(PARENT));
        let parts = Trace::of_headers(PARENT, None).unwrap().parent().unwrap();
        assert_eq!((parts.trace_id[0], parts.span_id[7], parts.flags), (0x0a, 0x31, 1));
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let later = PARENT.replacen("00", "cc", 1) + "-what-comes-later";
        assert_eq!(parent_of(&later).as_deref(), Some(PARENT));
    }

    #[test]
    fn what_the_specification_forbids_is_no_trace() {
        for wrong in [
            "",
            "00",
            "00-a-b-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
            "00-0af7651916cd43dd8448eb211c80319é-b7ad6b7169203331-01",
        ] {
            assert_eq!(parent_of(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_state_that_a_header_cannot_carry_is_left_out() {
        let state = |state: &str| Trace::of_headers(PARENT, Some(state)).unwrap().state;
        assert_eq!(state(" a=1,b=2 ").as_deref(), Some("a=1,b=2"));
        assert_eq!(state("a=1\r\nNats-Rollup: all"), None);
        assert_eq!(state(&"x".repeat(STATE_MAX + 1)), None);
        assert_eq!(state(""), None);
    }

    #[test]
    fn the_trace_of_a_run_is_the_same_for_everybody() {
        let run: RunId = "0198c2a1-5f0e-7cc3-98c4-dc0c0c07398f".parse().unwrap();
        let trace = Trace::of_run(run);
        assert_eq!(trace.parent, "00-0198c2a15f0e7cc398c4dc0c0c07398f-4597ea7640b05187-01");
        assert_eq!(Trace::of_headers(&trace.parent, None), Some(trace));
    }
}
