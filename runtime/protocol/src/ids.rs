//! Names and ids, checked when they are made.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};
use uuid::Uuid;

use crate::{key::Key, text::Text};

/// The longest escaped id or name, in bytes. A subject carries several, and NATS limits the whole line to 4 KiB.
pub const LENGTH_MAX: usize = 512;

/// Why a string is not an id or a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidId {
    /// It has no characters.
    #[error("the {what} is empty; give it at least one character")]
    Empty {
        /// Which id.
        what: &'static str,
    },
    /// It is longer than [`LENGTH_MAX`] bytes once escaped.
    #[error("the {what} takes {length} bytes when escaped for NATS, the limit is {LENGTH_MAX}; shorten it")]
    TooLong {
        /// Which id.
        what: &'static str,
        /// Its escaped length, in bytes.
        length: usize,
    },
    /// It has a character that is not allowed and that this kind of id cannot escape.
    #[error("the {what} {value:?} may only have letters, digits, '-' and '_'")]
    Character {
        /// Which id.
        what: &'static str,
        /// The value.
        value: String,
    },
    /// It is escaped, but not in the one canonical way.
    #[error("{token:?} is not the canonical form of a {what}; publish to {canonical:?} instead")]
    NotCanonical {
        /// Which id.
        what: &'static str,
        /// What was given.
        token: String,
        /// What should have been given.
        canonical: String,
    },
}

macro_rules! escaped_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
        #[serde(try_from = "Text")]
        pub struct $name(Text);

        impl $name {
            #[doc = concat!("Checks and wraps a ", $what, ": not empty, at most [`LENGTH_MAX`] bytes when escaped; any character is allowed.")]
            pub fn new(value: impl Into<String>) -> Result<Self, InvalidId> {
                Self::try_from(Text::from(value.into()))
            }

            /// As the person wrote it.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// As it stands in subjects and bucket keys.
            pub fn to_key(&self) -> Key {
                Key::of(&self.0)
            }

            /// Reads it back from a subject token.
            pub fn from_token(token: &str) -> Result<Self, InvalidId> {
                if Key::is_plain(token) { Self::try_from(token) } else { Self::new(Key::unescape($what, token)?) }
            }
        }

        impl TryFrom<Text> for $name {
            type Error = InvalidId;
            fn try_from(value: Text) -> Result<Self, InvalidId> {
                Key::check($what, &value)?;
                Ok(Self(value))
            }
        }

        impl TryFrom<&str> for $name {
            type Error = InvalidId;
            fn try_from(value: &str) -> Result<Self, InvalidId> {
                Self::try_from(Text::from(value))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.0.serialize(serializer)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

escaped_id!(
    /// What a person calls a workflow execution, unique in its namespace: `order-17`.
    WorkflowId, "workflow id"
);
escaped_id!(
    /// The task queue that ties runs and activities to the workers that serve it.
    QueueName, "queue name"
);
escaped_id!(
    /// A workflow type, an activity type, or the name of a signal, query or step.
    TypeName, "name"
);

escaped_id!(
    /// What the sender of an update calls it, unique in its workflow.
    UpdateId, "update id"
);

/// The name of a namespace: letters, digits, `-` and `_`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Namespace(String);

impl Namespace {
    /// The longest name, in bytes.
    pub const LENGTH_MAX: usize = 64;

    /// Checks and wraps a name. It becomes part of stream names, so it is not escaped but restricted.
    pub fn new(value: impl Into<String>) -> Result<Self, InvalidId> {
        let value = value.into();
        let what = "namespace";
        if value.is_empty() {
            return Err(InvalidId::Empty { what });
        }
        if !value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
            return Err(InvalidId::Character { what, value });
        }
        if value.len() > Self::LENGTH_MAX {
            return Err(InvalidId::TooLong { what, length: value.len() });
        }
        Ok(Self(value))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self("default".into())
    }
}

impl TryFrom<String> for Namespace {
    type Error = InvalidId;
    fn try_from(value: String) -> Result<Self, InvalidId> {
        Self::new(value)
    }
}

impl From<Namespace> for String {
    fn from(value: Namespace) -> String {
        value.0
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A fresh id, ordered by time (UUID version 7, RFC 9562).
            pub fn generate() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.simple().fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

uuid_id!(
    /// One execution of a workflow id.
    RunId
);
uuid_id!(
    /// One record. The owner that loses the answer to a publish finds its own record again by this id.
    RecordId
);
uuid_id!(
    /// One worker process, from its start to its end.
    WorkerId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_and_overlong_ids_are_refused_with_the_limit_in_the_message() {
        assert_eq!(
            WorkflowId::new("").unwrap_err().to_string(),
            "the workflow id is empty; give it at least one character"
        );
        let long = WorkflowId::new("x".repeat(513)).unwrap_err().to_string();
        assert_eq!(long, "the workflow id takes 513 bytes when escaped for NATS, the limit is 512; shorten it");
    }

    #[test]
    fn any_character_is_allowed_in_a_workflow_id() {
        for id in ["a.b", "*", ">", "a b", "a\r\nb", "naïve-日本", "=41"] {
            let id = WorkflowId::new(id).unwrap();
            assert_eq!(WorkflowId::from_token(id.to_key().as_str()).unwrap(), id);
        }
    }

    #[test]
    fn a_namespace_is_restricted() {
        assert!(Namespace::new("shop-1_eu").is_ok());
        assert!(Namespace::new("a.b").is_err());
        assert!(Namespace::new("x".repeat(65)).is_err());
    }
}
