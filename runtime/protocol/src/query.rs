//! Queries: a core request to the owner of a run, answered from memory and stored nowhere.
//!
//! A query is a request to `hw.<namespace>.query.<queue>.<name>.<key>` whose body is the argument. The answer's body is
//! the query's result, or, with [`header::CODE`] in its headers, nothing: the code and the reason then say what went
//! wrong. An owner that has just lost the partition does not answer. Nor does any to a reply subject that is no inbox, as
//! the answer is published with the worker's rights.

use crate::header::{self, Headers};

/// Why a query has no result, in a word.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct QueryRejected {
    /// `not-found`, `bad-subject`, `wrong-queue`, `unknown-query`, `bad-argument`, `failed` or `blocked`.
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
