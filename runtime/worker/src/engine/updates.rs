//! Updates: requests that a run answers twice, when it has accepted them and when they are done.

use highwater_protocol::{
    Event, Failure, FailureKind, Key, Payload, RunId, UpdateId,
    event::{Outcome, Sender, Update},
    rejection::{Code, Rejection},
    reply::{Reply, Updated},
    request::Ask,
    subject::Verb,
};

use super::{
    Action, Engine, Item, RequestItem,
    slot::{Batch, Slot},
};

/// The update that an item brings.
pub(super) fn update_of(item: &Item) -> Option<&Update> {
    let Item::Request(request) = item else { return None };
    match &request.request.ask {
        Ask::Update { update, .. } => Some(update),
        Ask::Start(start) => start.update.as_deref(),
        _ => None,
    }
}

/// Where the sender of an item hears of it.
pub(super) fn reply_of(item: &Item) -> Option<&str> {
    let Item::Request(request) = item else { return None };
    request.request.reply.as_deref()
}

/// Whether an item brings an update, or a message of another run's, that the batch has already. Whether the one there
/// counts is not known yet.
pub(super) fn repeats(batch: &Batch, item: &Item) -> bool {
    if let Some(message) = message_of(item) {
        return batch.items.iter().filter_map(message_of).any(|other| other == message);
    }
    let Some(update) = update_of(item) else { return false };
    batch.items.iter().filter_map(update_of).any(|other| other.id == update.id)
}

/// The message of another run's that an item is. A child is cancelled under the number that it was started under.
fn message_of(item: &Item) -> Option<(Verb, Sender)> {
    let Item::Request(request) = item else { return None };
    match &request.request.ask {
        Ask::Signal { signal, .. } => Some((Verb::Signal, signal.from?)),
        Ask::Cancel { .. } => Some((Verb::Cancel, sender(request)?)),
        _ => None,
    }
}

/// The run that sent a request, when it was one that waits for an answer.
pub(super) fn sender(item: &RequestItem) -> Option<Sender> {
    item.request.origin.as_ref().map(|origin| Sender { run: origin.run, op: origin.op })
}

/// The event of an update that the run has not accepted before.
pub(super) fn new_to(slot: &Slot, update: Option<&Update>) -> Option<Event> {
    let update = update.filter(|update| !slot.open.updates.contains_key(&update.id))?;
    Some(Event::UpdateAccepted(Box::new(update.clone())))
}

/// Takes the updates out of what the code would not take: nobody can say whether it accepts them.
pub(super) fn refuse_all(events: &mut Vec<Event>, failure: &Failure) -> Vec<(UpdateId, Rejection)> {
    let text =
        format!("the run is blocked, and its code cannot say whether it takes this; send it again later: {failure}");
    let mut refused = Vec::new();
    events.retain(|event| match event {
        Event::UpdateAccepted(update) => {
            refused.push((update.id.clone(), Rejection::new(Code::Blocked, text.clone())));
            false
        }
        _ => true,
    });
    refused
}

impl Engine {
    /// Tells the sender of an update its outcome, now when there is one on record, or else when there is.
    pub(super) fn answer_update(&mut self, slot: &mut Slot, run: RunId, item: &Item) {
        let Some(update) = update_of(item) else { return };
        let Some(open) = slot.open.updates.get_mut(&update.id) else { return };
        match (open.outcome.clone(), reply_of(item)) {
            (Some(outcome), reply) => self.reply(reply, updated(run, &update.id, outcome)),
            (None, Some(reply)) => open.tell_too(reply),
            (None, None) => {}
        }
    }

    /// An update's outcome is on record.
    pub(super) fn update_closed(&mut self, key: &Key, slot: &Slot, run: RunId, id: &UpdateId, outcome: &Outcome) {
        let reply = updated(run, id, outcome.clone());
        self.actions.push(Action::Announce { key: key.clone(), reply: reply.clone() });
        let Some(open) = slot.open.updates.get(id) else { return };
        // Whoever brought it in this very transition is told when that is done.
        let brought = slot.batch.items.iter().filter(|item| update_of(item).is_some_and(|update| update.id == *id));
        let here: Vec<&str> = brought.filter_map(reply_of).collect();
        for to in open.told().filter(|to| !here.contains(to)) {
            self.reply(Some(to), reply.clone());
        }
    }

    /// The run has ended, and what it has not answered it never will.
    pub(super) fn close_updates(&mut self, key: &Key, slot: &mut Slot, run: RunId) {
        for (id, open) in &mut slot.open.updates {
            if open.outcome.is_none() {
                let never = Outcome::Failed(Failure::new(FailureKind::Closed, "the run ended before the update did"));
                let reply = updated(run, id, never.clone());
                self.actions.push(Action::Announce { key: key.clone(), reply: reply.clone() });
                for to in open.told() {
                    self.reply(Some(to), reply.clone());
                }
                open.outcome = Some(never);
            }
        }
    }
}

/// What the sender of an update is told of its outcome.
pub(super) fn updated(run: RunId, id: &UpdateId, outcome: Outcome) -> Reply {
    let outcome: Result<Payload, Failure> = match outcome {
        Outcome::Completed(result) => Ok(result),
        Outcome::Failed(failure) | Outcome::Cancelled(failure) => Err(failure),
        other => {
            Err(Failure::new(FailureKind::Payload, format!("an outcome that this worker does not know: {other:?}")))
        }
    };
    Reply::Updated(Updated { run, id: id.clone(), outcome })
}
