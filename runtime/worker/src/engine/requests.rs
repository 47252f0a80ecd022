//! Starts on ids that exist, requests on the wrong queue, and what cannot be accepted.

use std::sync::Arc;

use highwater_broker::Message;
use highwater_protocol::{
    Event, Key, RunId, Started, Status,
    event::Sender,
    rejection::{Code, Rejection},
    reply::Reply,
    request::{Ask, IdConflict, IdReuse, StartRequest},
};
use uuid::Uuid;

use super::{
    Action, Engine, Item, RequestItem, Slot, Source, UnitId,
    advance::Next,
    children::is_meant,
    slot::{After, Batch, KnownTip, Stage, Starting},
};
use crate::executor::Job;

impl Engine {
    /// Begins a run: the code runs at once, so that the first record holds the first transition too.
    pub(super) fn begin(&mut self, key: &Key, slot: &mut Slot, item: Item, behind: Option<u64>) {
        let Item::Request(request) = &item else { return };
        let Ask::Start(start) = &request.request.ask else { return };
        let run = start.run.unwrap_or_else(|| derived_run(&request.message));
        // An id that is used again begins behind what was said to the run before.
        let (taken, taken_cancels) = match behind {
            Some(_) => (slot.open.taken(), slot.open.taken_cancels()),
            None => (Vec::new(), Vec::new()),
        };
        let started = Arc::new(Started { taken, taken_cancels, ..started(request, start, run, behind) });
        let expect = behind.unwrap_or(0);
        slot.unit = request.unit;
        slot.live = false;
        slot.stage = Stage::Running;
        let mut events = vec![Event::Started(Box::new((*started).clone()))];
        events.extend(start.update.clone().map(Event::UpdateAccepted));
        slot.batch = Batch {
            items: vec![item],
            events: events.clone(),
            starting: Some(Starting { run, started, expect }),
            ..Batch::default()
        };
        let time = self.time();
        self.actions.push(Action::Job(Job::Activate {
            key: key.clone(),
            generation: slot.generation,
            run,
            events,
            time,
        }));
    }

    /// A start for an id whose run goes on.
    pub(super) fn start_on_open(&mut self, key: &Key, slot: &mut Slot) -> Next {
        let Some(tip) = slot.known() else { return Next::Wait };
        let run = tip.frame.run;
        let Some(Item::Request(request)) = slot.pending.front() else { return Next::Wait };
        let Ask::Start(start) = &request.request.ask else { return Next::Wait };
        if start.run.is_some_and(|meant| is_meant(tip, request, meant)) {
            // The starter has written the first record itself, as nobody answered it; or a child's start was sent
            // again.
            let item = slot.pending.pop_front().expect("it was there");
            self.answer_accepted(slot, &item, run);
            slot.take(&item);
            return Next::Again;
        }
        if is_repeated(slot, request) {
            let item = slot.pending.pop_front().expect("it was there");
            slot.take(&item);
            return Next::Again;
        }
        let after = match start.id_conflict {
            IdConflict::TerminateExisting => {
                let reason = "another run was started under this id with the policy terminate-existing";
                self.close_from_outside(key, slot, Vec::new(), Event::Terminated { reason: reason.into() }, None);
                return Next::Wait;
            }
            IdConflict::UseExisting => After::Accept,
            _ => After::Reject(Rejection::new(
                Code::AlreadyRunning,
                format!(
                    "workflow {key} is running as run {run}; use another id, or the conflict policy use-existing or terminate-existing"
                ),
            )),
        };
        // What the sender is told about a run must hold for whoever reads the request again: the mark moves first.
        let item = slot.pending.pop_front().expect("it was there");
        self.record_marks(key, slot, vec![item], after);
        Next::Wait
    }

