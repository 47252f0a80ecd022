//! Reading a run's history, and building the run from it.

use std::sync::Arc;

use highwater_broker::history::{HistoryError, StoredRecord};
use highwater_core::open::OpenOperations;
use highwater_protocol::{
    Event, Failure, FailureKind, Key, Status,
    event::Class,
    query::QueryRejected,
    record::status_of,
    rejection::{Code, Rejection},
};

use super::{
    Action, Engine, Item, Loaded, Slot, Stage,
    copies::Copies,
    limits::Length,
    slot::{Batch, KnownTip, Tip},
};
use crate::executor::{Held, Job};

impl Engine {
    pub(super) fn load(&mut self, key: &Key, slot: &mut Slot) {
        slot.stage = Stage::Loading;
        let all = slot.must_load_all || slot.suspect || !slot.questions.is_empty();
        let left = slot.suspect;
        self.actions.push(Action::Load { key: key.clone(), generation: slot.generation, all, left });
    }

    pub(super) fn loaded(key: &Key, slot: &mut Slot, loaded: Loaded) {
        slot.stage = Stage::Idle;
        slot.must_load = false;
        slot.live = false;
        match loaded {
            Loaded::Absent => {
                slot.tip = Tip::Absent;
                slot.suspect = false;
                slot.must_load_all = false;
            }
            Loaded::Records { records, whole, before, left } => {
                if whole {
                    slot.must_load_all = false;
                }
                slot.left_is_known = whole && slot.suspect;
                slot.left = left.map(Box::new);
                Self::adopt(slot, records, whole, before);
            }
            Loaded::Partly { last, error } => Self::unreadable_run(key, slot, last, &error),
            Loaded::Unreadable { error } => Self::unreadable_history(key, slot, &error),
        }
    }

    /// Makes the records that were read what is known of the run.
    fn adopt(slot: &mut Slot, records: Vec<(StoredRecord, Vec<Event>)>, whole: bool, before: Option<u64>) {
        let Some((last, last_events)) = records.last() else { return };
        if slot.known().is_some_and(|tip| tip.seq != last.seq) {
            // Somebody else has written since, and may have ended before what its records ask for was sent.
            slot.confirmed = false;
            slot.suspect = true;
        }
        let started = records.first().and_then(|(_, events)| match events.first() {
            Some(Event::Started(started)) if whole || records.len() == 1 => Some(Arc::new((**started).clone())),
            _ => None,
        });
        let mut open = OpenOperations::default();
        let (mut status, mut failures, mut retry) = (Status::Running, 0, None);
        for (record, events) in &records {
            for event in events {
                open.apply(event, record.frame.time);
            }
            if !events.is_empty() {
                status = status_of(events);
            }
            match events.last() {
                Some(Event::WorkflowTaskFailed { attempt, .. }) => {
                    (failures, retry) = (*attempt, Some(record.frame.ordinal));
                }
                Some(_) => failures = 0,
                None => {}
            }
        }
        // A record without events says in its header alone whether the run is still blocked.
        status = last.status().unwrap_or(status);
        if status != Status::Blocked {
            (failures, retry) = (0, None);
        }
        slot.copies = Copies::default();
        for (record, _) in &records {
            slot.copies.note(&record.frame, record.status().unwrap_or(Status::Blocked), record.body_bytes());
        }
        slot.next_event = last.frame.first_event + last_events.len() as u64;
        slot.length =
            records.iter().fold(Length::default(), |length, (record, events)| length.with(&record.frame, events));
        slot.tip = Tip::Known(Box::new(KnownTip {
            seq: last.seq,
            frame: last.frame.clone(),
            status,
            started_at: last.started_at().unwrap_or(last.frame.time),
            queue: last.queue(),
            workflow_type: last.workflow_type(),
            began: started.as_ref().and(records.first()).map(|(first, _)| first.frame.marks.inbox.seq),
            before,
            started,
            failures,
            retry,
            closing: last_events.last().filter(|event| event.class() == Class::Closing).cloned(),
        }));
        slot.open = open;
        slot.history = records;
    }

    /// Something in the run cannot be read: it waits, as with code that would not take its events.
    fn unreadable_run(key: &Key, slot: &mut Slot, last: StoredRecord, error: &HistoryError) {
        tracing::error!(workflow_id = %key, %error, "a run's history cannot be read");
        slot.tip = Tip::Known(Box::new(KnownTip {
            seq: last.seq,
            status: last.status().unwrap_or(Status::Blocked),
            started_at: last.started_at().unwrap_or(last.frame.time),
            queue: last.queue(),
            workflow_type: last.workflow_type(),
            started: None,
            began: None,
            before: None,
            failures: 0,
            retry: None,
            closing: None,
            frame: last.frame,
        }));
        slot.suspect = false;
        slot.must_load_all = false;
        // How long another run was says nothing of this one.
        slot.length = Length::default();
        slot.unreadable = Some(error.to_string());
    }

