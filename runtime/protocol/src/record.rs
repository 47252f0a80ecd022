//! Records: one transition of a run in one message.
//!
//! A record is a *frame* in a fixed binary format that never changes, followed by a *body* in MessagePack. The frame
//! alone is enough to append behind a record whose body this build cannot read.
//!
//! ```text
//! offset  size  field (integers are little-endian)
//!      0     2  "HW"
//!      2     1  frame version, 1
//!      3     1  flags: bit 0 = the run is closed by this record, bit 1 = it carries copies
//!      4    16  run id
//!     20    16  record id
//!     36     8  ordinal of the record in its run, from 0
//!     44     8  number of the first event of the record in its run, from 1
//!     52     8  workflow time of the transition, µs since the epoch
//!     60    16  inbox mark: sequence, server timestamp in µs
//!     76    16  fired-timer mark: likewise
//!     92     2  n: how many earlier sequences follow
//!     94   8·n  sequences of earlier records of the run
//! ```
//!
//! With copies there stand behind that, before the body:
//!
//! ```text
//!   size  field
//!      4  how many bytes of copies follow
//!      …  each copy: its size in 4 bytes, and a frame without earlier sequences and copies, with its body
//! ```
//!
//! The earlier sequences of record `o` are those of records `⌊(o-1)/64⌋·64` to `o-1`: a multiple of 64 carries the 64
//! before it, every other record those since the last multiple of 64. So a history of n records is read in ⌈n/64⌉
//! rounds of parallel reads by sequence, whatever the size of the stream.
//!
//! A record whose ordinal is a multiple of 8, from 16 on, may carry copies of the 7 before it, when they are small and
//! the run was running after each. Whoever reads the run then reads one message instead of eight.

use std::{fmt, str::FromStr};

use bytes::{BufMut, Bytes};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    event::{Class, Event},
    ids::{RecordId, RunId},
    time::Timestamp,
    wire::{self, Error},
};

/// How many sequences a record carries at most.
pub const BACK_MAX: usize = 64;

/// A record whose ordinal is a multiple of this may carry copies of those since the one before that is.
pub const COPIES_EVERY: u64 = 8;
/// The ordinal of the first record of a run that is ever copied. Most runs are short, and no larger for it.
pub const COPIES_FROM: u64 = 9;

/// What most bodies need, in bytes.
const BODY_SMALL: usize = 512;

const MAGIC: &[u8; 2] = b"HW";
const VERSION: u8 = 1;
const CLOSED: u8 = 1;
const COPIES: u8 = 2;
/// The size of a frame that carries no earlier sequences, in bytes.
pub const FRAME_MIN: usize = 94;

/// How far a run has consumed a source: everything up to and including `seq` is in its history or was of no concern.
///
/// The server timestamp of that message shows when a stream went backwards (a server that lost its disk's last writes
/// hands out the same sequences again, with newer timestamps).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The sequence.
    pub seq: u64,
    /// The server timestamp of that message.
    pub time: Timestamp,
}

impl Mark {
    /// The later of two marks.
    pub fn max(self, other: Self) -> Self {
        if other.seq > self.seq { other } else { self }
    }
}

/// The marks of the two sources that a run consumes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    /// Requests.
    pub inbox: Mark,
    /// Fired timers.
    pub fires: Mark,
}

/// The part of a record that never changes its format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The run that the record belongs to, or that it starts.
    pub run: RunId,
    /// The record's own id.
    pub record: RecordId,
    /// The record's place in its run, from 0.
    pub ordinal: u64,
    /// The number of the record's first event in its run, from 1.
    pub first_event: u64,
    /// The workflow's time during the transition.
    pub time: Timestamp,
    /// How far the run has consumed its sources.
    pub marks: Marks,
    /// Whether the run is closed.
    pub closed: bool,
    /// The sequences of earlier records of the run.
    pub back: Vec<u64>,
}

/// One transition of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// What the engine needs to append the next one.
    pub frame: Frame,
    /// What happened.
    pub body: Body,
}

/// The events of a record.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Body {
    /// The events, inbound ones before the commands that followed from them.
    #[serde(rename = "e")]
    pub events: Vec<Event>,
    /// When this record ends one run and starts the next: the end of the one before.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Box<PreviousRun>>,
}