    /// A start for an id whose last run is closed.
    pub(super) fn start_on_closed(&mut self, key: &Key, slot: &mut Slot, item: Item) -> Next {
        let Some(tip) = slot.known() else { return Next::Wait };
        let (seq, status, run) = (tip.seq, tip.status, tip.frame.run);
        let Item::Request(request) = &item else { return Next::Again };
        let Ask::Start(start) = &request.request.ask else { return Next::Again };
        if request.internal && tip.started.is_none() {
            // Whether it is the start of the chain that this run ends only the whole run tells.
            slot.pending.push_front(item);
            slot.must_load = true;
            slot.must_load_all = true;
            return Next::Again;
        }
        if start.run.is_some_and(|meant| is_meant(tip, request, meant)) {
            self.answer_accepted(slot, &item, run);
            slot.take(&item);
            slot.suspect |= !slot.confirmed;
            return Next::Again;
        }
        // A run that wants a child under its own id is refused while it goes on, so what comes later is a repeat as
        // well.
        let of_itself = request.request.origin.as_ref().is_some_and(|o| o.workflow_id == request.request.workflow_id);
        if of_itself || is_repeated(slot, request) {
            slot.take(&item);
            return Next::Again;
        }
        // Marks are those of the run's queue. A start on another one, older than them, may be one that was taken before
        // that run: nobody knows, and twice would be worse than not at all.
        let overtaken = self.is_foreign(tip, &item) && request.message.seq <= tip.mark(Source::Inbox).seq;
        let allowed = match start.id_reuse {
            _ if overtaken => false,
            IdReuse::Allow => true,
            IdReuse::AllowIfFailed => !matches!(status, Status::Completed | Status::ContinuedAsNew),
            _ => start.id_conflict == IdConflict::TerminateExisting && status == Status::Terminated,
        };
        if !allowed {
            let text = format!(
                "workflow {key} was used by run {run}, which is {status}; use another id, or the reuse policy allow"
            );
            self.reject_item(slot, item, Rejection::new(Code::AlreadyUsed, text));
            return Next::Again;
        }
        if start.expect.is_some_and(|expect| expect != seq) && start.id_conflict != IdConflict::TerminateExisting {
            let text = format!("workflow {key} has had another run since its starter looked; look again");
            self.reject_item(slot, item, Rejection::new(Code::Conflict, text));
            return Next::Again;
        }
        if !slot.confirmed {
            // What the owner before left unsent of the run that has ended comes first, and what that had taken of
            // others is to be remembered: the end of it alone does not tell.
            slot.pending.push_front(item);
            slot.suspect = true;
            return Next::Again;
        }
        if slot.sending > 0 {
            // A takeover that finds the new run would not know what the one before has left to say.
            slot.pending.push_front(item);
            return Next::Wait;
        }
        self.begin(key, slot, item, Some(seq));
        Next::Wait
    }

    /// Tells the sender of a request that it is on record.
    pub(super) fn answer_accepted(&mut self, slot: &mut Slot, item: &Item, run: RunId) {
        if let Item::Request(request) = item {
            self.reply(request.request.reply.as_deref(), Reply::Accepted { run });
            self.answer_origin(slot, request, None);
        }
    }

    /// Whether an item was read on another queue than the run's.
    pub(super) fn is_foreign(&self, tip: &KnownTip, item: &Item) -> bool {
        let Some(position) = item.position() else { return false };
        tip.queue.as_ref().is_some_and(|queue| self.queues.get(position.unit.queue) != Some(queue))
    }

    /// A run is at home in the partition of its queue, even when what it was loaded for came in on another one. Nobody
    /// is told anything about it where it is not.
    pub(super) fn settle_unit(&mut self, key: &Key, slot: &mut Slot) {
        let Some(queue) = slot.known().and_then(|tip| tip.queue.clone()) else { return };
        if self.queues.get(slot.unit.queue) == Some(&queue) {
            return;
        }
        let home = self.queues.iter().position(|name| *name == queue).map(|queue| UnitId { queue, ..slot.unit });
        if let Some(home) = home.filter(|home| self.units.contains_key(home)) {
            slot.unit = home;
        } else {
            let reason = format!("workflow {key} is on queue {queue}; ask there");
            self.answer_all(slot, "wrong-queue", &reason);
        }
    }

