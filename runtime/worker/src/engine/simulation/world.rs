//! What outlives workers: the streams, the leases and the activities, as a small model of what the server does.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use highwater_broker::{
    Message,
    history::{NewRecord, StoredRecord, Summary},
};
use highwater_protocol::{
    Event, Headers, Key, Namespace, OpId, Payload, QueueName, Record, RunId, Status, Timestamp, TypeName, UpdateId,
    event::{Attributes, Sender},
    header,
    ids::RecordId,
    lease::Lease,
    record::{Body, Frame, Mark, Marks},
    reply::Reply,
    request::{Ask, IdReuse, StartRequest, parse},
    subject::{EngineVerb, Subjects, Verb},
    task::{ActivityReport, ActivityTask},
    timer::{Fire, TimerId},
    wire,
};

use super::super::{Left, Loaded, UnitId};

/// A request that somebody made, as the check at the end wants to know it.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) key: Key,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    Start(RunId),
    Signal(u64),
    Update(UpdateId),
    Other,
}

pub(super) struct World {
    pub(super) subjects: Subjects,
    pub(super) queue: QueueName,
    pub(super) time: Timestamp,
    pub(super) history: BTreeMap<Key, Vec<Message>>,
    pub(super) history_seq: u64,
    pub(super) inbox: Vec<Message>,
    pub(super) fires: Vec<Message>,
    pub(super) timers: BTreeMap<(Key, RunId, TimerId), (Timestamp, UnitId)>,
    pub(super) timer_seq: u64,
    pub(super) tasks: BTreeMap<(RunId, OpId), ActivityTask>,
    pub(super) worked: BTreeSet<(RunId, OpId)>,
    pub(super) leases: BTreeMap<UnitId, (Lease, u64)>,
    pub(super) asked: BTreeMap<u64, Asked>,
    pub(super) rejected: BTreeMap<u64, u32>,
    /// What senders were told, by the sequence of their request: accepted or rejected.
    pub(super) told: BTreeMap<u64, BTreeSet<bool>>,
    /// Two may send at once, so that a task may be sent after its outcome.
    pub(super) zombies: bool,
}

impl World {
    pub(super) fn new(partitions: u16) -> Self {
        let leases = (0..partitions).map(|partition| (UnitId { queue: 0, partition }, (Lease::default(), 1)));
        Self {
            subjects: Subjects::new(&Namespace::default(), partitions),
            queue: QueueName::new("q").unwrap(),
            time: Timestamp::from_millis(1_000_000),
            history: BTreeMap::new(),
            history_seq: 0,
            inbox: Vec::new(),
            fires: Vec::new(),
            timers: BTreeMap::new(),
            timer_seq: 0,
            tasks: BTreeMap::new(),
            worked: BTreeSet::new(),
            leases: leases.collect(),
            asked: BTreeMap::new(),
            rejected: BTreeMap::new(),
            told: BTreeMap::new(),
            zombies: false,
        }
    }

    pub(super) fn unit_of(&self, key: &Key) -> UnitId {
        UnitId { queue: 0, partition: key.partition(self.subjects.partitions()) }
    }

    fn request(&mut self, subject: String, headers: Headers, payload: Bytes) -> u64 {
        let seq = self.inbox.len() as u64 + 1;
        self.time = self.time.after(Duration::from_micros(10));
        self.inbox.push(Message { subject, headers, payload, seq, time: self.time });
        seq
    }

    fn reply_of(&self) -> String {
        format!("_INBOX.sim.{}", self.inbox.len() + 1)
    }

