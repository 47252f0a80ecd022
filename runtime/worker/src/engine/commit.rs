//! From transitions to records, and what follows when they are stored.

use std::time::Duration;

use highwater_broker::{
    Error, ErrorKind,
    history::{Appended, NewRecord, Summary},
};
use highwater_core::run::{TaskFailure, may_cut};
use highwater_protocol::{
    Event, Failure, FailureKind, Key, Payload, Record, RunId, Started, Status, Timestamp,
    event::{Class, Outcome},
    ids::RecordId,
    record::{Body, Frame, Marks, PreviousRun, status_of},
    wire,
};

use super::{
    Action, Engine, Item, Source,
    advance::{BATCH_MAX, follows_another},
    chain,
    early::Early,
    meaning::{Meaning, stands_alone, weight},
    slot::{After, Appending, Batch, Draft, KnownTip, Slot, Stage, Starting, Tip},
    updates,
};
use crate::executor::Activated;

/// The longest wait between two tries of a workflow task.
const RETRY_MAX: Duration = Duration::from_mins(1);
/// The longest wait when no worker knows the type, since one that does may come any moment.
const RETRY_UNKNOWN_MAX: Duration = Duration::from_secs(5);
/// The wait when the code held its thread: each try costs a thread.
const RETRY_STUCK: Duration = Duration::from_mins(10);

impl Engine {
    /// The code took its events, or would not.
    pub(super) fn activated(&mut self, key: &Key, slot: &mut Slot, result: Result<Activated, TaskFailure>) {
        if slot.stage != Stage::Running {
            return;
        }
        match result {
            Ok(activated) => self.transition(key, slot, activated),
            Err(failed) => self.task_failed(key, slot, failed.failure),
        }
    }

    fn transition(&mut self, key: &Key, slot: &mut Slot, activated: Activated) {
        slot.live = true;
        let Activated { transition, signals } = activated;
        slot.batch.refused = transition.refused;
        let closed_already = slot.batch.starting.is_none() && slot.known().is_some_and(KnownTip::is_closed);
        if closed_already {
            // Built again to answer a query.
            slot.stage = Stage::Idle;
            return;
        }
        slot.batch.steps = transition.steps;
        let mut events = transition.events;
        let continues = Self::conclude(slot, &mut events, transition.time, transition.conclusion, signals);
        let unblocked = slot.batch.starting.is_none() && slot.known().is_some_and(|tip| tip.status == Status::Blocked);
        let moves_marks = slot.batch.moves_marks || !slot.batch.refused.is_empty();
        // A retry that succeeds is recorded even when the code asks for nothing: otherwise the run would look blocked.
        if events.is_empty() && continues.is_none() && !unblocked && !moves_marks {
            self.batch_done(key, slot);
            return;
        }
        self.draft(slot, events, transition.time, continues);
        self.append_next(key, slot);
    }

    /// Cuts a transition into as many records as the server's message size asks for: inbound events first, so that
    /// every prefix replays.
    fn draft(&self, slot: &mut Slot, events: Vec<Event>, time: Timestamp, continues: Option<Starting>) {
        let mut continues = continues;
        let mut pieces = pieces(events, self.limits.payload_max).into_iter().peekable();
        slot.batch.drafts.reserve_exact(pieces.len());
        while let Some(piece) = pieces.next() {
            let is_last = pieces.peek().is_none();
            let draft = match continues.take_if(|_| is_last) {
                Some(starting) => {
                    let begins = vec![Event::Started(Box::new((*starting.started).clone()))];
                    Draft { events: begins, time, status: Status::Running, continues: Some((starting, piece)) }
                }
                None => Draft { status: status_of(&piece), events: piece, time, continues: None },
            };
            slot.batch.drafts.push_back(draft);
        }
    }

