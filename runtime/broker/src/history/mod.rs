//! Histories on a broker: finding the last record of a workflow id, reading a run, appending to it.
//!
//! Both the owner of a run and a client that acts in its place go through here, so that both mean the same by
//! "the last record" and by "appended".

mod read;
pub mod runs;

use std::{fmt::Write, time::Duration};

use bytes::Bytes;
use highwater_protocol::{
    Headers, Key, QueueName, Record, RunId, Status, Timestamp, TypeName,
    event::Attributes,
    header::{self, field},
    ids::RecordId,
    record::{Body, Copies, Frame},
    wire,
};

use crate::{Broker, Error, ErrorKind, Message, PlainMessage, Publish, Stream};

pub use read::{read_back, read_one, read_round, read_run};

/// About how long the fields of a record's header are.
const FIELDS_ABOUT: usize = 128;

/// A record as the stream holds it. The body is decoded when it is asked for, as this build may not be able to.
#[derive(Clone, Debug)]
pub struct StoredRecord {
    /// Its sequence in the history stream.
    pub seq: u64,
    /// When the server stored it; when it was made, for one that was read from a copy.
    pub time: Timestamp,
    /// Its headers: the run's type, queue and status.
    pub headers: Headers,
    /// What the engine needs to append behind it.
    pub frame: Frame,
    copies: Bytes,
    body: Bytes,
}

/// A history cannot be read.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// The broker failed.
    #[error(transparent)]
    Broker(#[from] Error),
    /// A record is damaged, or newer than this build.
    #[error("record {seq} of {subject} {reason}; upgrade this process, or terminate the run if the history is damaged")]
    Unreadable {
        /// The history's subject.
        subject: String,
        /// The record's sequence.
        seq: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// A record that a later one names is gone.
    #[error("record {seq} of run {run} is missing from the history stream; it was deleted, or the server lost it")]
    Missing {
        /// The run.
        run: RunId,
        /// The sequence.
        seq: u64,
    },
}

impl StoredRecord {
    /// Reads a message of the history stream.
    pub fn from_message(message: Message) -> Result<Self, HistoryError> {
        let Message { subject, headers, payload, seq, time } = message;
        match Frame::decode_with_copies(&payload) {
            Ok((frame, copies, body)) => {
                let (copies, body) = (payload.slice_ref(copies), payload.slice_ref(body));
                Ok(Self { seq, time, headers, frame, copies, body })
            }
            Err(error) => Err(HistoryError::Unreadable { subject, seq, reason: error.to_string() }),
        }
    }

    /// The records that this one carries copies of, in order. `seqs` are the sequences of those before it. Copies that
    /// are not of these are none: the records themselves are the truth, and they are read instead.
    fn carried(&self, seqs: &[u64]) -> Vec<Self> {
        self.copies_of(seqs).unwrap_or_else(|| {
            let (run, seq) = (self.frame.run, self.seq);
            tracing::warn!(%run, seq, "a record carries copies that are not of the records before it; those are read");
            Vec::new()
        })
    }

    fn copies_of(&self, seqs: &[u64]) -> Option<Vec<Self>> {
        let copies = Copies::read(&self.copies).ok()?;
        if copies.is_empty() {
            return Some(Vec::new());
        }
        let seqs = seqs.len().checked_sub(copies.len()).filter(|first| *first > 0).map(|first| &seqs[first..])?;
        let first = self.frame.ordinal.checked_sub(copies.len() as u64)?;
        let copies = copies.into_iter().zip(seqs).zip(first..).map(|(((frame, body), seq), ordinal)| {
            let is_right = frame.run == self.frame.run && frame.ordinal == ordinal;
            // It was running then.
            let headers = Headers::new().with(header::RECORD, "");
            is_right.then(|| Self { seq: *seq, time: frame.time, headers, frame, copies: Bytes::new(), body })
        });
        copies.collect()
    }

    /// The events.
    pub fn body(&self) -> Result<Body, HistoryError> {
        wire::decode(&self.body).map_err(|error| HistoryError::Unreadable {
            subject: format!("run {}", self.frame.run),
            seq: self.seq,
            reason: error.to_string(),
        })
    }

    /// The size of the events, in bytes.
    pub fn body_size(&self) -> usize {
        self.body.len()
    }

    /// The events as they are stored.
    pub fn body_bytes(&self) -> &Bytes {
        &self.body
    }

    /// Where the run stands after this record, by its headers.
    pub fn status(&self) -> Option<Status> {
        match self.headers.get(header::STATUS) {
            Some(status) => status.parse().ok(),
            // The first records had no such header, and always a status.
            None => self.headers.get(header::RECORD).map(|_| Status::Running),
        }
    }

    /// The queue of the run, by its header.
    pub fn queue(&self) -> Option<QueueName> {
        QueueName::from_token(self.field(field::QUEUE)?).ok()
    }

    /// The workflow type of the run, by its header.
    pub fn workflow_type(&self) -> Option<TypeName> {
        TypeName::from_token(self.field(field::TYPE)?).ok()
    }

    /// When the run started, by its header.
    pub fn started_at(&self) -> Option<Timestamp> {
        self.field(field::STARTED_AT)?.parse().ok().map(Timestamp)
    }

    fn field(&self, name: &str) -> Option<&str> {
        match self.headers.get(header::RECORD) {
            Some(fields) => field::get(fields, name),
            // The first records had a header for each.
            None => self.headers.get(field::before(name)?),
        }
    }

    /// What the run can be found by after this record, by its header.
    pub fn attributes(&self) -> Attributes {
        self.headers.get(header::ATTRIBUTES).and_then(Attributes::from_json).unwrap_or_default()
    }
}

/// What the headers of a record tell, so that it can be indexed without its payload.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The workflow type.
    pub workflow_type: TypeName,
    /// The queue.
    pub queue: QueueName,
    /// Where the run stands after the record.
    pub status: Status,
    /// When the run started.
    pub started_at: Timestamp,
    /// What the run can be found by after the record.
    pub attributes: Attributes,
    /// The trace of the run; needed in its first and its last record only.
    pub trace: Option<highwater_protocol::event::Trace>,
}