    /// Whether the next sender takes early answers. Every second one does.
    fn early(&self) -> Option<&'static str> {
        self.inbox.len().is_multiple_of(2).then_some("1")
    }

    /// A sender hears what became of its request.
    pub(super) fn tell(&mut self, to: &str, reply: &Reply) {
        let seq = to.rsplit('.').next().and_then(|seq| seq.parse().ok()).unwrap();
        match reply {
            Reply::Accepted { .. } | Reply::Updated(_) => drop(self.told.entry(seq).or_default().insert(true)),
            Reply::Rejected(_) | Reply::Closed(_) => {}
        }
    }

    pub(super) fn start(&mut self, key: &Key, input: &[u8], expect: Option<u64>) -> (u64, RunId) {
        let run = RunId::generate();
        let start = StartRequest {
            run: Some(run),
            expect,
            id_reuse: IdReuse::Allow,
            ..StartRequest::new(TypeName::new("plan").unwrap(), Payload::json(input.to_vec()))
        };
        let subject = self.subjects.inbox_public(Verb::Start, &self.queue, Some(&start.workflow_type), key);
        let headers = start.message(Some(&self.reply_of())).0.with_opt(header::EARLY, self.early());
        let seq = self.request(subject, headers, Bytes::from(input.to_vec()));
        self.asked.insert(seq, Asked { key: key.clone(), what: What::Start(run) });
        (seq, run)
    }

    pub(super) fn signal(&mut self, key: &Key, number: u64) {
        let subject =
            self.subjects.inbox_public(Verb::Signal, &self.queue, Some(&TypeName::new("value").unwrap()), key);
        let headers = Headers::new().with(header::REPLY, self.reply_of()).with_opt(header::EARLY, self.early());
        let seq = self.request(subject, headers, Bytes::from(number.to_string()));
        self.asked.insert(seq, Asked { key: key.clone(), what: What::Signal(number) });
    }

    pub(super) fn update(&mut self, key: &Key, number: u64, later: bool) {
        let name = TypeName::new(if later { "double later" } else { "double" }).unwrap();
        let subject = self.subjects.inbox_public(Verb::Update, &self.queue, Some(&name), key);
        let id = UpdateId::new(format!("u-{number}")).unwrap();
        let headers = Headers::new()
            .with(header::REPLY, self.reply_of())
            .with_opt(header::EARLY, self.early())
            .with(header::UPDATE_ID, id.to_key().to_string());
        let seq = self.request(subject, headers, Bytes::from(number.to_string()));
        self.asked.insert(seq, Asked { key: key.clone(), what: What::Update(id) });
    }

    /// A run sends something to another one.
    pub(super) fn post(&mut self, subject: String, payload: Bytes) {
        self.request(subject, Headers::new(), payload);
    }

    /// The operations of runs whose messages somebody has answered, whether or not they were there to hear it.
    pub(super) fn answered(&self) -> BTreeSet<Sender> {
        let request =
            |message: &Message| parse(&self.subjects, &message.subject, &message.headers, message.payload.clone()).ok();
        let reports = self.inbox.iter().filter_map(request).filter_map(|request| match request.ask {
            Ask::External { run, report } => Some(Sender { run, op: report.op }),
            _ => None,
        });
        reports.collect()
    }

    pub(super) fn terminate(&mut self, key: &Key, run: RunId) {
        let subject = self.subjects.inbox_public(Verb::Terminate, &self.queue, None, key);
        let headers = Headers::new().with(header::RUN, run.to_string());
        let seq = self.request(subject, headers, Bytes::new());
        self.asked.insert(seq, Asked { key: key.clone(), what: What::Other });
    }

    /// A worker does a task: the outcome first, and then the task is let go of, unless the worker dies in between.
    pub(super) fn work(&mut self, at: usize, let_go: bool) {
        let Some(((run, op), task)) = self.tasks.iter().nth(at).map(|(id, task)| (*id, task.clone())) else { return };
        let n: u64 = task.call.input.decode().unwrap();
        let outcome =
            highwater_protocol::event::Outcome::Completed(Payload::encode(&super::workflows::worked(n)).unwrap());
        let report = ActivityReport { op, attempt: 1, outcome };
        let subject = self.subjects.inbox_engine(EngineVerb::Activity, &self.queue, run, &task.workflow_id.to_key());
        self.request(subject, Headers::new(), wire::encode(&report));
        if let_go {
            self.tasks.remove(&(run, op));
            self.worked.insert((run, op));
        }
    }

    /// The highest outcome of a run in its inbox.
    pub(super) fn last_outcome(&self, run: RunId, key: &Key) -> Option<u64> {
        let subject = self.subjects.inbox_engine(EngineVerb::Activity, &self.queue, run, key);
        self.inbox.iter().rev().find(|message| message.subject == subject).map(|message| message.seq)
    }

    pub(super) fn fire(&mut self, late: impl Fn() -> bool) {
        let due: Vec<_> =
            self.timers.iter().filter(|(_, (at, _))| *at <= self.time && !late()).map(|(id, _)| id.clone()).collect();
        for id in due {
            let (_, unit) = self.timers.remove(&id).unwrap();
            self.timer_seq += 1;
            let (key, run, timer) = id;
            self.fires.push(Message {
                subject: self.subjects.fire(unit.partition, &self.queue),
                headers: Headers::new(),
                payload: wire::encode(&Fire { key, run, timer }),
                seq: self.timer_seq,
                time: self.time,
            });
        }
    }

    pub(super) fn last(&self, key: &Key) -> Option<StoredRecord> {
        let message = self.history.get(key)?.last()?;
        Some(StoredRecord::from_message(message.clone()).unwrap())
    }

    /// A conditional append.
    pub(super) fn append(&mut self, key: &Key, record: &NewRecord, expect: u64) -> Option<u64> {
        let records = self.history.entry(key.clone()).or_default();
        if records.last().map_or(0, |last| last.seq) != expect {
            return None;
        }
        self.history_seq += 1;
        records.push(Message {
            subject: self.subjects.history(key),
            headers: record.headers(),
            payload: record.payload().clone(),
            seq: self.history_seq,
            time: self.time,
        });
        Some(self.history_seq)
    }

    pub(super) fn load(&self, key: &Key, all: bool, left: bool) -> Loaded {
        let Some(last) = self.last(key) else { return Loaded::Absent };
        let whole = all || !last.frame.closed;
        let mut records = vec![last.clone()];
        if whole {
            let mut back = last.frame.back;
            while !back.is_empty() {
                let round: Vec<StoredRecord> = back.iter().map(|seq| self.record(key, *seq)).collect();
                back.clone_from(&round[0].frame.back);
                records.extend(round.into_iter().rev());
            }
        }
        records.reverse();
        let left = records.first().filter(|_| whole && left).and_then(|first| self.left_behind(key, first));
        let decode = |record: StoredRecord| (record.clone(), record.body().unwrap().events);
        let records: Vec<_> = records.into_iter().map(decode).collect();
        let before = match records[0].1.first() {
            Some(Event::Started(started)) if started.continued_from.is_none() => {
                Some(started.prior.map_or(0, |prior| self.record(key, prior).frame.marks.inbox.seq))
            }
            _ => None,
        };
        Loaded::Records { records, whole, before, left }
    }

    fn left_behind(&self, key: &Key, first: &StoredRecord) -> Option<Left> {
        let body = first.body().unwrap();
        let (run, mut back, last, time) = match (body.previous, body.events.first()) {
            (Some(previous), _) => (previous.run, previous.back.clone(), previous.events, first.frame.time),
            (None, Some(Event::Started(started))) => {
                let prior = self.record(key, started.prior?);
                (prior.frame.run, prior.frame.back.clone(), prior.body().unwrap().events, prior.frame.time)
            }
            _ => return None,
        };
        let mut earlier = Vec::new();
        while !back.is_empty() {
            let round: Vec<StoredRecord> = back.iter().map(|seq| self.record(key, *seq)).collect();
            back.clone_from(&round[0].frame.back);
            earlier.extend(round.into_iter().rev());
        }
        let earlier: Vec<_> =
            earlier.into_iter().rev().map(|record| (record.body().unwrap().events, record.frame.time)).collect();
        let earlier = earlier.iter().map(|(events, time)| (events.as_slice(), *time));
        Left::of(run, earlier.chain([(last.as_slice(), time)]))
    }

    fn record(&self, key: &Key, seq: u64) -> StoredRecord {
        let found = self.history[key].iter().find(|message| message.seq == seq).expect("a history names its records");
        StoredRecord::from_message(found.clone()).unwrap()
    }

    /// What a client does that nobody answered.
    pub(super) fn stand_in(&mut self, key: &Key, seq: u64, run: RunId, expect: u64) {
        let last = self.last(key);
        let request = self.inbox[seq as usize - 1].clone();
        let headers = &request.headers;
        let reply = headers.get(header::REPLY).map(str::to_owned);
        let before = last.as_ref().map(|last| last.frame.marks).unwrap_or_default();
        let started = highwater_protocol::Started {
            reply,
            prior: last.map(|last| last.seq),
            ..highwater_protocol::Started::new(
                highwater_protocol::WorkflowId::new(key.as_str()).unwrap(),
                TypeName::new("plan").unwrap(),
                self.queue.clone(),
                Payload::json(request.payload.clone()),
            )
        };
        let mark = Mark { seq, time: request.time };
        let marks = Marks { inbox: before.inbox.max(mark), fires: before.fires };
        let frame = self.frame(run, 0, 1, marks, false, Vec::new());
        let body = Body { events: vec![Event::Started(Box::new(started))], previous: None };
        let summary = self.summary(Status::Running);
        self.append(key, &NewRecord::new(&Record { frame, body }, summary), expect);
    }

    /// What a client does to end a run.
    pub(super) fn close(&mut self, key: &Key, run: RunId) {
        let Some(last) = self.last(key) else { return };
        if last.frame.run != run || last.frame.closed {
            return;
        }
        let events = last.body().unwrap().events.len() as u64;
        let (ordinal, first) = (last.frame.ordinal + 1, last.frame.first_event + events);
        let frame = self.frame(run, ordinal, first, last.frame.marks, true, last.frame.next_back(last.seq));
        let body = Body { events: vec![Event::Terminated { reason: "why".into() }], previous: None };
        let summary = self.summary(Status::Terminated);
        self.append(key, &NewRecord::new(&Record { frame, body }, summary), last.seq);
    }

    fn frame(&self, run: RunId, ordinal: u64, first_event: u64, marks: Marks, closed: bool, back: Vec<u64>) -> Frame {
        Frame { run, record: RecordId::generate(), ordinal, first_event, time: self.time, marks, closed, back }
    }

    fn summary(&self, status: Status) -> Summary {
        Summary {
            workflow_type: TypeName::new("plan").unwrap(),
            queue: self.queue.clone(),
            status,
            started_at: self.time,
            attributes: Attributes::default(),
            trace: None,
        }
    }
}