    /// Records that the code would not take its events. They are consumed all the same: the run holds nobody back, and
    /// the durable retry wakes it after a deploy.
    pub(super) fn task_failed(&mut self, key: &Key, slot: &mut Slot, failure: Failure) {
        slot.live = false;
        let failure = self.explain(slot, failure);
        tracing::error!(workflow_id = %key, %failure, "a workflow task failed; the run waits and is tried again");
        self.refuse_questions(slot, &failure);
        let run = slot.batch_run();
        let closed = slot.batch.starting.is_none() && slot.known().is_some_and(KnownTip::is_closed);
        let Some(run) = run.filter(|_| !closed) else {
            slot.stage = Stage::Idle;
            return;
        };
        let known_blocked = slot.known().is_some_and(|tip| tip.status == Status::Blocked);
        if known_blocked && slot.batch.items.is_empty() && slot.pending.is_empty() {
            // It was only asked something. That must change nothing, and least of all put its next try off.
            slot.stage = Stage::Idle;
            return;
        }
        if slot.batch.starting.is_none() {
            self.consume_pending(key, slot, run);
        }
        let time = self.time();
        let attempt = slot.known().filter(|_| slot.batch.starting.is_none()).map_or(0, |tip| tip.failures) + 1;
        let retry_at = time.after(retry_delay(&failure, attempt));
        let mut events = std::mem::take(&mut slot.batch.events);
        slot.batch.refused.extend(updates::refuse_all(&mut events, &failure));
        events.push(Event::WorkflowTaskFailed { failure, attempt, retry_at });
        slot.batch.drafts.clear();
        slot.batch.steps.clear();
        slot.batch.drafts.push_back(Draft { events, time, status: Status::Blocked, continues: None });
        self.append_next(key, slot);
    }

    /// What waits for a run whose code does not take events goes into the record that says so.
    fn consume_pending(&mut self, key: &Key, slot: &mut Slot, run: RunId) {
        let mut size = slot.batch.items.iter().map(weight).sum::<usize>();
        while let Some(item) = slot.pending.front() {
            let full = slot.batch.items.len() >= BATCH_MAX || size + weight(item) > self.limits.payload_max / 2;
            let apart = stands_alone(item, run) || updates::repeats(&slot.batch, item);
            if full && !slot.batch.items.is_empty() || apart || !self.is_news(slot, item) {
                return;
            }
            size += weight(item);
            let Some(item) = slot.pending.pop_front() else { return };
            match self.meaning(key, slot, run, &item) {
                Meaning::Events(events) => {
                    slot.batch.events.extend(events);
                    slot.batch.items.push(item);
                }
                Meaning::Noted => slot.batch.items.push(item),
                Meaning::Nothing | Meaning::Suspect => slot.take(&item),
                Meaning::Refuse(rejection) => self.reject_item(slot, item, rejection),
            }
        }
    }

    fn explain(&self, slot: &Slot, mut failure: Failure) -> Failure {
        if failure.kind == FailureKind::Unknown {
            let known = self
                .known_types
                .get(&slot.unit.queue)
                .map(|types| types.iter().map(ToString::to_string).collect::<Vec<_>>());
            let known = known.unwrap_or_else(|| self.registry.names().iter().map(ToString::to_string).collect());
            let wanted = slot.batch.starting.as_ref().map(|s| s.started.workflow_type.to_string());
            let wanted =
                wanted.or_else(|| slot.known()?.workflow_type.as_ref().map(ToString::to_string)).unwrap_or_default();
            let known = if known.is_empty() { "none".into() } else { known.join(", ") };
            failure.message = format!(
                "no live worker of queue {} knows the workflow type {wanted}; they know: {known}. The run goes on when a worker with this type comes",
                self.queues[slot.unit.queue]
            );
        }
        failure
    }

    /// Ends an open run for a reason that its code has no say in.
    pub(super) fn close_from_outside(
        &mut self,
        key: &Key,
        slot: &mut Slot,
        items: Vec<Item>,
        event: Event,
        next: Option<Starting>,
    ) {
        let time = self.time();
        slot.batch = Batch { items, ..Batch::default() };
        self.draft(slot, vec![event], time, next);
        slot.live = false;
        self.actions.push(Action::Evict { key: key.clone() });
        self.append_next(key, slot);
    }

    /// Moves the marks of an open run past requests that change nothing in it.
    pub(super) fn record_marks(&mut self, key: &Key, slot: &mut Slot, items: Vec<Item>, after: After) {
        let Some(status) = slot.known().map(|tip| tip.status) else { return };
        let time = self.time();
        slot.batch = Batch { items, after, ..Batch::default() };
        slot.batch.drafts.push_back(Draft { events: Vec::new(), time, status, continues: None });
        self.append_next(key, slot);
    }

