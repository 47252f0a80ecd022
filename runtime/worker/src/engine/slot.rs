//! One workflow id, as the owner of its partition knows it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use highwater_broker::{Message, history::StoredRecord};
use highwater_core::{open::OpenOperations, run::StepRun};
use highwater_protocol::{
    Event, Failure, Key, OpId, Payload, QueueName, RunId, Started, Status, Timestamp, TypeName, UpdateId,
    event::{ExternalScheduled, Outcome},
    record::{Frame, Mark},
    rejection::Rejection,
    request::{Ask, Request},
    timer::{Fire, TimerId},
};

use super::{
    action::Left,
    copies::Copies,
    limits::Length,
    outgoing::Outgoing,
    unit::{Source, UnitId},
};

/// Something for a run, waiting for its turn.
#[derive(Debug)]
pub(crate) enum Item {
    /// A request from the inbox.
    Request(Box<RequestItem>),
    /// A durable timer fired.
    Fire { unit: UnitId, seq: u64, time: Timestamp, fire: Fire },
    /// A local step of this process ended.
    Step { run: RunId, op: OpId, name: TypeName, attempt: u32, outcome: Outcome },
    /// This process's own clock says that a timer is due.
    Due { run: RunId, timer: TimerId },
    /// A message to another workflow can never be sent.
    Undelivered { run: RunId, event: Event },
    /// An activity will never have an outcome of its own: its task could not be sent, or nobody took it in time.
    Refused { run: RunId, op: OpId, failure: Failure },
}

/// A request with the message that it came in.
#[derive(Debug)]
pub(crate) struct RequestItem {
    /// Where it was read. The run may be on another queue.
    pub(crate) unit: UnitId,
    pub(crate) message: Message,
    pub(crate) request: Request,
    /// It comes from another run or from an activity's worker, and not from outside.
    pub(crate) internal: bool,
}

impl Item {
    /// Where it stands in its source; nothing for what came from this process.
    pub(super) fn position(&self) -> Option<Position> {
        match self {
            Self::Request(item) => {
                let (seq, time) = (item.message.seq, item.message.time);
                Some(Position { unit: item.unit, source: Source::Inbox, mark: Mark { seq, time } })
            }
            Self::Fire { unit, seq, time, .. } => {
                let mark = Mark { seq: *seq, time: *time };
                Some(Position { unit: *unit, source: Source::Fires, mark })
            }
            Self::Step { .. } | Self::Due { .. } | Self::Undelivered { .. } | Self::Refused { .. } => None,
        }
    }
}

/// Where an item was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Position {
    pub(super) unit: UnitId,
    pub(super) source: Source,
    pub(super) mark: Mark,
}

/// What is known of the history.
#[derive(Debug)]
pub(super) enum Tip {
    /// Nothing yet.
    Unknown,
    /// The leader says that there is none.
    Absent,
    /// This is its end.
    Known(Box<KnownTip>),
}

/// The end of a history.
#[derive(Debug)]
pub(super) struct KnownTip {
    pub(super) seq: u64,
    pub(super) frame: Frame,
    pub(super) status: Status,
    /// The run's first event; absent while only the end was read.
    pub(super) started: Option<Arc<Started>>,
    pub(super) started_at: Timestamp,
    /// The queue that the run is on for its life.
    pub(super) queue: Option<QueueName>,
    /// The workflow type.
    pub(super) workflow_type: Option<TypeName>,
    /// How often in a row the workflow task failed.
    pub(super) failures: u32,
    /// The ordinal of the record that says that the task failed, for a blocked run: the retry that it armed is the one
    /// that counts.
    pub(super) retry: Option<u64>,
    /// How far the run's first record consumed the inbox: the sequence of its start, unless it continued from another.
    pub(super) began: Option<u64>,
    /// How far the inbox was consumed when the run began.
    pub(super) before: Option<u64>,
    /// The last event of a closed run.
    pub(super) closing: Option<Event>,
}

impl KnownTip {
    /// How far the run has consumed a source.
    pub(super) fn mark(&self, source: Source) -> Mark {
        match source {
            Source::Inbox => self.frame.marks.inbox,
            Source::Fires => self.frame.marks.fires,
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.frame.closed
    }
}

/// What the run is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Ready for the next thing.
    Idle,
    /// The history is being read.
    Loading,
    /// The code runs.
    Running,
    /// A record is on its way.
    Appending,
}