    fn unreadable_history(key: &Key, slot: &mut Slot, error: &HistoryError) {
        tracing::error!(workflow_id = %key, %error, "a history cannot be read; what comes in for it is rejected");
        slot.suspect = false;
        slot.must_load_all = false;
        // How long another run was says nothing of this one.
        slot.length = Length::default();
        slot.unreadable = Some(error.to_string());
    }

    /// Nothing goes on with a run that cannot be read: people are told, and timers wait for a build that can.
    pub(super) fn refuse_unreadable(&mut self, slot: &mut Slot, reason: &str) {
        self.answer_all(slot, "blocked", reason);
        let items = std::mem::take(&mut slot.pending);
        for item in items {
            match item {
                Item::Request(request) if !request.request.ask.is_report() => {
                    self.reject_item(slot, Item::Request(request), Rejection::new(Code::Unreadable, reason));
                }
                other => slot.pending.push_back(other),
            }
        }
    }

    pub(super) fn answer_all(&mut self, slot: &mut Slot, code: &str, reason: &str) {
        for question in slot.questions.drain(..) {
            let answer = Err(QueryRejected { code: code.into(), reason: reason.into() });
            self.actions.push(Action::Answer { reply: question.reply, answer });
        }
    }

    /// Builds the run from its history.
    pub(super) fn rebuild_run(&mut self, key: &Key, slot: &mut Slot) {
        let Some(run) = slot.known().map(|tip| tip.frame.run) else { return };
        slot.stage = Stage::Running;
        slot.batch = Batch::default();
        if let Some(last) = self.quarantine.get(&run).cloned() {
            self.stuck_before(key, slot, &last);
            return;
        }
        // A record of a blocked run without events only moves marks. To the code an empty record is a retry that
        // succeeded.
        let moves_marks =
            |record: &StoredRecord, events: &[Event]| events.is_empty() && record.status() == Some(Status::Blocked);
        let history = slot.history.drain(..).filter(|(record, events)| !moves_marks(record, events));
        let records = history.map(|(record, events)| (events, record.frame.time)).collect();
        let time = self.time();
        self.actions.push(Action::Job(Job::Rebuild {
            key: key.clone(),
            generation: slot.generation,
            run,
            records,
            time,
        }));
    }

    /// Forgets what is known of the run; what was under way is to be done again, from the history.
    pub(super) fn reset(&mut self, key: &Key, slot: &mut Slot) {
        self.next_generation += 1;
        slot.generation = self.next_generation;
        slot.stage = Stage::Idle;
        slot.tip = Tip::Unknown;
        // The last one may be of a record that another one was in the way of.
        slot.copies = Copies::default();
        slot.live = false;
        slot.must_load = true;
        slot.must_load_all = true;
        slot.suspect = true;
        slot.confirmed = false;
        slot.sending = 0;
        slot.cancelling = 0;
        slot.outbox.clear();
        slot.answering.clear();
        slot.left = None;
        slot.left_is_known = false;
        slot.steps.clear();
        slot.verify.clear();
        slot.history.clear();
        slot.unreadable = None;
        for item in std::mem::take(&mut slot.batch).items.into_iter().rev() {
            slot.pending.push_front(item);
        }
        self.actions.push(Action::Evict { key: key.clone() });
    }

    /// The code held its thread.
    pub(super) fn stuck(&mut self, key: &Key, slot: &mut Slot, held: &Held) {
        let Some(run) = slot.batch_run() else { return };
        let last = match &held.last {
            Some(last) => format!("the last operation that it made is {last}"),
            None => "it has made no operation yet".to_owned(),
        };
        self.quarantine.insert(run, last.clone());
        if matches!(slot.stage, Stage::Appending | Stage::Loading) {
            // It was a query that held the thread. What is on its way to or from the history has its answer first.
            return;
        }
        let waits = format!(
            "the code of {key} kept its thread for {:.1} s without awaiting anything ({last}); move blocking calls and long computations into an activity or a step, \
             and await in loops. This worker does not try it again; a worker with other code will",
            held.after.as_secs_f64()
        );
        self.task_failed(key, slot, Failure::new(FailureKind::Stuck, waits));
    }

    fn stuck_before(&mut self, key: &Key, slot: &mut Slot, last: &str) {
        let text = format!(
            "the code of {key} kept its thread without awaiting anything when this worker tried it before ({last}); deploy \
             code that awaits"
        );
        self.task_failed(key, slot, Failure::new(FailureKind::Stuck, text));
    }
}

impl Slot {
    /// The run that the code is at.
    pub(super) fn batch_run(&self) -> Option<highwater_protocol::RunId> {
        self.batch.starting.as_ref().map(|starting| starting.run).or_else(|| self.known().map(|tip| tip.frame.run))
    }
}
