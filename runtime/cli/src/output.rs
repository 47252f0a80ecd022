//! What goes to stdout.

use std::{
    fmt::Write as _,
    io::{ErrorKind, Write as _},
};

use clap::ValueEnum;
use highwater_protocol::Payload;
use serde_json::{Value, json};

use crate::exit::Error;

/// How the result looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

/// Prints results.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Printer {
    format: Format,
}

impl Printer {
    pub(crate) fn new(format: Format) -> Self {
        Self { format }
    }

    /// Prints a result in the one way or the other.
    pub(crate) fn print(self, text: impl FnOnce() -> String, json: impl FnOnce() -> Value) -> Result<(), Error> {
        match self.format {
            Format::Text => write(&text()),
            Format::Json => write(&json().to_string()),
        }
    }
}

impl Printer {
    /// Prints what people are told on stderr anyway, for programs.
    pub(crate) fn print_json_only(self, json: impl FnOnce() -> Value) -> Result<(), Error> {
        match self.format {
            Format::Text => Ok(()),
            Format::Json => write(&json().to_string()),
        }
    }
}

/// Writes a line or several. Whoever reads them may leave early, as `head` does.
fn write(text: &str) -> Result<(), Error> {
    let mut stdout = std::io::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Error::failed(format_args!("cannot write the result: {error}")))
        }
        _ => Ok(()),
    }
}

/// A payload within JSON: its value when it is JSON itself, otherwise its type and its bytes in hex.
pub(crate) fn payload_value(payload: &Payload) -> Value {
    payload.decode().unwrap_or_else(|_| {
        let hex = payload.data.iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("writing to a string cannot fail");
            hex
        });
        json!({ "content_type": payload.content_type, "hex": hex })
    })
}

/// A payload in one line for people: its JSON without the spaces between values, or what it is.
pub(crate) fn payload_text(payload: &Payload) -> String {
    match (payload.check(), std::str::from_utf8(&payload.data)) {
        (Ok(()), Ok(json)) if payload.content_type.is_none() => compact(json),
        _ => {
            let kind = payload.content_type.as_deref().unwrap_or("unknown content");
            format!("<{} bytes of {}>", payload.data.len(), clean(kind))
        }
    }
}

/// JSON in one line, with its keys in their order and its numbers as they were written.
fn compact(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let (mut quoted, mut escaped) = (false, false);
    for c in json.chars() {
        if quoted {
            quoted = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else if c.is_ascii_whitespace() {
            continue;
        } else {
            quoted = c == '"';
        }
        out.push(if c.is_control() { ' ' } else { c });
    }
    if out.is_empty() { "null".into() } else { out }
}

/// Text from outside in one line, with nothing in it that a terminal obeys.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The same, but in the lines that it has.
pub(crate) fn clean_lines(text: &str) -> String {
    text.lines().map(clean).collect::<Vec<_>>().join("\n")
}

/// A text cut to a width, in characters.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// How many characters a line may have.
pub(crate) fn width() -> usize {
    const NO_TERMINAL: usize = 120;
    let told = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    told.or_else(terminal_width).filter(|width| *width > 0).unwrap_or(NO_TERMINAL)
}

#[cfg(unix)]
fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(rustix::stdio::stdout()).ok()?;
    Some(usize::from(size.ws_col))
}

#[cfg(not(unix))]
fn terminal_width() -> Option<usize> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_reaches_the_terminal_as_a_command() {
        assert_eq!(clean("a\u{1b}[2Jb\r\nc\u{9b}"), "a [2Jb  c ");
        assert_eq!(clean_lines("a\u{7}\nb"), "a \nb");
        assert_eq!(payload_text(&Payload::json("\"a\\u001b\"")), "\"a\\u001b\"");
        assert_eq!(payload_text(&Payload::with_content_type("x", Some("text/\u{1b}"))), "<1 bytes of text/ >");
    }

    #[test]
    fn json_is_compact_and_otherwise_as_it_was() {
        let json = "{ \"z\": [1, 2.50, 12345678901234567890123],\n \"a\\\" b\\\\\": \" x \" }";
        let text = payload_text(&Payload::json(json));
        assert_eq!(text, "{\"z\":[1,2.50,12345678901234567890123],\"a\\\" b\\\\\":\" x \"}");
        assert_eq!(payload_text(&Payload::json("")), "null");
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        assert_eq!(cut("éééé", 4), "éééé");
        assert_eq!(cut("ééééé", 4), "ééé…");
    }

    #[test]
    fn a_payload_of_another_type_is_shown_as_bytes() {
        let payload = Payload::with_content_type(vec![0, 255], Some("image/png"));
        assert_eq!(payload_value(&payload), json!({ "content_type": "image/png", "hex": "00ff" }));
        assert_eq!(payload_value(&Payload::json("{\"a\": 1}")), json!({ "a": 1 }));
    }
}
