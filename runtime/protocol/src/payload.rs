//! Values that people pass in and out, as bytes with a content type.

use std::{borrow::Cow, cell::Cell, collections::BTreeMap};

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The content type of a payload that names none.
pub const JSON: &str = "application/json";

/// The content type of a payload without a value.
const NOTHING: Bytes = Bytes::from_static(b"null");

thread_local! {
    /// Where values are encoded: a payload may stay in memory for as long as its run, so it takes no more than it
    /// needs.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The largest buffer that a thread keeps, in bytes.
const BUFFER_MAX: usize = 64 * 1024;

/// A value of the user's, encoded.
///
/// ```
/// use highwater_protocol::Payload;
///
/// let payload = Payload::encode(&vec![1, 2])?;
/// assert_eq!(payload.data.as_ref(), b"[1,2]");
/// assert_eq!(payload.decode::<Vec<u8>>()?, [1, 2]);
/// # Ok::<(), highwater_protocol::payload::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    /// The encoded value.
    #[serde(rename = "d", with = "serde_bytes_compat")]
    pub data: Bytes,
    /// The media type; absent for JSON.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<Cow<'static, str>>,
}

/// Payloads by name: context headers, a memo.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Payloads(BTreeMap<String, Payload>);

impl Payloads {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets one.
    pub fn insert(&mut self, name: impl Into<String>, payload: Payload) {
        self.0.insert(name.into(), payload);
    }

    /// One of them.
    pub fn get(&self, name: &str) -> Option<&Payload> {
        self.0.get(name)
    }

    /// Takes one out.
    pub fn remove(&mut self, name: &str) -> Option<Payload> {
        self.0.remove(name)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Payload)> {
        self.0.iter().map(|(name, payload)| (name.as_str(), payload))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// These, and those of `under` that have no name among them.
    pub fn over(mut self, under: &Self) -> Self {
        for (name, payload) in &under.0 {
            self.0.entry(name.clone()).or_insert_with(|| payload.clone());
        }
        self
    }

    /// From a JSON object: each value is one payload.
    pub fn from_json(text: &str) -> Option<Self> {
        let map: BTreeMap<String, serde_json::Value> = serde_json::from_str(text).ok()?;
        let encoded = |(name, value): (String, serde_json::Value)| Some((name, Payload::encode(&value).ok()?));
        map.into_iter().map(encoded).collect::<Option<_>>().map(Self)
    }

    /// As a JSON object in ASCII, for a header. Payloads that are not JSON are left out.
    pub fn to_json(&self) -> String {
        let values: BTreeMap<&str, serde_json::Value> =
            self.iter().filter_map(|(name, payload)| Some((name, payload.decode().ok()?))).collect();
        ascii(&serde_json::to_string(&values).unwrap_or_default())
    }

    /// About how many bytes they take in a record.
    pub fn weight(&self) -> usize {
        self.0.iter().map(|(name, payload)| name.len() + payload.data.len() + 16).sum()
    }
}

/// A value could not be encoded or decoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The value's `Serialize` refused, or it has a map whose keys are not strings.
    #[error("the value cannot be encoded as JSON: {0}")]
    Encode(#[source] serde_json::Error),
    /// The bytes are not a JSON value of the wanted type.
    #[error("the payload is not a {wanted}: {source}; it begins {begin:?}")]
    Decode {
        /// The Rust type that was wanted.
        wanted: &'static str,
        /// The start of the payload.
        begin: String,
        /// What did not fit.
        source: serde_json::Error,
    },
    /// The content type is not JSON, and nothing else is understood here.
    #[error("the payload has content type {0:?}; only {JSON:?} can be decoded")]
    ContentType(String),
}

impl Payload {
    /// Encodes a value as JSON.
    pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Self, Error> {
        Self::written(&mut |buffer| serde_json::to_writer(buffer, value))
    }

