//! What is encoded, decoded and parsed.

use bytes::Bytes;
use highwater_protocol::{
    Event, Headers, Key, Namespace, OpId, Payload, QueueName, Record, RunId, Timestamp, TypeName, WorkflowId,
    event::Outcome,
    header,
    ids::RecordId,
    record::{Body, Frame, Mark, Marks},
    request::{self, Request},
    subject::{EngineVerb, Subjects, Verb},
    task::ActivityReport,
    wire,
};
use uuid::Uuid;

use crate::runs::{Live, RUN, registry};

/// The record of an activity's result and of the call that follows it, in the middle of a run.
pub fn record() -> Record {
    let history = Live::at(&registry(), "calls", 100, 10).into_history();
    let (events, time) = history.into_iter().next_back().expect("it has records");
    let mark = |seq| Mark { seq, time: Timestamp(1_795_392_478_123_456) };
    let frame = Frame {
        run: RUN,
        record: RecordId(Uuid::from_u128(9)),
        ordinal: 10,
        first_event: 20,
        time,
        marks: Marks { inbox: mark(12_345), fires: mark(678) },
        closed: false,
        back: (1..=10).map(|seq| seq * 1_000).collect(),
    };
    Record { frame, body: Body { events, previous: None } }
}

/// The same without events: a frame, and next to nothing behind it.
pub fn bare_record() -> Record {
    Record { body: Body::default(), ..record() }
}

/// The frame alone, as an owner reads it that looks at a history's end.
pub fn decode_frame(bytes: &[u8]) -> Frame {
    Frame::decode(bytes).expect("it was encoded here").0
}

/// A message of the inbox.
#[derive(Debug)]
pub struct Inbound {
    subject: String,
    headers: Headers,
    body: Bytes,
}

/// The subjects of the default namespace.
pub fn subjects() -> Subjects {
    Subjects::new(&Namespace::default(), 64)
}

/// A workflow id as people give them.
pub fn key() -> Key {
    WorkflowId::new("order-17").expect("an id").to_key()
}

fn queue() -> QueueName {
    QueueName::new("shop").expect("a name")
}

/// A start, as the client sends it.
pub fn start() -> Inbound {
    let name = TypeName::new("order").expect("a name");
    let headers = Headers::new()
        .with(header::REPLY, "_INBOX.abcdefghijkl.1")
        .with(header::RUN, RunId(Uuid::from_u128(5)).to_string())
        .with(header::EXPECT, "0");
    let subject = subjects().inbox_public(Verb::Start, &queue(), Some(&name), &key());
    Inbound { subject, headers, body: Bytes::from_static(b"{\"item\":\"tea\",\"cents\":490}") }
}

/// A signal, as the client sends it.
pub fn signal() -> Inbound {
    let name = TypeName::new("approve").expect("a name");
    let headers = Headers::new().with(header::REPLY, "_INBOX.abcdefghijkl.1");
    let subject = subjects().inbox_public(Verb::Signal, &queue(), Some(&name), &key());
    Inbound { subject, headers, body: Bytes::from_static(b"true") }
}

/// The outcome of an activity, as its worker sends it.
pub fn outcome() -> Inbound {
    let report =
        ActivityReport { op: OpId(3), attempt: 1, outcome: Outcome::Completed(Payload::json("{\"receipt\":17}")) };
    let subject = subjects().inbox_engine(EngineVerb::Activity, &queue(), RUN, &key());
    Inbound { subject, headers: Headers::new(), body: wire::encode(&report) }
}

/// What a message asks.
pub fn parse(subjects: &Subjects, inbound: &Inbound) -> Request {
    request::parse(subjects, &inbound.subject, &inbound.headers, inbound.body.clone()).expect("it is a request")
}

/// The subjects of one activity call: of the record, the task and the outcome.
pub fn make_subjects(subjects: &Subjects, queue: &QueueName, key: &Key) -> [String; 3] {
    [
        subjects.history(key),
        subjects.task(queue, RUN, OpId(3), 1),
        subjects.inbox_engine(EngineVerb::Activity, queue, RUN, key),
    ]
}

/// The events of a record, as a replay reads them.
pub fn decode(bytes: &[u8]) -> Vec<Event> {
    Record::decode(bytes).expect("it was encoded here").body.events
}