/// A record that is to be appended, encoded once however often that is tried.
#[derive(Clone, Debug)]
pub struct NewRecord {
    id: RecordId,
    run: RunId,
    time: Timestamp,
    /// It begins its run.
    first: bool,
    payload: Bytes,
    /// Where the body begins in that.
    body: usize,
    summary: Summary,
}

impl NewRecord {
    /// Encodes a record.
    pub fn new(record: &Record, summary: Summary) -> Self {
        Self::carrying(record, &[], summary)
    }

    /// Encodes a record that carries [`Copies`] of those before it.
    pub fn carrying(record: &Record, copies: &[u8], summary: Summary) -> Self {
        let Frame { run, record: id, time, ordinal, .. } = record.frame;
        let body = record.frame.body_start(copies.len());
        Self { id, run, time, first: ordinal == 0, payload: record.encode_with_copies(copies), body, summary }
    }

    /// The record's own id.
    pub fn id(&self) -> RecordId {
        self.id
    }

    /// The record as it is stored.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// Its events as they are stored.
    pub fn body(&self) -> Bytes {
        self.payload.slice(self.body..)
    }

    /// Its headers.
    pub fn headers(&self) -> Headers {
        self.summary.headers(self.run, self.time, self.first)
    }

    /// The message that stores it behind the one at sequence `expect`.
    fn publish(&self, subject: String, expect: u64) -> Publish {
        let (headers, payload) = (self.headers(), self.payload.clone());
        Publish { subject, headers, payload, expect_last: Some(expect), ..Publish::default() }
    }
}

impl Summary {
    /// The headers of a record of `run` made at `time`.
    fn headers(&self, run: RunId, time: Timestamp, first: bool) -> Headers {
        let mut fields = String::with_capacity(FIELDS_ABOUT);
        let (workflow_type, queue) = (self.workflow_type.to_key(), self.queue.to_key());
        let mut run_text = uuid::Uuid::encode_buffer();
        let run: &str = run.0.simple().encode_lower(&mut run_text);
        // Piece by piece, as this is done for every record and formatting takes twice as long.
        let named = [(field::RUN, run), (field::TYPE, workflow_type.as_str()), (field::QUEUE, queue.as_str())];
        for (name, value) in named {
            for piece in [name, "=", value, ";"] {
                fields.push_str(piece);
            }
        }
        let _ = write!(fields, "{}={}", field::STARTED_AT, self.started_at.as_micros());
        if self.status.is_closed() {
            let _ = write!(fields, ";{}={}", field::CLOSED_AT, time.as_micros());
        }
        let mut headers = Headers::new().with(header::RECORD, fields);
        if self.status != Status::Running {
            headers.insert(header::STATUS, self.status.as_str());
        }
        // Between the first and the last record nobody looks for it there.
        if let Some(trace) = self.trace.as_ref().filter(|_| first || self.status.is_closed()) {
            headers.insert(header::TRACEPARENT, trace.parent.clone());
            headers = headers.with_opt(header::TRACESTATE, trace.state.clone());
        }
        let attributes = (!self.attributes.is_empty()).then(|| self.attributes.to_json());
        headers.with_opt(header::ATTRIBUTES, attributes)
    }
}

