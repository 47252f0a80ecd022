//! Everything that a memory broker holds.

use std::time::Duration;

use highwater_protocol::{Headers, Timestamp, partition, subject::Subjects};
use tokio::time::Instant;

use super::{
    MemoryOptions,
    bucket::Values,
    faults::Plan,
    log::{Incoming, Log},
    router::Router,
    work_queue::WorkQueues,
};
use crate::{
    broker::{Bucket, Publish, Schedule, Stream},
    error::{Error, ErrorKind},
    message::{PlainMessage, PubAck},
    rules::{INBOX_WINDOW, check_header, check_subject, matches},
};

/// For how long the streams other than the inbox know an id: what a server does unless it is told otherwise.
const OTHER_WINDOW: Duration = Duration::from_mins(2);

/// All streams.
const STREAMS: [Stream; 5] = [Stream::History, Stream::Inbox, Stream::Tasks, Stream::Timers, Stream::Rejected];
/// All buckets.
const BUCKETS: [Bucket; 4] = [Bucket::Config, Bucket::Workers, Bucket::Offsets, Bucket::Activities];

/// The state.
#[derive(Debug)]
pub(super) struct State {
    /// Which subjects each stream takes.
    takes: Vec<(String, Stream)>,
    transform: Transform,
    task_prefix: String,
    message_max: usize,
    logs: [Log; 5],
    buckets: [Values; 4],
    pub(super) tasks: WorkQueues,
    pub(super) router: Router,
    pub(super) faults: Plan,
}

/// The inbox's subject transform.
#[derive(Debug)]
struct Transform {
    prefix: String,
    root: String,
    partitions: u16,
}

impl State {
    pub(super) fn new(subjects: &Subjects, options: &MemoryOptions) -> Self {
        let takes = vec![
            (subjects.history_all(), Stream::History),
            (subjects.inbox_all(), Stream::Inbox),
            (subjects.public_all(), Stream::Inbox),
            (subjects.task_all(), Stream::Tasks),
            (subjects.timer_all(), Stream::Timers),
            (subjects.fire_all(), Stream::Timers),
            (subjects.rejected_all(), Stream::Rejected),
        ];
        let without_end = |filter: String| filter.trim_end_matches('>').to_owned();
        Self {
            takes,
            transform: Transform {
                prefix: without_end(subjects.public_all()),
                root: without_end(subjects.inbox_all()),
                partitions: subjects.partitions(),
            },
            task_prefix: without_end(subjects.task_all()),
            message_max: options.message_max,
            logs: STREAMS.map(|stream| Log::new(if stream == Stream::Inbox { INBOX_WINDOW } else { OTHER_WINDOW })),
            buckets: BUCKETS.map(|bucket| Values::new(options.ttl(bucket))),
            tasks: WorkQueues::default(),
            router: Router::default(),
            faults: Plan::default(),
        }
    }

    pub(super) fn log(&self, stream: Stream) -> &Log {
        &self.logs[stream as usize]
    }

    pub(super) fn bucket(&mut self, bucket: Bucket) -> &mut Values {
        &mut self.buckets[bucket as usize]
    }

    /// Does what is due: schedules fire, values expire. Tasks come again when somebody wants one.
    pub(super) fn settle(&mut self, now: Timestamp, instant: Instant) {
        for stream in [Stream::Tasks, Stream::Timers] {
            while let Some((at, incoming)) = self.logs[stream as usize].take_due(now) {
                self.store(stream, incoming, at);
            }
        }
        for bucket in &mut self.buckets {
            bucket.settle(instant);
        }
    }

    /// Stores a message, and tells in which stream.
    pub(super) fn publish(&mut self, publish: Publish, now: Timestamp) -> Result<(Stream, PubAck), Error> {
        let Publish { subject, headers, payload, expect_last, id, schedule } = publish;
        check_subject(&subject, None)?;
        self.check_size(&subject, &headers, orders(expect_last, id.as_deref(), schedule.as_ref()), payload.len())?;
        let plain = PlainMessage { subject, reply: None, headers, payload };
        self.router.deliver(&plain);
        let PlainMessage { subject, headers, payload, .. } = plain;
        let stream = self.stream_of(&subject).ok_or_else(|| {
            let text = format!("no stream takes {subject} at the moment; it was not stored");
            Error::new(ErrorKind::NoResponders, text)
        })?;
        if let Some(schedule) = &schedule {
            self.check_schedule(stream, schedule)?;
        }
        let subject = if stream == Stream::Inbox { self.transform.apply(subject) } else { subject };
        let log = &mut self.logs[stream as usize];
        let last = log.last_of(&subject);
        if expect_last.is_some_and(|wanted| wanted != last) {
            let text = format!("storing a message for {subject}: wrong last sequence: {last}");
            return Err(Error::new(ErrorKind::Conflict, text));
        }
        if let Some(seq) = id.as_ref().and_then(|id| log.known(id, now)) {
            return Ok((stream, PubAck { seq, duplicate: true }));
        }
        let seq = self.store(stream, Incoming { subject, headers, payload, schedule, id }, now);
        Ok((stream, PubAck { seq, duplicate: false }))
    }