    /// A run is on one queue for its life. Who reads another queue passes its requests on, and never applies them.
    pub(super) fn pass_on_foreign(&mut self, slot: &mut Slot) -> bool {
        let (Some(tip), Some(front)) = (slot.known(), slot.pending.front()) else { return false };
        if !self.is_foreign(tip, front) {
            return false;
        }
        let (queue, closed) = (tip.queue.clone(), tip.is_closed());
        let item = slot.pending.pop_front().expect("it was there");
        match (item, queue) {
            (Item::Request(item), Some(queue)) if !(closed && matches!(item.request.ask, Ask::Start(_))) => {
                self.leaves(item.unit, item.message.seq);
                self.actions.push(Action::Forward { unit: item.unit, message: item.message, queue });
            }
            (item @ Item::Request(_), _) => {
                slot.pending.push_front(item);
                return false;
            }
            // A timer of an earlier run of this id.
            (item, _) => slot.take(&item),
        }
        true
    }

    /// Larger than what fits into a record beside what the engine adds.
    pub(super) fn too_large(&self, message: &Message) -> Option<Rejection> {
        let (size, max) = (message.payload.len(), self.limits.payload_max);
        (size > max).then(|| {
            let text = format!(
                "the body has {size} bytes, the limit of this server is {max}; pass a reference to the data instead"
            );
            Rejection::new(Code::TooLarge, text)
        })
    }

    pub(super) fn reject_item(&mut self, slot: &mut Slot, item: Item, rejection: Rejection) {
        match item {
            Item::Request(request) if request.internal => {
                // Nobody outside has a part in it. The run that sent it is told, and nothing else is lost.
                self.answer_origin(slot, &request, Some(&rejection));
                slot.take(&Item::Request(request));
            }
            Item::Request(item) => {
                slot.seen_inbox = slot.seen_inbox.max(item.message.seq);
                self.reject(item.unit, item.message, rejection);
            }
            other => slot.take(&other),
        }
    }

    fn leaves(&mut self, unit: UnitId, seq: u64) {
        if let Some(unit) = self.units.get_mut(&unit) {
            unit.track(Action::HANDLED_SOURCE).leaves(seq);
        }
    }

    pub(super) fn reject(&mut self, unit: UnitId, message: Message, rejection: Rejection) {
        debug_assert_eq!(Action::HANDLED_SOURCE, Source::Inbox);
        let verb = self
            .subjects
            .parse_inbox(&message.subject)
            .map_or_else(|| "unknown".into(), |parts| parts.kind.verb().to_owned());
        self.leaves(unit, message.seq);
        self.actions.push(Action::Reject { unit, message, verb, rejection });
    }
}

/// Whether a child's start was sent again when the child had ended and its id was used by another run. Who asked has
/// been told, since nothing begins under an id before all is said about the run before.
fn is_repeated(slot: &Slot, item: &RequestItem) -> bool {
    let origin = item.request.origin.as_ref();
    origin.is_some_and(|origin| slot.open.has_taken(Sender { run: origin.run, op: origin.op }))
}

/// A run id for a start that proposes none: the same whenever the message is read again.
pub(super) fn derived_run(message: &Message) -> RunId {
    let name = format!("{} {} {}", message.subject, message.seq, message.time.as_micros());
    RunId(Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()))
}

fn started(item: &RequestItem, start: &StartRequest, run: RunId, prior: Option<u64>) -> Started {
    let (id, queue) = (item.request.workflow_id.clone(), item.request.queue.clone());
    Started {
        reply: item.request.reply.clone(),
        prior,
        parent: item.request.origin.clone(),
        ..start.started(id, queue, run, item.message.time)
    }
}