/// The last transition of a run that continued as another one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PreviousRun {
    /// That run.
    pub run: RunId,
    /// The ordinal of this record in it.
    pub ordinal: u64,
    /// The number of the first event below in it.
    pub first_event: u64,
    /// The sequences of its earlier records, by the rule of the frame.
    pub back: Vec<u64>,
    /// Its last events.
    pub events: Vec<Event>,
}

impl Frame {
    /// The sequences that the record after this one carries, when this one was stored at `seq`.
    pub fn next_back(&self, seq: u64) -> Vec<u64> {
        let mut back = if self.ordinal.is_multiple_of(BACK_MAX as u64) { Vec::new() } else { self.back.clone() };
        back.push(seq);
        debug_assert!(back.len() <= BACK_MAX);
        back
    }

    /// The ordinal of the first of `back`.
    pub fn back_start(&self) -> u64 {
        self.ordinal - self.back.len() as u64
    }

    /// Where the body begins in a record that carries copies of so many bytes.
    pub fn body_start(&self, copies: usize) -> usize {
        let copies = if copies == 0 { 0 } else { size_of::<u32>() + copies };
        FRAME_MIN + size_of_val(self.back.as_slice()) + copies
    }

    fn encode(&self, back: &[u64], copies: &[u8], out: &mut Vec<u8>) {
        assert!(back.len() <= BACK_MAX, "a record carries at most {BACK_MAX} sequences");
        out.put_slice(MAGIC);
        out.put_u8(VERSION);
        out.put_u8(if self.closed { CLOSED } else { 0 } | if copies.is_empty() { 0 } else { COPIES });
        out.put_slice(self.run.0.as_bytes());
        out.put_slice(self.record.0.as_bytes());
        out.put_u64_le(self.ordinal);
        out.put_u64_le(self.first_event);
        out.put_i64_le(self.time.0);
        for mark in [self.marks.inbox, self.marks.fires] {
            out.put_u64_le(mark.seq);
            out.put_i64_le(mark.time.0);
        }
        out.put_u16_le(back.len() as u16);
        for seq in back {
            out.put_u64_le(*seq);
        }
        if !copies.is_empty() {
            out.put_u32_le(copies.len() as u32);
            out.put_slice(copies);
        }
    }

    /// Reads the frame and returns it with the bytes of the body.
    pub fn decode(bytes: &[u8]) -> Result<(Self, &[u8]), Error> {
        Self::decode_with_copies(bytes).map(|(frame, _, body)| (frame, body))
    }

    /// Reads the frame and returns it with the bytes of the copies that the record carries, and those of the body.
    pub fn decode_with_copies(bytes: &[u8]) -> Result<(Self, &[u8], &[u8]), Error> {
        let (fixed, rest) = bytes.split_at_checked(FRAME_MIN).ok_or(Error::Frame("is too short for a record"))?;
        if &fixed[..2] != MAGIC {
            return Err(Error::Frame("is not a record of Highwater"));
        }
        if fixed[2] != VERSION {
            return Err(Error::Frame("has a record frame of an unknown version; upgrade this process"));
        }
        let u64_at = |at: usize| u64::from_le_bytes(fixed[at..at + 8].try_into().expect("eight bytes"));
        let uuid_at = |at: usize| Uuid::from_bytes(fixed[at..at + 16].try_into().expect("sixteen bytes"));
        let mark_at = |at: usize| Mark { seq: u64_at(at), time: Timestamp(u64_at(at + 8) as i64) };
        let count = usize::from(u16::from_le_bytes([fixed[92], fixed[93]]));
        if count > BACK_MAX {
            return Err(Error::Frame("declares more earlier sequences than a record may carry"));
        }
        let (seqs, rest) = rest.split_at_checked(count * 8).ok_or(Error::Frame("ends within its earlier sequences"))?;
        let (copies, body) = if fixed[3] & COPIES == 0 { (&[][..], rest) } else { sized(rest)? };
        let back = seqs
            .chunks_exact(8)
            .map(|seq| u64::from_le_bytes(seq.try_into().expect("eight bytes")))
            .collect::<Vec<_>>();
        let ordinal = u64_at(36);
        if back.len() as u64 > ordinal {
            return Err(Error::Frame("carries more earlier sequences than there are earlier records"));
        }
        let frame = Self {
            run: RunId(uuid_at(4)),
            record: RecordId(uuid_at(20)),
            ordinal,
            first_event: u64_at(44),
            time: Timestamp(u64_at(52) as i64),
            marks: Marks { inbox: mark_at(60), fires: mark_at(76) },
            closed: fixed[3] & CLOSED != 0,
            back,
        };
        Ok((frame, copies, body))
    }
}