    /// Gives the next draft its place in the history and sends it on its way.
    pub(super) fn append_next(&mut self, key: &Key, slot: &mut Slot) {
        let Some(draft) = slot.batch.drafts.pop_front() else {
            self.batch_done(key, slot);
            return;
        };
        slot.stage = Stage::Appending;
        if slot.cancelling > 0 || draft.continues.is_some() && slot.sending > 0 {
            // A takeover sends again what the run before the present one left unsent, and what earlier ones did it
            // cannot know. Of the cancellations of a run it knows those of the last record.
            slot.batch.drafts.push_front(draft);
            return;
        }
        if draft.continues.is_some() && slot.batch.starting.is_none() && Self::hides_another(slot) {
            self.reset(key, slot);
            return;
        }
        let starting = slot.batch.starting.clone();
        let (frame, previous, expect) = place(slot, &draft, starting.as_ref());
        let ended = draft.continues.as_ref().map(|(_, events)| events.clone());
        let begins = draft.continues.as_ref().map(|(next, _)| next.clone()).or(starting);
        let summary = self.summary(slot, begins.as_ref().map(|starting| &*starting.started), &draft);
        let record = Record { frame, body: Body { events: draft.events, previous } };
        let copies = slot.copies.carried_by(record.frame.ordinal, self.limits.payload_max / 2);
        let new = NewRecord::carrying(&record, copies, summary);
        slot.copies.note(&record.frame, draft.status, &new.body());
        let Record { frame, body: Body { events, .. } } = record;
        slot.batch.appending = Some(Box::new(Appending { frame, events, status: draft.status, begins, ended }));
        let early = self.early(slot).map(Box::new);
        self.actions.push(Action::Append { key: key.clone(), generation: slot.generation, record: new, expect, early });
    }

    /// What its sender may be told with the record under way.
    fn early(&self, slot: &Slot) -> Option<Early> {
        self.answers_early.then(|| Early::of(&slot.batch)).flatten()
    }

    /// Whether the next run would hide one from takeovers that nobody knows to have sent all it had to: they look back
    /// at one run only.
    fn hides_another(slot: &Slot) -> bool {
        !slot.confirmed && slot.known().is_some_and(follows_another)
    }

    fn summary(&self, slot: &Slot, begins: Option<&Started>, draft: &Draft) -> Summary {
        let tip = slot.known();
        let started = begins.or_else(|| tip?.started.as_deref());
        let queue = started.map(|s| s.queue.clone()).or_else(|| tip?.queue.clone());
        let workflow_type = started.map(|s| s.workflow_type.clone()).or_else(|| tip?.workflow_type.clone());
        Summary {
            workflow_type: workflow_type.expect("a history tells its workflow type"),
            queue: queue.unwrap_or_else(|| self.queues[slot.unit.queue].clone()),
            status: draft.status,
            started_at: tip.filter(|_| begins.is_none()).map_or(draft.time, |tip| tip.started_at),
            attributes: Self::attributes(slot, begins, &draft.events),
            trace: started.filter(|_| begins.is_some() || draft.status.is_closed()).and_then(|s| s.trace.clone()),
        }
    }

    /// A record was appended, or another one was there first.
    pub(super) fn appended(&mut self, key: &Key, slot: &mut Slot, result: Result<Appended, Error>, answered: bool) {
        match result {
            Ok(Appended::Stored(seq)) => {
                self.told = answered.then(|| Early::of(&slot.batch)).flatten();
                self.stored(key, slot, seq);
                self.told = None;
            }
            Ok(Appended::Lost) => {
                let speculative = slot.batch.starting.is_some() && matches!(slot.tip, Tip::Unknown);
                self.reset(key, slot);
                if speculative {
                    // The id is not new; its end is enough to decide what that means.
                    slot.must_load_all = false;
                    slot.suspect = false;
                }
            }
            Err(error) if error.kind == ErrorKind::TooLarge => {
                let text = format!("a record of this run is larger than the server accepts: {error}");
                slot.stage = Stage::Running;
                self.task_failed(key, slot, Failure::new(FailureKind::TooLarge, text));
            }
            Err(error) => {
                tracing::error!(workflow_id = %key, %error, "a record could not be appended; the run is read again");
                self.reset(key, slot);
            }
        }
    }

