//! Requests to runs: the messages of the inbox.
//!
//! A public request is an ordinary message: the subject says what is asked of whom, the body is the payload itself
//! (JSON unless a content type says otherwise), and headers carry the rest. Our own client sends the same messages that
//! any other program can.

use std::{str::FromStr, time::Duration};

use bytes::Bytes;

use crate::{
    event::{Signal, Trace},
    header::{self, Headers},
    ids::{QueueName, RunId, TypeName, WorkflowId},
    key::Key,
    payload::Payload,
    rejection::{Code, Rejection},
    subject::{InboxKind, Subjects, Verb},
    task::ActivityReport,
    wire,
};

/// A request, understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Whom it is for.
    pub workflow_id: WorkflowId,
    /// The same, escaped.
    pub key: Key,
    /// The queue that it came in on.
    pub queue: QueueName,
    /// The partition that it came in on.
    pub partition: u16,
    /// Where the sender waits for an answer.
    pub reply: Option<String>,
    /// What is asked.
    pub ask: Ask,
}

/// What a request asks.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// Start a run.
    Start(Box<StartRequest>),
    /// Signal the run.
    Signal {
        /// The run it is meant for; the latest one when absent.
        run: Option<RunId>,
        /// The signal.
        signal: Signal,
    },
    /// Ask the run to cancel itself.
    Cancel {
        /// The run it is meant for; the latest one when absent.
        run: Option<RunId>,
        /// Why.
        reason: String,
    },
    /// End the run.
    Terminate {
        /// The run it is meant for; the latest one when absent.
        run: Option<RunId>,
        /// Why.
        reason: String,
    },
    /// An activity of the run ended.
    Activity {
        /// The run that called it.
        run: RunId,
        /// How it ended.
        report: ActivityReport,
    },
}

/// A request to start a run.
#[derive(Clone, Debug, PartialEq)]
pub struct StartRequest {
    /// The workflow type.
    pub workflow_type: TypeName,
    /// The input.
    pub input: Payload,
    /// The run id that the starter proposes; the owner makes one when absent.
    pub run: Option<RunId>,
    /// The sequence that the history subject must have; the owner looks it up when absent.
    pub expect: Option<u64>,
    /// May a closed run's id be used again?
    pub id_reuse: IdReuse,
    /// What if the id is running?
    pub id_conflict: IdConflict,
    /// How long the run may take.
    pub run_timeout: Option<Duration>,
    /// The starter's trace.
    pub trace: Option<Trace>,
}

macro_rules! policy {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// The word in the header.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl FromStr for $name {
            type Err = ();
            fn from_str(word: &str) -> Result<Self, ()> {
                match word { $($word => Ok(Self::$variant),)+ _ => Err(()) }
            }
        }
    };
}

policy!(
    /// Whether an id whose run is closed may be used for another run.
    IdReuse {
        /// No: an id is used once. A message published twice cannot start the work twice.
        #[default]
        Reject = "reject",
        /// Yes.
        Allow = "allow",
        /// Yes, unless the closed run completed.
        AllowIfFailed = "allow-if-failed",
    }
);

policy!(
    /// What a start does when the id has a run that goes on.
    IdConflict {
        /// It is refused.
        #[default]
        Fail = "fail",
        /// It is answered with the run there is.
        UseExisting = "use-existing",
        /// It ends that run and starts its own.
        TerminateExisting = "terminate-existing",
    }
);

impl StartRequest {
    /// The headers of a start message.
    pub fn headers(&self, reply: Option<&str>) -> Headers {
        let headers = Headers::new()
            .with_opt(header::CONTENT_TYPE, self.input.content_type.as_deref())
            .with_opt(header::RUN, self.run.map(|run| run.to_string()))
            .with_opt(header::EXPECT, self.expect.map(|seq| seq.to_string()))
            .with_opt(header::ID_REUSE, (self.id_reuse != IdReuse::default()).then(|| self.id_reuse.as_str()))
            .with_opt(
                header::ID_CONFLICT,
                (self.id_conflict != IdConflict::default()).then(|| self.id_conflict.as_str()),
            )
            .with_opt(header::RUN_TIMEOUT, self.run_timeout.map(|timeout| timeout.as_millis().to_string()))
            .with_opt(header::REPLY, reply);
        match &self.trace {
            Some(trace) => headers
                .with(header::TRACEPARENT, trace.parent.clone())
                .with_opt(header::TRACESTATE, trace.state.clone()),
            None => headers,
        }
    }
}

