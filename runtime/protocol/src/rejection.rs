//! Requests that could not be accepted.
//!
//! A rejected message is stored whole, with its own headers and body, and with three headers more: [`header::CODE`],
//! [`header::REASON`] and [`header::SUBJECT`]. A request that names a reply subject is answered with the same.

use std::fmt;

use crate::header::{self, Headers};

/// Why, in a word that programs can match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Code {
    /// The subject is not one that anything listens to.
    BadSubject,
    /// A header has a value that cannot be read.
    BadHeader,
    /// The body is not what its content type says.
    BadBody,
    /// The id has a run that goes on.
    AlreadyRunning,
    /// The id has a closed run, and the policy does not allow another.
    AlreadyUsed,
    /// There is no run with this id.
    NotFound,
    /// The run is closed.
    Closed,
    /// The history moved on between the sender's look and its request.
    Conflict,
    /// It is larger than the server accepts.
    TooLarge,
    /// The history was written by a newer version or is damaged.
    Unreadable,
    /// The run has no handler of this name.
    UnknownName,
    /// The argument does not fit the handler.
    BadArgument,
    /// The run's own validator refuses it.
    Refused,
    /// The run's code cannot go on at present, and so cannot say whether it takes this.
    Blocked,
}

impl Code {
    const ALL: [Self; 14] = [
        Self::BadSubject,
        Self::BadHeader,
        Self::BadBody,
        Self::AlreadyRunning,
        Self::AlreadyUsed,
        Self::NotFound,
        Self::Closed,
        Self::Conflict,
        Self::TooLarge,
        Self::Unreadable,
        Self::UnknownName,
        Self::BadArgument,
        Self::Refused,
        Self::Blocked,
    ];

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadSubject => "bad-subject",
            Self::BadHeader => "bad-header",
            Self::BadBody => "bad-body",
            Self::AlreadyRunning => "already-running",
            Self::AlreadyUsed => "already-used",
            Self::NotFound => "not-found",
            Self::Closed => "closed",
            Self::Conflict => "conflict",
            Self::TooLarge => "too-large",
            Self::Unreadable => "unreadable",
            Self::UnknownName => "unknown-name",
            Self::BadArgument => "bad-argument",
            Self::Refused => "refused",
            Self::Blocked => "blocked",
        }
    }

    /// The code of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == word)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a request was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} ({code})")]
pub struct Rejection {
    /// For programs.
    pub code: Code,
    /// For people: what happened and what to do.
    pub reason: String,
}

impl Rejection {
    /// A rejection.
    pub fn new(code: Code, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }

    /// The headers that tell it.
    pub fn headers(&self) -> Headers {
        Headers::new().with(header::CODE, self.code.as_str()).with(header::REASON, self.reason.clone())
    }

    /// Reads it from an answer's headers.
    pub fn from_headers(headers: &Headers) -> Option<Self> {
        let code = Code::parse(headers.get(header::CODE)?)?;
        Some(Self::new(code, headers.get(header::REASON).unwrap_or_default()))
    }
}
