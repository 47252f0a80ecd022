//! Requests to runs: the messages of the inbox.
//!
//! A public request is an ordinary message: the subject says what is asked of whom, the body is the payload itself
//! (JSON unless a content type says otherwise), and headers carry the rest. Our own client sends the same messages that
//! any other program can.

mod engine;
mod start;

use std::time::Duration;

use bytes::Bytes;

use crate::{
    event::{Origin, Signal, Trace, Update},
    header::{self, Headers},
    ids::{QueueName, RunId, TypeName, UpdateId, WorkflowId},
    key::Key,
    payload::{Payload, Payloads},
    rejection::{Code, Rejection},
    subject::{InboxKind, Subjects, Verb},
    task::ActivityReport,
};

pub use engine::{ChildReport, ChildStart, ChildState, ExternalReport, RunCancel, RunSignal};
pub use start::{IdConflict, IdReuse, START_ENVELOPE, StartRequest};

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
    /// The sender takes early answers there.
    pub early: bool,
    /// The run that asks and wants to know what comes of it. Only the engine's own requests have one.
    pub origin: Option<Origin>,
    /// What is asked.
    pub ask: Ask,
}

/// Which run a request is meant for. It is refused when that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meant {
    /// This one.
    Run(RunId),
    /// This one, which is the first of its chain, and those that it has continued as.
    Chain(RunId),
}

impl Meant {
    /// The run that is named.
    pub fn run(self) -> RunId {
        match self {
            Self::Run(run) | Self::Chain(run) => run,
        }
    }
}

/// What a request asks.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// Start a run.
    Start(Box<StartRequest>),
    /// Signal the run.
    Signal {
        /// Which run it is meant for; the latest one when absent.
        meant: Option<Meant>,
        /// The signal.
        signal: Signal,
    },
    /// Ask the run to cancel itself.
    Cancel {
        /// Which run it is meant for; the latest one when absent.
        meant: Option<Meant>,
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
    /// Ask the run to do something and to answer.
    Update {
        /// Which run it is meant for; the latest one when absent.
        meant: Option<Meant>,
        /// The update.
        update: Box<Update>,
    },
    /// An activity of the run ended.
    Activity {
        /// The run that called it.
        run: RunId,
        /// How it ended.
        report: ActivityReport,
    },
    /// A child of the run is under way, or has ended.
    Child {
        /// The run that started it.
        run: RunId,
        /// How it is getting on.
        report: ChildReport,
    },
    /// A message of the run's was accepted by another workflow, or refused.
    External {
        /// The run that sent it.
        run: RunId,
        /// What came of it.
        report: ExternalReport,
    },
}

impl Ask {
    /// Whether it tells a run what came of something that it asked for: of no use to any other, and nobody waits for an
    /// answer.
    pub fn is_report(&self) -> bool {
        match self {
            Self::Activity { .. } | Self::Child { .. } | Self::External { .. } => true,
            Self::Start(_)
            | Self::Signal { .. }
            | Self::Cancel { .. }
            | Self::Terminate { .. }
            | Self::Update { .. } => false,
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
    let reply = reply(headers)?;
    let (origin, ask) = match parts.kind {
        InboxKind::Public { verb, name, .. } => (None, public(verb, name, headers, body, reply.as_deref())?),
        InboxKind::Engine { verb, run, .. } => {
            let run = run.parse().map_err(|_| Rejection::new(Code::BadSubject, "the subject names no run id"))?;
            engine::parse(verb, run, headers, &body)?
        }
    };
    let early = headers.get(header::EARLY).is_some();
    Ok(Request { workflow_id, key, queue, partition: parts.partition, reply, early, origin, ask })
}

fn public(verb: &str, name: &str, headers: &Headers, body: Bytes, reply: Option<&str>) -> Result<Ask, Rejection> {
    let verb = Verb::from_token(verb).ok_or_else(|| {
        let known = Verb::ALL.map(Verb::as_str).join(", ");
        Rejection::new(Code::BadSubject, format!("{verb:?} is no verb; the verbs are {known}"))
    })?;
    let run = parsed(headers, header::RUN, "a run id (a UUID)", |text| text.parse().ok())?;
    let chain = parsed(headers, header::CHAIN, "a run id (a UUID)", |text| text.parse().ok())?;
    if chain.is_some() && matches!(verb, Verb::Start | Verb::Terminate) {
        let text = format!("the header {} is not for the verb {}", header::CHAIN, verb.as_str());
        return Err(Rejection::new(Code::BadHeader, text));
    }
    let meant = || -> Result<Option<Meant>, Rejection> {
        match (run, chain) {
            (Some(_), Some(_)) => {
                let text = format!("a request is for one run ({}) or for a chain ({})", header::RUN, header::CHAIN);
                Err(Rejection::new(Code::BadHeader, text))
            }
            (run, chain) => Ok(run.map(Meant::Run).or(chain.map(Meant::Chain))),
        }
    };
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
        Verb::Start => Ask::Start(Box::new(start::parse(name()?, run, payload()?, headers, reply)?)),
        Verb::Signal => Ask::Signal {
            meant: meant()?,
            signal: Signal { headers: context(headers)?, ..Signal::new(name()?, payload()?) },
        },
        Verb::Update => Ask::Update {
            meant: meant()?,
            update: Box::new(Update {
                id: update_id(headers)?,
                name: name()?,
                input: payload()?,
                headers: context(headers)?,
                reply: reply.map(ToOwned::to_owned),
            }),
        },
        Verb::Cancel => Ask::Cancel { meant: meant()?, reason: reason() },
        Verb::Terminate => Ask::Terminate { run, reason: reason() },
    })
}

