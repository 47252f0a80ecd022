//! Answers to requests that name a reply subject (`Hw-Reply`), as core messages.
//!
//! The header [`header::REPLY_KIND`] says which answer it is; [`header::RUN`] names the run.
//!
//! | kind | when | body |
//! |---|---|---|
//! | `accepted` | the request is in the history | empty |
//! | `rejected` | it never will be | empty; `Hw-Code` and `Hw-Reason` say why |
//! | `updated` | the handler of the update in `Hw-Update-Id` returned | the update's result, otherwise a JSON failure with `Hw-Status: failed` |
//! | `closed` | the run that the request started has ended | the result of a completed run, otherwise a JSON failure; `Hw-Status` says which |
//!
//! A `closed` may come without an `accepted` before it: a run that ends in its first transition is both at once. So may
//! an `updated`. Answers are hints for speed. The truth is the history, and a sender that misses an answer reads it
//! there.
//!
//! To a sender that says so ([`header::EARLY`]) an answer may come before the record is stored that it tells of. Such an
//! answer has a reply subject ([`early_ack`](crate::subject::Subjects::early_ack)), and is true once a stream's
//! acknowledgement comes to that.

use crate::{
    failure::Failure,
    header::{self, Headers},
    ids::{RunId, UpdateId},
    payload::Payload,
    record::Status,
    rejection::Rejection,
};

/// Which answer it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The request is in the history.
    Accepted,
    /// The request never will be in the history.
    Rejected,
    /// An update has an outcome.
    Updated,
    /// The run has ended.
    Closed,
}

impl Kind {
    /// The word in the header.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Updated => "updated",
            Self::Closed => "closed",
        }
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// The request is in the history of this run.
    Accepted {
        /// The run.
        run: RunId,
    },
    /// The request was refused.
    Rejected(Rejection),
    /// An update has an outcome.
    Updated(Updated),
    /// The run has ended.
    Closed(Closed),
}

/// How an update ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Updated {
    /// The run that did it.
    pub run: RunId,
    /// The update.
    pub id: UpdateId,
    /// What the handler returned.
    pub outcome: Result<Payload, Failure>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Closed {
    /// The run.
    pub run: RunId,
    /// Its last status.
    pub status: Status,
    /// Its result, or its failure.
    pub outcome: Result<Payload, Failure>,
}

impl Reply {
    /// The answer as headers and body.
    pub fn encode(&self) -> (Headers, Payload) {
        match self {
            Self::Accepted { run } => {
                let headers =
                    Headers::new().with(header::REPLY_KIND, Kind::Accepted.as_str()).with(header::RUN, run.to_string());
                (headers, Payload::json(""))
            }
            Self::Rejected(rejection) => {
                (rejection.headers().with(header::REPLY_KIND, Kind::Rejected.as_str()), Payload::json(""))
            }
            Self::Updated(updated) => {
                let body = body(&updated.outcome);
                let failed = updated.outcome.is_err().then(|| Status::Failed.as_str());
                let headers = Headers::new()
                    .with(header::REPLY_KIND, Kind::Updated.as_str())
                    .with(header::RUN, updated.run.to_string())
                    .with(header::UPDATE_ID, updated.id.to_key().to_string())
                    .with_opt(header::STATUS, failed)
                    .with_opt(header::CONTENT_TYPE, body.content_type.as_deref());
                (headers, body)
            }
            Self::Closed(closed) => {
                let body = body(&closed.outcome);
                let headers = Headers::new()
                    .with(header::REPLY_KIND, Kind::Closed.as_str())
                    .with(header::RUN, closed.run.to_string())
                    .with(header::STATUS, closed.status.as_str())
                    .with_opt(header::CONTENT_TYPE, body.content_type.as_deref());
                (headers, body)
            }
        }
    }

    /// Reads an answer; `None` when it is none of ours, such as a publish acknowledgement on the same subject.
    pub fn decode(headers: &Headers, body: &[u8]) -> Option<Self> {
        let kind = headers.get(header::REPLY_KIND)?;
        if kind == Kind::Rejected.as_str() {
            return Rejection::from_headers(headers).map(Self::Rejected);
        }
        let run = headers.get(header::RUN)?.parse().ok()?;
        if kind == Kind::Accepted.as_str() {
            return Some(Self::Accepted { run });
        }
        if kind == Kind::Updated.as_str() {
            let id = UpdateId::from_token(headers.get(header::UPDATE_ID)?).ok()?;
            let payload = Payload::with_content_type(body.to_vec(), headers.get(header::CONTENT_TYPE));
            let failed = headers.get(header::STATUS).is_some();
            let outcome = if failed { Err(payload.decode().ok()?) } else { Ok(payload) };
            return Some(Self::Updated(Updated { run, id, outcome }));
        }
        if kind != Kind::Closed.as_str() {
            return None;
        }
        let status: Status = headers.get(header::STATUS)?.parse().ok()?;
        let payload = Payload::with_content_type(body.to_vec(), headers.get(header::CONTENT_TYPE));
        let outcome = if status == Status::Completed { Ok(payload) } else { Err(payload.decode().ok()?) };
        Some(Self::Closed(Closed { run, status, outcome }))
    }
}

fn body(outcome: &Result<Payload, Failure>) -> Payload {
    match outcome {
        Ok(result) => result.clone(),
        Err(failure) => Payload::encode(failure).unwrap_or_else(|_| Payload::null()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rejection::Code;

    #[test]
    fn answers_come_back_as_they_were() {
        let run = RunId::generate();
        let failed = Closed { run, status: Status::Failed, outcome: Err(Failure::application("no")) };
        let completed = Closed { run, status: Status::Completed, outcome: Ok(Payload::json("5")) };
        let rejection = Rejection::new(Code::AlreadyRunning, "x");
        let updated = |outcome| Reply::Updated(Updated { run, id: UpdateId::new("u.1").unwrap(), outcome });
        for reply in [
            Reply::Accepted { run },
            Reply::Rejected(rejection),
            Reply::Closed(failed),
            Reply::Closed(completed),
            updated(Ok(Payload::json("5"))),
            updated(Err(Failure::application("no"))),
        ] {
            let (headers, body) = reply.encode();
            assert_eq!(Reply::decode(&headers, &body.data), Some(reply));
        }
    }

    #[test]
    fn a_publish_acknowledgement_is_no_answer() {
        assert_eq!(Reply::decode(&Headers::new(), b"{\"stream\":\"x\",\"seq\":1}"), None);
    }
}
