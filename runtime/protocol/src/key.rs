//! The escape that makes any text one subject token.
//!
//! Letters, digits, `-` and `_` stand for themselves; every other byte is `=` and two upper-case hex digits.
//! The escape is injective and canonical: one text has one key, so one id lives in one partition.

use std::fmt::{self, Write};

use serde::{Deserialize, Serialize};

use crate::{
    ids::{InvalidId, LENGTH_MAX},
    text::Text,
};

/// How long the escape of one byte is.
const ESCAPED: usize = 3;

/// An escaped id: one subject token, also legal as a key of a NATS bucket.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(Text);

impl Key {
    /// Escapes `value`; `what` names the id in errors.
    pub fn escape(what: &'static str, value: &str) -> Result<Self, InvalidId> {
        Self::check(what, value)?;
        Ok(Self::of(&value.into()))
    }

    /// Escapes text that was checked. Most needs no escape, and then the key is the text.
    pub(crate) fn of(text: &Text) -> Self {
        Self(if Self::is_plain(text) { text.clone() } else { escaped(text).into() })
    }

    /// Whether the text is its own escape.
    pub(crate) fn is_plain(text: &str) -> bool {
        text.bytes().all(plain)
    }

    /// Whether `value` can be escaped.
    pub(crate) fn check(what: &'static str, value: &str) -> Result<(), InvalidId> {
        let length = value.bytes().map(|byte| if plain(byte) { 1 } else { ESCAPED }).sum();
        match length {
            0 => Err(InvalidId::Empty { what }),
            1..=LENGTH_MAX => Ok(()),
            _ => Err(InvalidId::TooLong { what, length }),
        }
    }

    /// The text behind a token that somebody published. A token that is not the canonical escape of its text is
    /// refused, with the right one in the error.
    pub fn unescape(what: &'static str, token: &str) -> Result<String, InvalidId> {
        let text = unescaped(token);
        let canonical = Self::escape(what, &text)?;
        if canonical.as_str() == token {
            return Ok(text);
        }
        Err(InvalidId::NotCanonical { what, token: token.into(), canonical: canonical.0.to_string() })
    }

    /// The token.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key's partition out of `partitions`.
    pub fn partition(&self, partitions: u16) -> u16 {
        crate::partition::of(&self.0, partitions)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len() * ESCAPED);
    for byte in value.bytes() {
        if plain(byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "={byte:02X}").expect("writing to a string cannot fail");
        }
    }
    out
}

/// Undoes what can be undone; anything else stands for itself, so that the canonical form of a near miss can be told.
fn unescaped(token: &str) -> String {
    let bytes = token.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'=').then(|| token.get(at + 1..at + 3)).flatten();
        if let Some(byte) =
            hex.filter(|h| h.bytes().all(|b| b.is_ascii_hexdigit())).and_then(|h| u8::from_str_radix(h, 16).ok())
        {
            out.push(byte);
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| token.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> String {
        Key::escape("id", text).unwrap().as_str().to_owned()
    }

    #[test]
    fn the_escape_is_frozen() {
        assert_eq!(key("order-1_A"), "order-1_A");
        assert_eq!(key("a.b"), "a=2Eb");
        assert_eq!(key("="), "=3D");
        assert_eq!(key("é"), "=C3=A9");
    }

    #[test]
    fn every_text_comes_back_from_its_key() {
        for text in ["x", "a.b*>", "=41", "=", "\r\n\0", "日本", "%2e"] {
            assert_eq!(Key::unescape("id", &key(text)).unwrap(), text);
        }
    }

    #[test]
    fn a_token_that_is_not_canonical_is_refused_and_the_right_one_named() {
        for (token, canonical) in [("a=2eb", "a=2Eb"), ("=41", "A"), ("a=", "a=3D"), ("é", "=C3=A9"), ("=FF", "=3DFF")]
        {
            match Key::unescape("id", token) {
                Err(InvalidId::NotCanonical { canonical: named, .. }) => assert_eq!(named, canonical),
                other => panic!("{token}: {other:?}"),
            }
        }
    }
}