/// Bytes behind their number, and what follows them.
fn sized(bytes: &[u8]) -> Result<(&[u8], &[u8]), Error> {
    let (size, rest) = bytes.split_first_chunk().ok_or(Error::Frame("ends within its copies"))?;
    rest.split_at_checked(u32::from_le_bytes(*size) as usize).ok_or(Error::Frame("ends within its copies"))
}

/// Copies of records, as a later one carries them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copies(Vec<u8>);

impl Copies {
    /// Adds one of the next record.
    pub fn add(&mut self, frame: &Frame, body: &[u8]) {
        let size = FRAME_MIN + body.len();
        // Many runs wait with some of these in memory.
        self.0.reserve_exact(size_of::<u32>() + size);
        self.0.put_u32_le(size as u32);
        frame.encode(&[], &[], &mut self.0);
        self.0.put_slice(body);
    }

    /// The bytes that the record carries.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Takes such bytes apart: the frames in order, and the bytes of the bodies.
    pub fn read(bytes: &Bytes) -> Result<Vec<(Frame, Bytes)>, Error> {
        let (mut copies, mut rest) = (Vec::new(), &bytes[..]);
        while !rest.is_empty() {
            let (copy, behind) = sized(rest)?;
            let (frame, body) = Frame::decode(copy)?;
            copies.push((frame, bytes.slice_ref(body)));
            rest = behind;
        }
        Ok(copies)
    }
}

impl Record {
    /// Encodes the record.
    pub fn encode(&self) -> Bytes {
        self.encode_with_copies(&[])
    }

    /// Encodes the record, which carries these [`Copies`].
    pub fn encode_with_copies(&self, copies: &[u8]) -> Bytes {
        let mut out = Vec::with_capacity(self.frame.body_start(copies.len()) + BODY_SMALL);
        self.frame.encode(&self.frame.back, copies, &mut out);
        wire::encode_behind(out, &self.body)
    }

    /// Decodes a record.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let (frame, body) = Frame::decode(bytes)?;
        Ok(Self { frame, body: wire::decode(body)? })
    }

    /// The status of the run after this record.
    pub fn status(&self) -> Status {
        status_of(&self.body.events)
    }
}