/// A transition under way.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// What it consumes. The marks move past these.
    pub(super) items: Vec<Item>,
    /// The same as events, for a record that says the code would not take them.
    pub(super) events: Vec<Event>,
    /// The run that it begins.
    pub(super) starting: Option<Starting>,
    /// Records still to be appended.
    pub(super) drafts: VecDeque<Draft>,
    /// The record under way. Most runs wait and have none.
    pub(super) appending: Option<Box<Appending>>,
    /// Steps to run when the records are stored.
    pub(super) steps: Vec<StepRun>,
    /// What to do with the items when the records are stored.
    pub(super) after: After,
    /// Updates among the items that the code refuses.
    pub(super) refused: Vec<(UpdateId, Rejection)>,
    /// Something among the items changes nothing but the marks, and those have to be recorded before its sender is
    /// told.
    pub(super) moves_marks: bool,
}

/// A record on its way.
#[derive(Debug)]
pub(super) struct Appending {
    pub(super) frame: Frame,
    pub(super) events: Vec<Event>,
    pub(super) status: Status,
    /// The run that it begins.
    pub(super) begins: Option<Starting>,
    /// The last events of the run that it takes the place of, when it does.
    pub(super) ended: Option<Vec<Event>>,
}

/// A run that begins.
#[derive(Clone, Debug)]
pub(super) struct Starting {
    pub(super) run: RunId,
    pub(super) started: Arc<Started>,
    /// The sequence that the history must end with.
    pub(super) expect: u64,
}

/// What becomes of consumed items once that is on record.
#[derive(Debug, Default)]
pub(super) enum After {
    /// Senders hear that their request is accepted.
    #[default]
    Accept,
    /// The start among them is refused.
    Reject(Rejection),
}

/// A record without its place in the history.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) events: Vec<Event>,
    pub(super) time: Timestamp,
    pub(super) status: Status,
    /// The run that this record begins in the place of the one that it ends, with that one's last events.
    pub(super) continues: Option<(Starting, Vec<Event>)>,
}

/// A question that waits for the run to be there.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) name: TypeName,
    pub(crate) input: Payload,
    pub(crate) reply: String,
}

/// One workflow id.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a question of its own, with its answer in its name")]
pub(super) struct Slot {
    /// The partition of the run's queue, when this process owns that; otherwise where its first item was read.
    pub(super) unit: UnitId,
    /// When it was used last, as a count of uses.
    pub(super) used: u64,
    pub(super) generation: u64,
    pub(super) stage: Stage,
    pub(super) tip: Tip,
    /// Number of the next event in the run.
    pub(super) next_event: u64,
    /// How long the history of the open run is.
    pub(super) length: Length,
    /// Copies of the open run's latest records, the one under way included.
    pub(super) copies: Copies,
    pub(super) pending: VecDeque<Item>,
    pub(super) batch: Batch,
    /// Events that are consumed, and whose consequences need this process until the run is quiescent.
    pub(super) taken: Vec<(UnitId, Source, u64)>,
    pub(super) open: OpenOperations,
    /// The code's state is on its thread, as of the tip.
    pub(super) live: bool,
    /// The history must be read before anything else.
    pub(super) must_load: bool,
    /// The whole history must be read, even of a closed run.
    pub(super) must_load_all: bool,
    /// Something says that the owner before may have ended between a record and what follows from it.
    pub(super) suspect: bool,
    /// Everything on record has been sent, to this process's knowledge.
    pub(super) confirmed: bool,
    /// Records to build the run from.
    pub(super) history: Vec<(StoredRecord, Vec<Event>)>,
    /// How much is on its way or waits for its turn.
    pub(super) sending: usize,
    /// How many activities are being cancelled that count as ended already.
    pub(super) cancelling: usize,
    /// Messages to other workflows behind the one that is on its way there.
    pub(super) outbox: BTreeMap<Key, VecDeque<(RunId, Outgoing)>>,
    /// Requests of other runs whose answer may still be on its way. Only whoever reads them again answers them again.
    pub(super) answering: BTreeSet<u64>,
    /// What the run before this one left behind, when it was asked for.
    pub(super) left: Option<Box<Left>>,
    /// That was looked for.
    pub(super) left_is_known: bool,
    pub(super) steps: BTreeSet<(RunId, OpId)>,
    /// Activities whose task is gone, to be looked at again when the inbox has been consumed up to a sequence.
    pub(super) verify: Vec<(u64, RunId, OpId)>,
    pub(super) questions: Vec<Question>,
    pub(super) asking: usize,
    /// The history cannot be read by this build: requests are refused, timers wait.
    pub(super) unreadable: Option<String>,
    /// The highest inbox sequence that this process has consumed for the run.
    pub(super) seen_inbox: u64,
}

