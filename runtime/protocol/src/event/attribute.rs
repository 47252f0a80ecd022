//! Search attributes: what runs can be found by.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Search attributes by name. All records of a run carry them in a header, so they are small.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Attributes(BTreeMap<String, AttributeValue>);

/// The value of a search attribute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum AttributeValue {
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any number.
    Float(f64),
    /// A word or a text.
    Text(String),
    /// Several words.
    Words(Vec<String>),
    /// An instant.
    Time {
        /// Microseconds since the epoch.
        at: Timestamp,
    },
}

/// Search attributes cannot be these.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidAttributes {
    /// A name is empty or has other characters than letters, digits, `-` and `_`.
    #[error("the search attribute {name:?} may only have letters, digits, '-' and '_' in its name")]
    Name {
        /// The name.
        name: String,
    },
    /// A number is none.
    #[error("the search attribute {name:?} is not a finite number")]
    NotFinite {
        /// The name.
        name: String,
    },
    /// All together are too large.
    #[error(
        "the search attributes take {size} bytes as JSON, the limit is {}; keep what is only read in the memo",
        Attributes::SIZE_MAX
    )]
    TooLarge {
        /// Their size, in bytes.
        size: usize,
    },
}

impl Attributes {
    /// The most bytes that all attributes of a run may take, as JSON.
    pub const SIZE_MAX: usize = 2 * 1024;

    /// Sets one.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<AttributeValue>) {
        self.0.insert(name.into(), value.into());
    }

    /// Sets one, in a chain.
    pub fn with(mut self, name: impl Into<String>, value: impl Into<AttributeValue>) -> Self {
        self.insert(name, value);
        self
    }

    /// One of them.
    pub fn get(&self, name: &str) -> Option<&AttributeValue> {
        self.0.get(name)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &AttributeValue)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sets these; those of other names stay.
    pub fn upsert(&mut self, others: &Self) {
        self.0.extend(others.0.iter().map(|(name, value)| (name.clone(), value.clone())));
    }

    /// Checks names, numbers and the size.
    pub fn check(&self) -> Result<(), InvalidAttributes> {
        for (name, value) in &self.0 {
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
                return Err(InvalidAttributes::Name { name: name.clone() });
            }
            if matches!(value, AttributeValue::Float(number) if !number.is_finite()) {
                return Err(InvalidAttributes::NotFinite { name: name.clone() });
            }
        }
        let size = self.to_json().len();
        if size > Self::SIZE_MAX { Err(InvalidAttributes::TooLarge { size }) } else { Ok(()) }
    }

    /// As they stand in a header: JSON in ASCII, so that no client library changes a character of it.
    pub fn to_json(&self) -> String {
        crate::payload::ascii(&serde_json::to_string(&self.0).unwrap_or_default())
    }

    /// Reads them from a header.
    pub fn from_json(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

impl fmt::Display for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_json())
    }
}

impl<N: Into<String>, V: Into<AttributeValue>> FromIterator<(N, V)> for Attributes {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(list: I) -> Self {
        Self(list.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

macro_rules! from {
    ($($ty:ty => |$value:ident| $as:expr),+ $(,)?) => {
        $(impl From<$ty> for AttributeValue {
            fn from($value: $ty) -> Self {
                $as
            }
        })+
    };
}
from!(
    bool => |value| Self::Bool(value),
    i64 => |value| Self::Int(value),
    i32 => |value| Self::Int(value.into()),
    u32 => |value| Self::Int(value.into()),
    f64 => |value| Self::Float(value),
    String => |value| Self::Text(value),
    &str => |value| Self::Text(value.to_owned()),
    Vec<String> => |value| Self::Words(value),
    Timestamp => |value| Self::Time { at: value },
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_stand_in_a_header_as_ascii_and_come_back() {
        let attributes = Attributes::default()
            .with("customer", "Zoë 🦀")
            .with("cents", 4_900_i64)
            .with("rate", 0.5)
            .with("vip", true)
            .with("tags", vec!["a".to_owned()])
            .with("due", Timestamp(5));
        assert!(attributes.to_json().is_ascii());
        assert_eq!(Attributes::from_json(&attributes.to_json()), Some(attributes.clone()));
        assert_eq!(attributes.check(), Ok(()));
    }

    #[test]
    fn what_cannot_be_searched_for_is_refused() {
        let check = |attributes: Attributes| attributes.check().unwrap_err();
        assert!(matches!(check(Attributes::default().with("a b", 1)), InvalidAttributes::Name { .. }));
        assert!(matches!(check(Attributes::default().with("a", f64::NAN)), InvalidAttributes::NotFinite { .. }));
        let long = "x".repeat(Attributes::SIZE_MAX);
        assert!(matches!(check(Attributes::default().with("a", long)), InvalidAttributes::TooLarge { .. }));
    }
}