    /// Hands a message to those who listen, and to the stream that takes it, if one does. Tells whether anybody did.
    pub(super) fn send(&mut self, message: &PlainMessage, now: Timestamp) -> Result<(bool, Option<Stream>), Error> {
        let PlainMessage { subject, reply, headers, payload } = message;
        check_subject(subject, reply.as_deref())?;
        self.check_size(subject, headers, 0, payload.len())?;
        let Some(stream) = self.stream_of(subject) else {
            let heard = self.faults.loses(subject) || self.router.deliver(message);
            return Ok((heard, None));
        };
        let publish = Publish {
            subject: subject.clone(),
            headers: headers.clone(),
            payload: payload.clone(),
            ..Publish::default()
        };
        self.publish(publish, now)?;
        Ok((true, Some(stream)))
    }

    /// Takes a message away, wherever it is known.
    pub(super) fn remove(&mut self, stream: Stream, seq: u64) {
        let removed = self.logs[stream as usize].remove(seq);
        if let Some(message) = removed.filter(|_| stream == Stream::Tasks)
            && let Some(queue) = queue_of(&self.task_prefix, &message.subject)
        {
            self.tasks.forget(queue, seq);
        }
    }

    fn store(&mut self, stream: Stream, incoming: Incoming, time: Timestamp) -> u64 {
        let queue = (stream == Stream::Tasks).then(|| queue_of(&self.task_prefix, &incoming.subject)).flatten();
        let queue = queue.map(str::to_owned);
        let seq = self.logs[stream as usize].store(incoming, time);
        if let Some(queue) = queue {
            self.tasks.add(&queue, seq);
        }
        seq
    }

    fn stream_of(&self, subject: &str) -> Option<Stream> {
        self.takes.iter().find(|(filter, _)| matches(filter, subject)).map(|(_, stream)| *stream)
    }

    fn check_schedule(&self, stream: Stream, schedule: &Schedule) -> Result<(), Error> {
        let refused = |reason: &str| Err(Error::new(ErrorKind::Other, format!("a schedule is refused: {reason}")));
        if !matches!(stream, Stream::Tasks | Stream::Timers) {
            return refused("the stream takes none");
        }
        check_subject(&schedule.target, None)?;
        if self.stream_of(&schedule.target) != Some(stream) {
            return refused("its target is not a subject of the same stream");
        }
        Ok(())
    }

    /// Checks headers, and that a message with orders to the server of this many bytes is not too large.
    fn check_size(&self, subject: &str, headers: &Headers, orders: usize, payload: usize) -> Result<(), Error> {
        let mut lines = orders;
        for (name, value) in headers.iter() {
            check_header(name)?;
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':') {
                return Err(Error::new(ErrorKind::Other, format!("{name:?} cannot be the name of a header")));
            }
            lines += line(name, value.len());
        }
        // The version before the headers, and the empty line behind them.
        let frame = if lines == 0 { 0 } else { "NATS/1.0\r\n\r\n".len() };
        if frame + lines + payload > self.message_max {
            let max = self.message_max;
            let text = format!("a message for {subject} is larger than the server's max_payload of {max}");
            return Err(Error::new(ErrorKind::TooLarge, text));
        }
        Ok(())
    }
}

/// How many bytes a header takes.
fn line(name: &str, value: usize) -> usize {
    name.len() + ": \r\n".len() + value
}

/// How many bytes a publish's orders to the server take.
fn orders(expect: Option<u64>, id: Option<&str>, schedule: Option<&Schedule>) -> usize {
    let expect = expect.map_or(0, |seq| line("Nats-Expected-Last-Subject-Sequence", seq.to_string().len()));
    let id = id.map_or(0, |id| line("Nats-Msg-Id", id.len()));
    let at = |schedule: &Schedule| "@at ".len() + schedule.at.to_rfc3339().len();
    let schedule = schedule.map_or(0, |schedule| {
        line("Nats-Schedule", at(schedule)) + line("Nats-Schedule-Target", schedule.target.len())
    });
    expect + id + schedule
}

/// The token of a task's queue. What a consumer does not take, as the schedule of a later attempt, is of no queue.
pub(super) fn queue_of<'a>(prefix: &str, subject: &'a str) -> Option<&'a str> {
    let mut tokens = subject.strip_prefix(prefix)?.split('.');
    let queue = tokens.nth(1)?;
    (tokens.count() == 4).then_some(queue)
}

impl Transform {
    /// The subject that a public one becomes; any other, and one with too many tokens or too few, stays as it is.
    fn apply(&self, subject: String) -> String {
        let Some(rest) = subject.strip_prefix(&self.prefix) else { return subject };
        match rest.split('.').collect::<Vec<_>>()[..] {
            [verb, queue, name, key] => {
                let partition = partition::of(key, self.partitions);
                format!("{}0.{partition}.{queue}.{verb}.{name}.{key}", self.root)
            }
            _ => subject,
        }
    }
}