    fn stored(&mut self, key: &Key, slot: &mut Slot, seq: u64) {
        let ending = slot.batch_run().map(|run| (run, chain::started(slot)));
        let Some(appending) = slot.batch.appending.take() else { return };
        let Appending { frame, events, status, begins, ended } = *appending;
        slot.batch.starting = None;
        // What comes behind may fail; these are on record now.
        slot.batch.events.clear();
        // What was read ends before this record, and may be of another run.
        slot.history.clear();
        slot.next_event = frame.first_event + events.len() as u64;
        let continues = ended.is_some();
        if let (Some((run, started)), Some(last)) = (ending, ended) {
            self.end_with(key, slot, (run, started.as_deref()), &last, frame.time);
        }
        let (time, closed) = (frame.time, frame.closed);
        let (failures, retry) = match events.last() {
            Some(Event::WorkflowTaskFailed { attempt, .. }) => (*attempt, Some(frame.ordinal)),
            None if status == Status::Blocked => slot.known().map_or((0, None), |tip| (tip.failures, tip.retry)),
            _ => (0, None),
        };
        let closing = events.last().filter(|event| event.class() == Class::Closing).cloned();
        let is_first = begins.is_some();
        match (&mut slot.tip, begins) {
            (Tip::Known(tip), None) => {
                tip.seq = seq;
                tip.frame = frame;
                tip.status = status;
                tip.failures = failures;
                tip.retry = retry;
                tip.closing = closing;
            }
            (_, Some(starting)) => {
                slot.confirmed = true;
                slot.suspect = false;
                let before = match &slot.tip {
                    _ if continues => None,
                    Tip::Known(last) => Some(last.frame.marks.inbox.seq),
                    Tip::Unknown | Tip::Absent => Some(0),
                };
                slot.tip = Tip::Known(Box::new(KnownTip {
                    seq,
                    status,
                    started_at: time,
                    queue: Some(starting.started.queue.clone()),
                    workflow_type: Some(starting.started.workflow_type.clone()),
                    started: Some(starting.started),
                    failures,
                    retry,
                    closing,
                    began: Some(frame.marks.inbox.seq),
                    before,
                    frame,
                }));
            }
            (_, None) => unreachable!("a record either begins a history or follows one"),
        }
        self.lengthen(key, slot, is_first, &events);
        self.dispatch(key, slot, &events, time);
        if continues {
            self.begin_next(key, slot, events, time);
            return;
        }
        if status == Status::Blocked {
            slot.live = false;
            self.actions.push(Action::Evict { key: key.clone() });
        }
        if closed {
            self.announce(key, slot);
        }
        self.append_next(key, slot);
    }

    /// The run that took over is built from its one event.
    fn begin_next(&mut self, key: &Key, slot: &mut Slot, events: Vec<Event>, time: Timestamp) {
        let Some(run) = slot.known().map(|tip| tip.frame.run) else { return };
        slot.batch = Batch::default();
        slot.live = false;
        slot.stage = Stage::Running;
        let job = crate::executor::Job::Rebuild {
            key: key.clone(),
            generation: slot.generation,
            run,
            records: vec![(events, time)],
            time,
        };
        self.actions.push(Action::Job(job));
    }

    /// All of a transition is on record.
    fn batch_done(&mut self, key: &Key, slot: &mut Slot) {
        slot.stage = Stage::Idle;
        if let Some(run) = slot.known().map(|tip| tip.frame.run) {
            self.accept_items(slot, run);
        }
        let closed = slot.known().is_some_and(KnownTip::is_closed);
        let run = slot.known().map(|tip| (tip.frame.run, tip.started.clone()));
        if let Some((run, started)) = run.filter(|_| !closed) {
            for step in std::mem::take(&mut slot.batch.steps) {
                let here = |item: &Item| matches!(item, Item::Step { run: of, op, .. } if (*of, *op) == (run, step.op));
                if slot.pending.iter().any(here) || !slot.steps.insert((run, step.op)) {
                    // The run was built again while the step goes on; its result will find it, or waits already.
                    continue;
                }
                let (key, started) = (key.clone(), started.clone());
                self.actions.push(Action::Step { key, run, step, started });
            }
        }
        slot.batch = Batch::default();
    }
}