/// Reads a message of the inbox. An error tells the sender what is wrong with it.
pub fn parse(subjects: &Subjects, subject: &str, headers: &Headers, body: Bytes) -> Result<Request, Rejection> {
    let parts = subjects.parse_inbox(subject).ok_or_else(|| {
        Rejection::new(
            Code::BadSubject,
            "the subject is none that workflows listen to; publish to hw.<namespace>.do.<verb>.<queue>.<name>.<workflow id>",
        )
    })?;
    let queue = QueueName::from_token(parts.queue).map_err(bad_subject)?;
    let workflow_id = WorkflowId::from_token(parts.kind.key()).map_err(bad_subject)?;
    let key = workflow_id.to_key();
    if key.partition(subjects.partitions()) != parts.partition {
        let right = key.partition(subjects.partitions());
        let reason = format!("workflow id {workflow_id:?} belongs to partition {right}, not {}", parts.partition);
        return Err(Rejection::new(Code::BadSubject, reason));
    }
    let ask = match parts.kind {
        InboxKind::Public { verb, name, .. } => public(verb, name, headers, body)?,
        InboxKind::Activity { run, .. } => {
            let run = run.parse().map_err(|_| Rejection::new(Code::BadSubject, "the subject names no run id"))?;
            let report = wire::decode(&body)
                .map_err(|e| Rejection::new(Code::BadBody, format!("the activity's outcome {e}")))?;
            Ask::Activity { run, report }
        }
    };
    Ok(Request { workflow_id, key, queue, partition: parts.partition, reply: reply(headers)?, ask })
}

fn public(verb: &str, name: &str, headers: &Headers, body: Bytes) -> Result<Ask, Rejection> {
    let verb = Verb::from_token(verb).ok_or_else(|| {
        let known = Verb::ALL.map(Verb::as_str).join(", ");
        Rejection::new(Code::BadSubject, format!("{verb:?} is no verb; the verbs are {known}"))
    })?;
    let run = parsed(headers, header::RUN, "a run id (a UUID)", |text| text.parse().ok())?;
    let reason = || headers.get(header::REASON).unwrap_or_default().to_owned();
    let payload = || -> Result<Payload, Rejection> {
        let payload = Payload::with_content_type(body.clone(), headers.get(header::CONTENT_TYPE));
        payload.check().map_err(|e| {
            Rejection::new(
                Code::BadBody,
                format!("the body is not JSON: {e}; set a Content-Type if it is something else"),
            )
        })?;
        Ok(payload)
    };
    let name = || TypeName::from_token(name).map_err(bad_subject);
    Ok(match verb {
        Verb::Start => Ask::Start(Box::new(StartRequest {
            workflow_type: name()?,
            input: payload()?,
            run,
            expect: parsed(headers, header::EXPECT, "a sequence", |text| text.parse().ok())?,
            id_reuse: parsed(headers, header::ID_REUSE, "a reuse policy", |text| text.parse().ok())?
                .unwrap_or_default(),
            id_conflict: parsed(headers, header::ID_CONFLICT, "a conflict policy", |text| text.parse().ok())?
                .unwrap_or_default(),
            run_timeout: parsed(headers, header::RUN_TIMEOUT, "a number of milliseconds", |text| {
                text.parse().ok().filter(|ms| *ms > 0).map(Duration::from_millis)
            })?,
            trace: trace(headers),
        })),
        Verb::Signal => Ask::Signal { run, signal: Signal { name: name()?, input: payload()? } },
        Verb::Cancel => Ask::Cancel { run, reason: reason() },
        Verb::Terminate => Ask::Terminate { run, reason: reason() },
    })
}

/// The trace context of a message's headers. One that is not valid is none: tracing is not worth refusing a request for.
pub fn trace(headers: &Headers) -> Option<Trace> {
    Trace::of_headers(headers.get(header::TRACEPARENT)?, headers.get(header::TRACESTATE))
}

/// The reply subject, if it is one that a stranger may choose.
pub fn reply(headers: &Headers) -> Result<Option<String>, Rejection> {
    let Some(subject) = headers.get(header::REPLY) else { return Ok(None) };
    if is_inbox(subject) {
        return Ok(Some(subject.to_owned()));
    }
    Err(Rejection::new(
        Code::BadHeader,
        format!("{} must be an inbox subject (_INBOX…), not {subject:?}", header::REPLY),
    ))
}