fn update_id(headers: &Headers) -> Result<UpdateId, Rejection> {
    let Some(id) = headers.get(header::UPDATE_ID) else {
        let reason = format!("an update names itself in the header {}, so that it is done once", header::UPDATE_ID);
        return Err(Rejection::new(Code::BadHeader, reason));
    };
    UpdateId::from_token(id.trim()).map_err(|e| Rejection::new(Code::BadHeader, e.to_string()))
}

/// The context headers of a message: JSON under [`header::CONTEXT`].
fn context(headers: &Headers) -> Result<Payloads, Rejection> {
    let Some(text) = headers.get(header::CONTEXT) else { return Ok(Payloads::default()) };
    Payloads::from_json(text)
        .ok_or_else(|| Rejection::new(Code::BadHeader, format!("the header {} is no JSON object", header::CONTEXT)))
}

fn millis(headers: &Headers, name: &str) -> Result<Option<Duration>, Rejection> {
    parsed(headers, name, "a number of milliseconds", |text| {
        text.parse().ok().filter(|ms| *ms > 0).map(Duration::from_millis)
    })
}

/// The trace context of a message's headers. One that is not valid is none: tracing is not worth refusing a request
/// for.
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

/// Whether a stranger may have answers sent there. The owner publishes with its own rights, so a sender may only name
/// an inbox: a subject whose first token begins with `_INBOX`.
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
    fn a_request_may_be_for_a_run_or_for_a_chain() {
        let id = "0123456789abcdef0123456789abcdef";
        let meant = |headers: &Headers| match parse_at("q.signal.ship.k", headers, "1").unwrap().ask {
            Ask::Signal { meant, .. } => meant,
            other => panic!("{other:?}"),
        };
        assert_eq!(meant(&Headers::new()), None);
        assert_eq!(meant(&Headers::new().with(header::RUN, id)), Some(Meant::Run(id.parse().unwrap())));
        assert_eq!(meant(&Headers::new().with(header::CHAIN, id)), Some(Meant::Chain(id.parse().unwrap())));
    }

    #[test]
    fn what_cannot_be_understood_says_what_is_wrong() {
        let none = Headers::new();
        assert_eq!(code(parse_at("q.dance.ship.k", &none, "1")), Code::BadSubject);
        assert_eq!(code(parse_at("q.start.ship.k.more", &none, "1")), Code::BadSubject);
        assert_eq!(code(parse_at("q.start.ship.a=2eb", &none, "1")), Code::BadSubject);
        assert_eq!(code(parse_at("q.start.ship.k", &none, "{not json")), Code::BadBody);
        assert_eq!(code(parse_at("q.start.ship.k", &Headers::new().with(header::EXPECT, "x"), "1")), Code::BadHeader);
        let id = "0123456789abcdef0123456789abcdef";
        let both = Headers::new().with(header::RUN, id).with(header::CHAIN, id);
        assert_eq!(code(parse_at("q.signal.ship.k", &both, "1")), Code::BadHeader);
        let chain = Headers::new().with(header::CHAIN, id);
        assert_eq!(code(parse_at("q.start.ship.k", &chain, "1")), Code::BadHeader);
        assert_eq!(code(parse_at("q.terminate._.k", &chain, "")), Code::BadHeader);
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
