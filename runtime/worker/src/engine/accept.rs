//! What senders are told once that is on record which they asked for.

use highwater_protocol::{RunId, reply::Reply, request::Ask};

use super::{
    Engine, Item, RequestItem,
    requests::derived_run,
    slot::{After, Slot},
    updates::update_of,
};

impl Engine {
    /// Tells the senders of consumed items what became of them in a run.
    pub(super) fn accept_items(&mut self, slot: &mut Slot, run: RunId) {
        let closed = slot.known().is_some_and(|tip| tip.frame.run == run && tip.is_closed());
        let after = std::mem::take(&mut slot.batch.after);
        let refused = std::mem::take(&mut slot.batch.refused);
        for item in std::mem::take(&mut slot.batch.items) {
            let update = update_of(&item).map(|update| &update.id);
            let refusal = refused.iter().find(|(id, _)| Some(id) == update).map(|(_, rejection)| rejection.clone());
            let rejection = match (&item, &after) {
                (Item::Request(_), After::Reject(rejection)) => Some(rejection.clone()),
                // A start is not refused for the update that it brings.
                (Item::Request(request), _) if matches!(request.request.ask, Ask::Update { .. }) => refusal.clone(),
                _ => None,
            };
            if let Some(rejection) = rejection {
                self.reject_item(slot, item, rejection);
                continue;
            }
            if let Item::Request(request) = &item {
                let to = request.request.reply.as_deref();
                // A start whose run has ended already has its answer, the end, and an update that is done its outcome.
                let has_ended = closed && begins(run, request);
                if !has_ended && !is_done(slot, request) {
                    self.reply(to, Reply::Accepted { run });
                }
                if let Some(rejection) = refusal {
                    self.reply(to, Reply::Rejected(rejection));
                }
                self.answer_update(slot, run, &item);
                if !begins(run, request) {
                    self.answer_origin(slot, request, None);
                }
            }
            slot.take(&item);
        }
    }
}

/// Whether a request is an update that has its outcome.
fn is_done(slot: &Slot, item: &RequestItem) -> bool {
    let Ask::Update { update, .. } = &item.request.ask else { return false };
    slot.open.updates.get(&update.id).is_some_and(|open| open.outcome.is_some())
}

/// Whether a request is the start of a run.
pub(super) fn begins(run: RunId, item: &RequestItem) -> bool {
    match &item.request.ask {
        Ask::Start(start) => start.run.unwrap_or_else(|| derived_run(&item.message)) == run,
        _ => false,
    }
}