/// Whether a stranger may have answers sent there. The owner publishes with its own rights, so a sender may only name an
/// inbox: a subject whose first token begins with `_INBOX`.
pub fn is_inbox(subject: &str) -> bool {
    let tokens_fine = subject
        .split('.')
        .all(|token| !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic() && b != b'*' && b != b'>'));
    subject.starts_with("_INBOX") && tokens_fine && subject.len() <= crate::ids::LENGTH_MAX
}

fn parsed<T>(
    headers: &Headers,
    name: &str,
    wanted: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, Rejection> {
    let Some(text) = headers.get(name) else { return Ok(None) };
    match parse(text.trim()) {
        Some(value) => Ok(Some(value)),
        None => Err(Rejection::new(Code::BadHeader, format!("the header {name} is {text:?}, not {wanted}"))),
    }
}

fn bad_subject(error: crate::ids::InvalidId) -> Rejection {
    Rejection::new(Code::BadSubject, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Namespace;

    fn subjects() -> Subjects {
        Subjects::new(&Namespace::default(), 1)
    }

    fn parse_at(rest: &str, headers: &Headers, body: &'static str) -> Result<Request, Rejection> {
        parse(&subjects(), &format!("hw.default.in.0.0.{rest}"), headers, Bytes::from_static(body.as_bytes()))
    }

    fn code(result: Result<Request, Rejection>) -> Code {
        result.unwrap_err().code
    }

    #[test]
    fn a_plain_start_needs_no_headers() {
        let request = parse_at("q.start.ship.order=2E1", &Headers::new(), "{\"amount\": 5}").unwrap();
        assert_eq!(request.workflow_id.as_str(), "order.1");
        let Ask::Start(start) = request.ask else { panic!("{request:?}") };
        assert_eq!((start.workflow_type.as_str(), start.expect, start.run), ("ship", None, None));
    }

    #[test]
    fn the_headers_of_a_start_come_back() {
        let start = StartRequest {
            workflow_type: TypeName::new("ship").unwrap(),
            input: Payload::json("1"),
            run: Some(RunId::generate()),
            expect: Some(7),
            id_reuse: IdReuse::AllowIfFailed,
            id_conflict: IdConflict::TerminateExisting,
            run_timeout: Some(Duration::from_millis(1500)),
            trace: Some(Trace::of_run(RunId::generate())),
        };
        let request = parse_at("q.start.ship.k", &start.headers(Some("_INBOX.a.1")), "1").unwrap();
        assert_eq!(request.reply.as_deref(), Some("_INBOX.a.1"));
        assert_eq!(request.ask, Ask::Start(Box::new(start)));
    }

    #[test]
    fn what_cannot_be_understood_says_what_is_wrong() {
        let none = Headers::new();
        assert_eq!(code(parse_at("q.dance.ship.k", &none, "1")), Code::BadSubject);
        assert_eq!(code(parse_at("q.start.ship.k.more", &none, "1")), Code::BadSubject);
        assert_eq!(code(parse_at("q.start.ship.a=2eb", &none, "1")), Code::BadSubject);
        assert_eq!(code(parse_at("q.start.ship.k", &none, "{not json")), Code::BadBody);
        assert_eq!(code(parse_at("q.start.ship.k", &Headers::new().with(header::EXPECT, "x"), "1")), Code::BadHeader);
        assert_eq!(
            code(parse_at("q.engine.activity.0123456789abcdef0123456789abcdef.k", &none, "junk")),
            Code::BadBody
        );
        let elsewhere = parse(
            &Subjects::new(&Namespace::default(), 64),
            "hw.default.in.0.63.q.signal.s.order-1",
            &none,
            Bytes::new(),
        );
        assert_eq!(code(elsewhere), Code::BadSubject);
    }

    #[test]
    fn a_reply_subject_cannot_point_the_owner_at_its_own_streams() {
        for bad in ["hw.default.h.0.k", "$JS.API.STREAM.DELETE.x", "_INBOX.*", "_INBOX.>", "_INBOX..a", "_INBOX.a b"] {
            assert!(reply(&Headers::new().with(header::REPLY, bad)).is_err(), "{bad}");
        }
        assert!(reply(&Headers::new().with(header::REPLY, "_INBOX_me.x.1")).unwrap().is_some());
    }
}