/// How fresh an answer must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// From the leader: a miss is proof of absence.
    Leader,
    /// From any replica: a hint.
    Any,
}

/// The last record of a workflow id.
pub async fn last(broker: &dyn Broker, key: &Key, freshness: Freshness) -> Result<Option<StoredRecord>, HistoryError> {
    let subject = broker.subjects().history(key);
    let message = match freshness {
        Freshness::Leader => broker.last_from_leader(Stream::History, subject).await?,
        Freshness::Any => broker.last(Stream::History, subject).await?,
    };
    message.map(StoredRecord::from_message).transpose()
}

/// What became of a record that was to be appended.
#[derive(Debug)]
pub enum Appended {
    /// It is in the history, at this sequence.
    Stored(u64),
    /// Another record is the last one now. Whether this one is in the history before it, the history tells: drop what
    /// was known of the run and read it again.
    Lost,
}

/// Appends a record behind the one at sequence `expect` (0: as the first of its subject) and waits until it is clear
/// what became of it: an answer that got lost is looked up by the record's own id. Only an error that a retry cannot
/// mend is returned.
pub async fn append(broker: &dyn Broker, key: &Key, record: &NewRecord, expect: u64) -> Result<Appended, Error> {
    match broker.publish(record.publish(broker.subjects().history(key), expect)).await {
        Ok(ack) => Ok(Appended::Stored(ack.seq)),
        // Thousands are on their way at once, and this is for few of them.
        Err(error) => Box::pin(append_in_spite_of(broker, key, record, expect, error)).await,
    }
}

/// The same with an answer to whoever asked for what the record tells, which goes out right behind it. Says also
/// whether it counts for him: then nobody has to tell him again.
pub async fn append_with_answer(
    broker: &dyn Broker,
    key: &Key,
    record: &NewRecord,
    expect: u64,
    answer: PlainMessage,
) -> Result<(Appended, bool), Error> {
    match broker.publish_with_answer(record.publish(broker.subjects().history(key), expect), answer).await {
        Ok((ack, was_sent)) => Ok((Appended::Stored(ack.seq), was_sent)),
        Err(error) => {
            let appended = Box::pin(append_in_spite_of(broker, key, record, expect, error)).await?;
            Ok((appended, false))
        }
    }
}

/// What becomes of a record after an error: it is looked up, and tried again.
async fn append_in_spite_of(
    broker: &dyn Broker,
    key: &Key,
    record: &NewRecord,
    expect: u64,
    mut error: Error,
) -> Result<Appended, Error> {
    const PAUSE_MIN: Duration = Duration::from_millis(50);
    const PAUSE_MAX: Duration = Duration::from_secs(2);
    let subject = broker.subjects().history(key);
    // A server with replicas acknowledges a record a moment before it forgets that one to this subject is under way,
    // and refuses the next one meanwhile. By the time that it was looked for, it will be taken.
    let mut pause = if error.kind == ErrorKind::UnderWay { Duration::ZERO } else { PAUSE_MIN };
    loop {
        if error.kind != ErrorKind::Conflict && !error.is_retryable() {
            return Err(error);
        }
        // Whoever wrote, it may have been us: the server had stored it and the answer was lost.
        match broker.last_from_leader(Stream::History, subject.clone()).await {
            Ok(last) => {
                let last_seq = last.as_ref().map_or(0, |message| message.seq);
                let ours = last.is_some_and(|m| Frame::decode(&m.payload).is_ok_and(|(f, _)| f.record == record.id));
                if ours {
                    return Ok(Appended::Stored(last_seq));
                }
                if last_seq != expect {
                    return Ok(Appended::Lost);
                }
            }
            Err(error) if !error.is_retryable() => return Err(error),
            Err(_) => {}
        }
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        pause = (pause * 2).clamp(PAUSE_MIN, PAUSE_MAX);
        match broker.publish(record.publish(subject.clone(), expect)).await {
            Ok(ack) => return Ok(Appended::Stored(ack.seq)),
            Err(again) => error = again,
        }
    }
}

#[cfg(test)]
mod tests {
    use highwater_protocol::{Namespace, WorkflowId};

    use super::*;
    use crate::memory::MemoryOptions;

    fn frame() -> Frame {
        Frame {
            run: RunId::generate(),
            record: RecordId::generate(),
            ordinal: 0,
            first_event: 1,
            time: Timestamp(9),
            marks: highwater_protocol::record::Marks::default(),
            closed: false,
            back: Vec::new(),
        }
    }