/// The status of a run whose last record has these events.
pub fn status_of(events: &[Event]) -> Status {
    match events.last() {
        Some(Event::Completed { .. }) => Status::Completed,
        Some(Event::Failed { .. }) => Status::Failed,
        Some(Event::Cancelled { .. }) => Status::Cancelled,
        Some(Event::Terminated { .. }) => Status::Terminated,
        Some(Event::TimedOut { .. }) => Status::TimedOut,
        Some(Event::ContinuedAsNew { .. }) => Status::ContinuedAsNew,
        Some(Event::WorkflowTaskFailed { .. }) => Status::Blocked,
        Some(other) => {
            debug_assert!(!matches!(other.class(), Class::Closing));
            Status::Running
        }
        None => Status::Running,
    }
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Status {
    /// It goes on.
    Running,
    /// It goes on as soon as a worker has code that can take its events.
    Blocked,
    /// It returned a value.
    Completed,
    /// It returned an error.
    Failed,
    /// It ended after a request to cancel.
    Cancelled,
    /// It was ended from outside.
    Terminated,
    /// Its run timeout passed.
    TimedOut,
    /// Another run took over.
    ContinuedAsNew,
}

impl Status {
    /// The word that stands in headers and in the CLI's output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Blocked => "blocked",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Terminated => "terminated",
            Self::TimedOut => "timed-out",
            Self::ContinuedAsNew => "continued-as-new",
        }
    }

    /// Whether the run has ended.
    pub fn is_closed(self) -> bool {
        !matches!(self, Self::Running | Self::Blocked)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Status {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        [
            Self::Running,
            Self::Blocked,
            Self::Completed,
            Self::Failed,
            Self::Cancelled,
            Self::Terminated,
            Self::TimedOut,
            Self::ContinuedAsNew,
        ]
        .into_iter()
        .find(|status| status.as_str() == text)
        .ok_or(Error::Frame("has a status that this version does not know"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(ordinal: u64, back: Vec<u64>) -> Frame {
        Frame {
            run: RunId(Uuid::from_u128(7)),
            record: RecordId(Uuid::from_u128(8)),
            ordinal,
            first_event: 3,
            time: Timestamp(9),
            marks: Marks {
                inbox: Mark { seq: 10, time: Timestamp(11) },
                fires: Mark { seq: 12, time: Timestamp(-13) },
            },
            closed: true,
            back,
        }
    }

    #[test]
    fn a_record_comes_back_as_it_was() {
        let record = Record { frame: frame(2, vec![20, 30]), body: Body::default() };
        assert_eq!(Record::decode(&record.encode()).unwrap(), record);
    }

    #[test]
    fn the_frame_is_readable_when_the_body_is_not() {
        let mut bytes = Vec::new();
        frame(1, vec![20]).encode(&[20], &[], &mut bytes);
        bytes.put_slice(&[0xc1, 0xff]);
        assert!(Record::decode(&bytes).is_err());
        assert_eq!(Frame::decode(&bytes).unwrap().0, frame(1, vec![20]));
    }

    #[test]
    fn copies_come_back_as_they_were_and_the_record_too() {
        let mut copies = Copies::default();
        let of = |ordinal| frame(ordinal, vec![7; 3]);
        let bodies: [&[u8]; 3] = [b"one", b"", b"three"];
        for (ordinal, body) in (5..).zip(bodies) {
            copies.add(&of(ordinal), body);
        }
        let record = Record { frame: frame(8, vec![20, 30]), body: Body::default() };
        let bytes = record.encode_with_copies(copies.as_bytes());
        assert_eq!(Record::decode(&bytes).unwrap(), record);
        let (_, carried, body) = Frame::decode_with_copies(&bytes).unwrap();
        assert_eq!(record.frame.body_start(carried.len()), bytes.len() - body.len());
        let read = Copies::read(&bytes.slice_ref(carried)).unwrap();
        let expected = (5..).zip(bodies).map(|(n, body)| (Frame { back: vec![], ..of(n) }, Bytes::from_static(body)));
        assert_eq!(read, expected.collect::<Vec<_>>());
        for cut in 0..bytes.len() {
            assert!(Record::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        for cut in 1..carried.len() {
            let cut = Bytes::copy_from_slice(&carried[..cut]);
            assert!(Copies::read(&cut).is_ok_and(|copies| copies.len() < 3) || Copies::read(&cut).is_err());
        }
    }

    #[test]
    fn a_multiple_of_64_carries_the_64_before_it_and_the_next_one_only_that() {
        let mut current = frame(0, Vec::new());
        for seq in 100..300u64 {
            let next = Frame { back: current.next_back(seq), ordinal: current.ordinal + 1, ..current.clone() };
            let expected = if next.ordinal.is_multiple_of(64) { 64 } else { next.ordinal % 64 };
            assert_eq!(next.back.len() as u64, expected, "record {}", next.ordinal);
            assert_eq!(next.back_start() % 64, 0);
            assert_eq!(next.back.last(), Some(&seq));
            current = next;
        }
    }

    #[test]
    fn damaged_frames_are_refused() {
        let whole = Record { frame: frame(2, vec![20, 30]), body: Body::default() }.encode();
        for cut in 0..whole.len() {
            assert!(Record::decode(&whole[..cut]).is_err(), "cut at {cut}");
        }
        let mut many = whole.to_vec();
        many[92..94].copy_from_slice(&u16::MAX.to_le_bytes());
        assert!(Record::decode(&many).is_err());
        let mut version = whole.to_vec();
        version[2] = 2;
        assert!(Record::decode(&version).unwrap_err().to_string().contains("version"));
    }
}
