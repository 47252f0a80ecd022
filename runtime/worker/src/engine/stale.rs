//! Events that are read again: what they led to is on record, or they came before the run began.

use highwater_core::open::OpenOperations;
use highwater_protocol::{
    Key, RunId,
    event::Update,
    record::Mark,
    rejection::{Code, Rejection},
    reply::Reply,
    request::{Ask, IdConflict},
};

use super::{
    Engine, Item, RequestItem,
    advance::Next,
    children::{is_meant, is_of},
    requests::derived_run,
    slot::{KnownTip, Position, Slot},
    updates::{reply_of, update_of},
};

/// What the sender of a request that is read again is to know.
enum Verdict {
    /// It counted.
    Accepted,
    /// It never will.
    Rejected(Rejection),
    /// An earlier run took it or refused it, and this one's history does not say which.
    Unknown,
}

impl Engine {
    /// Whether the run has consumed an item already. Marks say nothing about other queues than the run's.
    fn is_stale(&self, tip: &KnownTip, item: &Item) -> bool {
        !self.is_foreign(tip, item)
            && item.position().is_some_and(|position| position.mark.seq <= tip.mark(position.source).seq)
    }

    /// Whether an item is for this run from this owner, and not consumed yet.
    pub(super) fn is_news(&self, slot: &Slot, item: &Item) -> bool {
        slot.known().is_none_or(|tip| !self.is_foreign(tip, item) && !self.is_stale(tip, item))
    }

    /// Events that the run has consumed already are dropped. Says what is next when the one in front cannot be judged.
    pub(super) fn drop_stale(&mut self, key: &Key, slot: &mut Slot) -> Option<Next> {
        while let Some(front) = slot.pending.front() {
            let tip = slot.known()?;
            if !self.is_stale(tip, front) {
                return None;
            }
            let Position { unit, source, mark: Mark { seq, time } } = front.position()?;
            let mark = tip.mark(source);
            if time > mark.time {
                tracing::error!(
                    workflow_id = %key, seq, event_time = %time, mark_time = %mark.time,
                    "the stream went backwards: this event is newer than one that the run consumed at a higher sequence. The server \
                     lost data (power loss without sync_interval always?). The partition stops here and its requests wait; restore all \
                     streams of the namespace from a replica or a backup of the same moment, and start its workers again"
                );
                if let Some(unit) = self.units.get_mut(&unit) {
                    unit.halted = true;
                }
                return Some(Next::Wait);
            }
            if tip.started.is_none() {
                // Only the whole run tells what became of it.
                slot.must_load = true;
                slot.must_load_all = true;
                return Some(Next::Again);
            }
            let verdict = match front {
                Item::Request(request) => verdict(key, tip, &slot.open, request),
                _ => Verdict::Unknown,
            };
            let run = tip.frame.run;
            let item = slot.pending.pop_front()?;
            slot.suspect |= !slot.confirmed;
            match (verdict, &item) {
                // Whoever refused it may have ended before it said so.
                (Verdict::Rejected(rejection), _) => self.reject_item(slot, item, rejection),
                (Verdict::Accepted, Item::Request(_)) => {
                    self.answer_accepted(slot, &item, run);
                    match update_of(&item).filter(|update| !slot.open.updates.contains_key(&update.id)) {
                        // A start that counted, and the update that came with it did not.
                        Some(update) => self.reply(reply_of(&item), Reply::Rejected(refused_before(run, update))),
                        None => self.answer_update(slot, run, &item),
                    }
                    slot.take(&item);
                }
                _ => slot.take(&item),
            }
        }
        None
    }
}

fn refused_before(run: RunId, update: &Update) -> Rejection {
    let text = format!("run {run} refused update {} before; send it again to hear why", update.id);
    Rejection::new(Code::Refused, text)
}

fn verdict(key: &Key, tip: &KnownTip, open: &OpenOperations, item: &RequestItem) -> Verdict {
    let (run, seq) = (tip.frame.run, item.message.seq);
    let within = tip.began.is_some_and(|began| seq > began);
    let between = !within && tip.before.is_some_and(|before| seq > before);
    let reject = |code: Code, text: String| Verdict::Rejected(Rejection::new(code, text));
    let ended =
        |meant| reject(Code::Closed, format!("run {meant} of workflow {key} has ended; run {run} took its place"));
    match &item.request.ask {
        Ask::Start(start) if is_meant(tip, item, start.run.unwrap_or_else(|| derived_run(&item.message))) => {
            Verdict::Accepted
        }
        Ask::Signal { signal, .. } if signal.from.is_some_and(|from| open.has_taken(from)) => Verdict::Accepted,
        Ask::Start(start) if within && start.id_conflict == IdConflict::UseExisting => Verdict::Accepted,
        Ask::Start(_) if within || between => {
            reject(Code::AlreadyRunning, format!("workflow {key} was started as run {run} by another request"))
        }
        Ask::Update { update, .. } if within && open.updates.contains_key(&update.id) => Verdict::Accepted,
        Ask::Signal { meant: Some(meant), .. }
        | Ask::Cancel { meant: Some(meant), .. }
        | Ask::Update { meant: Some(meant), .. }
            if within && !is_of(tip, *meant) =>
        {
            ended(meant.run())
        }
        Ask::Terminate { run: Some(meant), .. } if within && !is_meant(tip, item, *meant) => ended(*meant),
        Ask::Update { update, .. } if within => Verdict::Rejected(refused_before(run, update)),
        Ask::Signal { .. } | Ask::Cancel { .. } | Ask::Terminate { .. } if within => Verdict::Accepted,
        // A client that nobody answered began the run with its own request as mark; nobody had read this one by then.
        Ask::Signal { .. } | Ask::Cancel { .. } | Ask::Update { .. } | Ask::Terminate { .. } if between => reject(
            Code::NotFound,
            format!("run {run} of workflow {key} began after this came, and none went on before it"),
        ),
        // A run waits for the answer, so it gets one. What an earlier run took of others is remembered, unless the id
        // was used again; what it was asked to end has ended.
        Ask::Start(_) if item.request.origin.is_some() => {
            reject(Code::AlreadyUsed, format!("workflow {key} was used by another run"))
        }
        Ask::Signal { .. } if item.request.origin.is_some() => {
            reject(Code::Closed, format!("the run of workflow {key} that this came for has ended"))
        }
        Ask::Cancel { .. } if item.request.origin.is_some() => Verdict::Accepted,
        _ => Verdict::Unknown,
    }
}