    fn written(write: &mut dyn FnMut(&mut Vec<u8>) -> serde_json::Result<()>) -> Result<Self, Error> {
        // A value that encodes another one while it is encoded finds no buffer here, and makes one.
        let mut buffer = BUFFER.take();
        let encoded = write(&mut buffer);
        let payload = encoded.map(|()| Self::json(Bytes::copy_from_slice(&buffer))).map_err(Error::Encode);
        if buffer.capacity() <= BUFFER_MAX {
            buffer.clear();
            BUFFER.set(buffer);
        }
        payload
    }

    /// Wraps bytes that are JSON already.
    pub fn json(data: impl Into<Bytes>) -> Self {
        Self { data: data.into(), content_type: None }
    }

    /// JSON `null`: the payload of a call without arguments.
    pub fn null() -> Self {
        Self::json(NOTHING)
    }

    /// Bytes with a content type; JSON when the type is absent or JSON with parameters.
    pub fn with_content_type(data: impl Into<Bytes>, content_type: Option<&str>) -> Self {
        let content_type =
            content_type.map(str::trim).filter(|t| !t.is_empty() && !is_json(t)).map(|t| Cow::Owned(t.to_owned()));
        Self { data: data.into(), content_type }
    }

    /// Decodes the value. An empty JSON body counts as `null`, as a plain publisher may send nothing.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(self.as_json()?).map_err(|source| self.misfit(std::any::type_name::<T>(), source))
    }

    fn as_json(&self) -> Result<&[u8], Error> {
        if let Some(other) = &self.content_type {
            return Err(Error::ContentType(other.clone().into_owned()));
        }
        Ok(if self.data.iter().all(u8::is_ascii_whitespace) { b"null" } else { &self.data })
    }

    fn misfit(&self, wanted: &'static str, source: serde_json::Error) -> Error {
        Error::Decode { wanted, begin: self.begin(), source }
    }

    /// Whether the bytes are well-formed for their content type; bytes of other types are not looked at.
    pub fn check(&self) -> Result<(), Error> {
        if self.content_type.is_some() {
            return Ok(());
        }
        self.decode::<serde::de::IgnoredAny>().map(|_| ())
    }

    /// The first characters, for messages to people.
    pub fn begin(&self) -> String {
        const SHOWN: usize = 80;
        let mut text = String::from_utf8_lossy(&self.data[..self.data.len().min(SHOWN)]).into_owned();
        if self.data.len() > SHOWN {
            text.push('…');
        }
        text
    }
}

/// JSON without characters beyond ASCII, which not every client library passes on in a header as it got them.
pub(crate) fn ascii(json: &str) -> String {
    use std::fmt::Write;
    let mut ascii = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() {
            ascii.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(ascii, "\\u{unit:04x}");
            }
        }
    }
    ascii
}

fn is_json(content_type: &str) -> bool {
    content_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(JSON)
}

/// `Bytes` as MessagePack `bin` and without a copy of each byte through a sequence.
mod serde_bytes_compat {
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        serde_bytes::ByteBuf::deserialize(deserializer).map(|buffer| Bytes::from(buffer.into_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_without_content_type_is_json() {
        let payload = Payload::with_content_type("[5]", None);
        assert_eq!(payload, Payload::with_content_type("[5]", Some("application/json; charset=utf-8")));
        assert_eq!(payload.decode::<Vec<u8>>().unwrap(), [5]);
    }

    #[test]
    fn an_error_shows_the_wanted_type_and_the_start_of_the_payload() {
        let error = Payload::json("{\"amount\":\"x\"}").decode::<Vec<u8>>().unwrap_err().to_string();
        assert!(error.contains("Vec<u8>") && error.contains("amount"), "{error}");
        let error = Payload::with_content_type("x", Some("text/plain")).decode::<String>().unwrap_err().to_string();
        assert!(error.contains("text/plain"), "{error}");
    }

    #[test]
    fn an_empty_body_is_null() {
        assert!(Payload::json("").decode::<Option<u8>>().unwrap().is_none());
        Payload::json(" \n").decode::<()>().unwrap();
    }
}