/// Cuts events into pieces of at most `max` bytes each, as far as they may be cut. Most need not be.
fn pieces(events: Vec<Event>, max: usize) -> Vec<Vec<Event>> {
    if events.len() < 2 || events.iter().map(event_weight).sum::<usize>() <= max {
        return vec![events];
    }
    let mut pieces: Vec<Vec<Event>> = vec![Vec::new()];
    let mut size = 0;
    for event in events {
        let weight = event_weight(&event);
        let last = pieces.last().and_then(|piece| piece.last());
        let cut = last.is_some_and(|last| event.class() != Class::Inbound && may_cut(last, &event));
        if cut && size + weight > max {
            pieces.push(Vec::new());
            size = 0;
        }
        size += weight;
        pieces.last_mut().expect("there is one").push(event);
    }
    pieces
}

fn retry_delay(failure: &Failure, attempt: u32) -> Duration {
    let longest = match failure.kind {
        FailureKind::Stuck => return RETRY_STUCK,
        FailureKind::Unknown => RETRY_UNKNOWN_MAX,
        _ => RETRY_MAX,
    };
    Duration::from_secs(1).saturating_mul(1 << attempt.saturating_sub(1).min(10)).min(longest)
}

/// At most how many bytes an event takes in a record. Those of every step are told without encoding them.
fn event_weight(event: &Event) -> usize {
    const FIXED: usize = 128;
    let payload = |payload: &Payload| payload.data.len() + payload.content_type.as_ref().map_or(0, |name| name.len());
    match event {
        Event::Completed { result } | Event::ActivityClosed { outcome: Outcome::Completed(result), .. } => {
            payload(result) + FIXED
        }
        Event::StepClosed { name, outcome: Outcome::Completed(result), .. } => {
            name.as_str().len() + payload(result) + FIXED
        }
        Event::TimerStarted { .. }
        | Event::TimerCancelled { .. }
        | Event::ActivityCancelRequested { .. }
        | Event::TimerFired { .. } => FIXED,
        other => wire::encode(other).len(),
    }
}

/// How far a run will have consumed its sources with the events of its batch.
fn marks(slot: &Slot) -> Marks {
    let mut marks = slot.known().map(|tip| tip.frame.marks).unwrap_or_default();
    for item in &slot.batch.items {
        if let Some(position) = item.position() {
            let mark = if position.source == Source::Inbox { &mut marks.inbox } else { &mut marks.fires };
            *mark = mark.max(position.mark);
        }
    }
    marks
}

/// Where a draft stands in the history: its frame, the end of the run before if that ends with it, and the sequence of
/// the record that it follows.
fn place(slot: &Slot, draft: &Draft, starting: Option<&Starting>) -> (Frame, Option<Box<PreviousRun>>, u64) {
    let marks = marks(slot);
    let next_event = slot.next_event;
    let new_frame = |run, closed| Frame {
        run,
        record: RecordId::generate(),
        ordinal: 0,
        first_event: 1,
        time: draft.time,
        marks,
        closed,
        back: Vec::new(),
    };
    match (&draft.continues, starting, slot.known()) {
        (Some((next, events)), _, Some(tip)) if starting.is_none() => {
            let previous = PreviousRun {
                run: tip.frame.run,
                ordinal: tip.frame.ordinal + 1,
                first_event: next_event,
                back: tip.frame.next_back(tip.seq),
                events: events.clone(),
            };
            (new_frame(next.run, false), Some(Box::new(previous)), tip.seq)
        }
        (Some((next, events)), Some(first), _) => {
            // The run ends in its first transition, so this record is all there is of it.
            let previous =
                PreviousRun { run: first.run, ordinal: 0, first_event: 1, back: Vec::new(), events: events.clone() };
            (new_frame(next.run, false), Some(Box::new(previous)), first.expect)
        }
        (_, Some(first), _) => (new_frame(first.run, draft.status.is_closed()), None, first.expect),
        (_, None, Some(tip)) => {
            let frame = Frame {
                ordinal: tip.frame.ordinal + 1,
                first_event: next_event,
                back: tip.frame.next_back(tip.seq),
                ..new_frame(tip.frame.run, draft.status.is_closed())
            };
            (frame, None, tip.seq)
        }
        (_, None, None) => unreachable!("a record either begins a history or follows one"),
    }
}
