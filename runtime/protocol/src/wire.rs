//! MessagePack with limits: what is decoded here may come from anybody.

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

/// The deepest nesting that is decoded. Our own types need about ten levels; a chain of causes takes two per cause.
pub const DEPTH_MAX: usize = 64;

/// What most messages need, in bytes.
const SMALL: usize = 256;

/// Bytes that are not what they should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nested more deeply than [`DEPTH_MAX`].
    #[error("nested more than {DEPTH_MAX} levels deep")]
    TooDeep,
    /// A declared length goes past the end of the message.
    #[error("declares {declared} bytes or items at offset {offset}, but only {left} bytes follow")]
    Length {
        /// Where the declaration stands.
        offset: usize,
        /// What it declares.
        declared: usize,
        /// What follows.
        left: usize,
    },
    /// The message ends in the middle of a value.
    #[error("ends in the middle of a value")]
    Truncated,
    /// The byte 0xc1, which MessagePack never uses.
    #[error("has the unused MessagePack marker at offset {0}")]
    Marker(usize),
    /// It is MessagePack, but not of the wanted type: perhaps written by a newer version.
    #[error("cannot be read by this version: {0}")]
    Type(#[from] rmp_serde::decode::Error),
    /// A frame around the message is not one of ours.
    #[error("{0}")]
    Frame(&'static str),
}

/// Encodes one of our own types. They have string keys and no unsized sequences, so it cannot fail.
pub fn encode<T: Serialize>(value: &T) -> Bytes {
    encode_behind(Vec::with_capacity(SMALL), value)
}

/// Encodes one of our own types behind what is there already.
pub(crate) fn encode_behind<T: Serialize>(mut bytes: Vec<u8>, value: &T) -> Bytes {
    rmp_serde::encode::write_named(&mut bytes, value).expect("our own types can always be encoded");
    Bytes::from(bytes)
}

/// Decodes, after a scan that refuses deep nesting and lengths the message cannot hold, so that nothing is allocated
/// or recursed into on a stranger's word.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    let end = scan(bytes)?;
    if end != bytes.len() {
        return Err(Error::Frame("has bytes after the message"));
    }
    Ok(rmp_serde::from_slice(bytes)?)
}

/// Walks over one value without recursion; returns where it ends.
fn scan(bytes: &[u8]) -> Result<usize, Error> {
    // How many values are still expected at each level.
    let mut open = [0usize; DEPTH_MAX + 2];
    let (mut depth, mut at) = (0, 0);
    open[0] = 1;
    loop {
        if open[depth] == 0 {
            if depth == 0 {
                return Ok(at);
            }
            depth -= 1;
            continue;
        }
        open[depth] -= 1;
        let (after, items) = token(bytes, at)?;
        if items > bytes.len() - after {
            return Err(Error::Length { offset: at, declared: items, left: bytes.len() - after });
        }
        at = after;
        if items > 0 {
            if depth >= DEPTH_MAX {
                return Err(Error::TooDeep);
            }
            depth += 1;
            open[depth] = items;
        }
    }
}

/// One marker with its scalar body: where it ends, and how many values it opens.
fn token(bytes: &[u8], at: usize) -> Result<(usize, usize), Error> {
    let marker = *bytes.get(at).ok_or(Error::Truncated)?;
    let length = |width: usize| -> Result<usize, Error> {
        let digits = bytes.get(at + 1..at + 1 + width).ok_or(Error::Truncated)?;
        Ok(digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)))
    };
    let scalar = |header: usize, body: usize| -> Result<(usize, usize), Error> {
        let left = bytes.len().saturating_sub(at + header);
        if body > left {
            return Err(Error::Length { offset: at, declared: body, left });
        }
        Ok((at + header + body, 0))
    };
    match marker {
        0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => Ok((at + 1, 0)),
        0x80..=0x8f => Ok((at + 1, usize::from(marker & 0x0f) * 2)),
        0x90..=0x9f => Ok((at + 1, usize::from(marker & 0x0f))),
        0xa0..=0xbf => scalar(1, usize::from(marker & 0x1f)),
        0xc1 => Err(Error::Marker(at)),
        0xc4 | 0xd9 => scalar(2, length(1)?),
        0xc5 | 0xda => scalar(3, length(2)?),
        0xc6 | 0xdb => scalar(5, length(4)?),
        0xc7 => scalar(3, length(1)?),
        0xc8 => scalar(4, length(2)?),
        0xc9 => scalar(6, length(4)?),
        0xcc | 0xd0 => scalar(1, 1),
        0xcd | 0xd1 => scalar(1, 2),
        0xca | 0xce | 0xd2 => scalar(1, 4),
        0xcb | 0xcf | 0xd3 => scalar(1, 8),
        0xd4 => scalar(2, 1),
        0xd5 => scalar(2, 2),
        0xd6 => scalar(2, 4),
        0xd7 => scalar(2, 8),
        0xd8 => scalar(2, 16),
        0xdc => Ok((at + 3, length(2)?)),
        0xdd => Ok((at + 5, length(4)?)),
        0xde => Ok((at + 3, length(2)? * 2)),
        0xdf => Ok((at + 5, length(4)?.saturating_mul(2))),
    }
}

/// Durations as whole milliseconds.
pub mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes milliseconds, at most `u64::MAX` of them.
    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    /// Reads milliseconds.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

/// Optional durations as whole milliseconds.
pub mod opt_millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// Writes milliseconds or nil.
    #[allow(clippy::ref_option, reason = "the signature that serde's `with` calls")]
    pub fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        duration.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)).serialize(serializer)
    }

    /// Reads milliseconds or nil.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_millis))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_depth_bomb_is_refused_without_recursion() {
        let bomb = vec![0x91; 1_000_000];
        assert!(matches!(decode::<serde::de::IgnoredAny>(&bomb), Err(Error::TooDeep)));
    }

    #[test]
    fn a_length_bomb_is_refused_before_anything_is_allocated() {
        for bomb in
            [&[0xdd, 0xff, 0xff, 0xff, 0xff][..], &[0xc6, 0xff, 0xff, 0xff, 0xff, 1], &[0xdf, 0xff, 0xff, 0xff, 0xff]]
        {
            assert!(matches!(decode::<serde::de::IgnoredAny>(bomb), Err(Error::Length { .. })), "{bomb:x?}");
        }
    }

    #[test]
    fn truncated_and_trailing_bytes_are_refused() {
        let whole = encode(&("text", 70_000u32, vec![1u8, 2]));
        for cut in 0..whole.len() {
            assert!(decode::<(String, u32, Vec<u8>)>(&whole[..cut]).is_err(), "cut at {cut}");
        }
        let mut longer = whole.to_vec();
        longer.push(0);
        assert!(decode::<(String, u32, Vec<u8>)>(&longer).is_err());
        assert!(decode::<(String, u32, Vec<u8>)>(&whole).is_ok());
    }
}