    fn summary(status: Status) -> Summary {
        Summary {
            workflow_type: TypeName::new("order").unwrap(),
            queue: QueueName::new("shop").unwrap(),
            status,
            started_at: Timestamp(7),
            attributes: Attributes::default(),
            trace: None,
        }
    }

    #[test]
    fn what_a_run_is_found_by_is_read_from_the_headers_of_every_version() {
        let payload = Record { frame: frame(), body: Body::default() }.encode();
        let first = Headers::new().with("Hw-Type", "a=2Eb").with("Hw-Queue", "shop").with("Hw-Started", "7");
        let now = Headers::new().with(header::RECORD, "run=1;type=a=2Eb;queue=shop;started=7");
        for headers in [first, now] {
            let message =
                Message { subject: "s".into(), headers, payload: payload.clone(), seq: 1, time: Timestamp(9) };
            let record = StoredRecord::from_message(message).unwrap();
            assert_eq!(record.workflow_type().unwrap().as_str(), "a.b");
            assert_eq!(record.queue().unwrap().as_str(), "shop");
            assert_eq!(record.started_at(), Some(Timestamp(7)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_record_that_nothing_is_in_the_way_of_is_sent_again_at_once_and_then_after_pauses() {
        let broker = MemoryOptions::new(Namespace::new("test").unwrap()).build();
        let key = WorkflowId::new("a").unwrap().to_key();
        let record = || Record { frame: frame(), body: Body::default() };
        let new = |record: &Record| NewRecord::new(record, summary(Status::Running));
        let Appended::Stored(first) = append(&broker, &key, &new(&record()), 0).await.unwrap() else { panic!() };
        for (refused, waited) in [(0, 0), (1, 0), (2, 50), (3, 150)] {
            broker.faults().refuse_publishes("hw.test.h.>", refused);
            let begun = tokio::time::Instant::now();
            let expect = broker.last_seq(Stream::History).await.unwrap();
            assert!(matches!(append(&broker, &key, &new(&record()), expect).await, Ok(Appended::Stored(_))));
            assert_eq!(begun.elapsed(), Duration::from_millis(waited), "{refused}");
        }
        // One that another record is in the way of has lost.
        assert!(matches!(append(&broker, &key, &new(&record()), first).await, Ok(Appended::Lost)));
    }

    #[tokio::test]
    async fn a_history_is_read_whole_and_in_order_whatever_its_length() {
        let broker = MemoryOptions::new(Namespace::new("test").unwrap()).build();
        let key = WorkflowId::new("a").unwrap().to_key();
        let (mut next, mut seqs) = (frame(), Vec::new());
        for ordinal in 0..200 {
            let record = Record { frame: next.clone(), body: Body::default() };
            let expect = seqs.last().copied().unwrap_or(0);
            let new = NewRecord::new(&record, summary(Status::Running));
            let Ok(Appended::Stored(seq)) = append(&broker, &key, &new, expect).await else { panic!("{ordinal}") };
            seqs.push(seq);
            let last = last(&broker, &key, Freshness::Leader).await.unwrap().unwrap();
            let read: Vec<_> = read_run(&broker, last).await.unwrap().iter().map(|record| record.seq).collect();
            assert_eq!(read, seqs);
            next = Frame { record: RecordId::generate(), ordinal: ordinal + 1, back: next.next_back(seq), ..next };
        }
    }

    #[test]
    fn a_record_names_the_status_of_a_run_unless_that_goes_on() {
        let frame = frame();
        let (run, time) = (frame.run, frame.time);
        let payload = Record { frame, body: Body::default() }.encode();
        let stored = |headers| {
            let message =
                Message { subject: "s".into(), headers, payload: payload.clone(), seq: 1, time: Timestamp(9) };
            StoredRecord::from_message(message).unwrap()
        };
        for status in [Status::Running, Status::Blocked, Status::Completed, Status::ContinuedAsNew] {
            let headers = summary(status).headers(run, time, true);
            assert_eq!(headers.get(header::STATUS).is_none(), status == Status::Running, "{status}");
            assert_eq!(stored(headers).status(), Some(status));
        }
        // As the first records had it, and as nobody has it.
        let named = |status| Headers::new().with(header::STATUS, status).with("Hw-Queue", "shop");
        assert_eq!(stored(named("running")).status(), Some(Status::Running));
        assert_eq!(stored(named("of a later version")).status(), None);
        assert_eq!(stored(Headers::new()).status(), None);
    }
}
