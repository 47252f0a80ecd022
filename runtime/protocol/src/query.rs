//! Queries: a core request to the owner of a run, answered from memory and stored nowhere.
//!
//! A query is a request to `hw.<namespace>.query.<shard>.<partition>.<queue>.<name>.<key>` whose body is the
//! argument. The answer's body is the query's result, or, with [`header::CODE`] in its headers, nothing: the code and
//! the reason then say what went wrong. An owner that has just lost the partition does not answer.

use crate::header::{self, Headers};

/// Why a query has no result, in a word.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct QueryRejected {
    /// `not-found`, `unknown-query`, `bad-argument`, `failed` or `blocked`.
    pub code: String,
    /// For people.
    pub reason: String,
}

impl QueryRejected {
    /// The headers that tell it.
    pub fn headers(&self) -> Headers {
        Headers::new().with(header::CODE, self.code.clone()).with(header::REASON, self.reason.clone())
    }

    /// Reads it from an answer's headers.
    pub fn from_headers(headers: &Headers) -> Option<Self> {
        let code = headers.get(header::CODE)?.to_owned();
        Some(Self { code, reason: headers.get(header::REASON).unwrap_or_default().to_owned() })
    }
}
