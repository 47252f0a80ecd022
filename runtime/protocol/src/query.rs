//! Queries: a core request to the owner of a run, answered from memory and stored nowhere.
//!
//! A query is a request to `hw.<namespace>.query.<queue>.<name>.<key>` whose body is the argument. The answer's body is
//! the query's result, or, with [`header::CODE`] in its headers, nothing: the code and the reason then say what went
//! wrong. An owner that has just lost the partition does not answer. Nor does any to a reply subject that is no inbox,
//! as the answer is published with the worker's rights.

use serde::{Deserialize, Serialize};

use crate::{
    header::{self, Headers},
    ids::{RunId, TypeName},
};

/// The query that every run answers by itself, whatever its code: which signals nothing takes. Its argument does not
/// matter, its answer is [`UnhandledSignals`] in JSON. A handler of this name is never asked.
pub const UNHANDLED_SIGNALS: &str = "highwater:unhandled-signals";

/// The signals of a run that came in and that nothing takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnhandledSignals {
    /// The run that answers: the latest of its workflow id.
    pub run: RunId,
    /// The first of them, oldest first.
    pub signals: Vec<UnhandledSignal>,
    /// How many more there are.
    pub more: u64,
}

/// A signal that nothing takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnhandledSignal {
    /// Its name.
    pub name: TypeName,
    /// Why its argument does not fit what would have taken it; absent when nothing takes signals of its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

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