impl Slot {
    pub(super) fn new(unit: UnitId, generation: u64) -> Self {
        Self {
            unit,
            used: 0,
            generation,
            stage: Stage::Idle,
            tip: Tip::Unknown,
            next_event: 1,
            length: Length::default(),
            copies: Copies::default(),
            pending: VecDeque::new(),
            batch: Batch::default(),
            taken: Vec::new(),
            open: OpenOperations::default(),
            live: false,
            must_load: false,
            must_load_all: false,
            suspect: false,
            confirmed: false,
            history: Vec::new(),
            sending: 0,
            cancelling: 0,
            outbox: BTreeMap::new(),
            answering: BTreeSet::new(),
            left: None,
            left_is_known: false,
            steps: BTreeSet::new(),
            verify: Vec::new(),
            questions: Vec::new(),
            asking: 0,
            unreadable: None,
            seen_inbox: 0,
        }
    }

    pub(super) fn known(&self) -> Option<&KnownTip> {
        match &self.tip {
            Tip::Known(tip) => Some(tip),
            Tip::Unknown | Tip::Absent => None,
        }
    }

    /// The run's messages to other workflows that nobody has answered, in the order in which they were made.
    pub(super) fn unanswered(&self) -> Vec<ExternalScheduled> {
        self.open.externals.values().map(|call| (**call).clone()).collect()
    }

    /// Whether a request of another run has not been answered yet.
    pub(super) fn owes_answer(&self, seq: u64) -> bool {
        let is_asked = |item: &Item| match item {
            Item::Request(request) => request.message.seq == seq && request.request.origin.is_some(),
            _ => false,
        };
        self.answering.contains(&seq) || self.batch.items.iter().any(is_asked)
    }

    /// Whether nothing of the run is only in this process's memory: all is recorded, all is sent, and only durable
    /// things can wake it.
    pub(super) fn is_quiescent(&self) -> bool {
        self.stage == Stage::Idle
            && self.pending.is_empty()
            && self.sending == 0
            && self.steps.is_empty()
            && self.verify.is_empty()
            && !self.must_load
            && !self.suspect
    }

    /// How much of this process's room it takes that comes free by itself. What waits for a step, or for something that
    /// is still to be read, does not count: it must not keep the rest from being read.
    pub(super) fn load(&self) -> usize {
        let at_work = if self.stage == Stage::Idle { 0 } else { 1 + self.batch.items.len() };
        at_work + self.pending.len() + self.sending
    }

    /// Whether nobody would miss it.
    pub(super) fn is_forgettable(&self) -> bool {
        self.is_quiescent() && self.taken.is_empty() && self.questions.is_empty() && self.asking == 0
    }

    /// Gives back what it needed while it was at work. Most runs wait most of the time, and a worker keeps thousands.
    pub(super) fn shrink(&mut self) {
        debug_assert!(self.is_forgettable(), "what is under way is kept");
        self.pending = VecDeque::new();
        self.taken = Vec::new();
        self.questions = Vec::new();
        self.steps = BTreeSet::new();
        self.history = Vec::new();
    }

    /// Whether a start waits to begin another run under the id.
    pub(super) fn is_wanted_anew(&self) -> bool {
        matches!(self.pending.front(), Some(Item::Request(item)) if matches!(item.request.ask, Ask::Start(_)))
    }

    /// An item is dealt with: its event is done when the run is quiescent.
    pub(super) fn take(&mut self, item: &Item) {
        if let Some(Position { unit, source, mark }) = item.position() {
            self.taken.push((unit, source, mark.seq));
            if source == Source::Inbox {
                self.seen_inbox = self.seen_inbox.max(mark.seq);
            }
        }
    }
}
