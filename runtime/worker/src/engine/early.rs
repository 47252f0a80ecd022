//! Answers that go out with the record that they tell of. Whoever asked hears the record's acknowledgement as soon as
//! this process does, and takes the answer for true only then. So he does not wait for it to come here and for the
//! answer to go back.

use highwater_protocol::{Event, reply::Reply, request::Ask};

use super::{
    Item, RequestItem,
    accept::begins,
    closing::closed,
    slot::{After, Appending, Batch},
    updates::updated,
};

/// What the sender of a request is told.
#[derive(Debug)]
pub(crate) struct Early {
    pub(crate) to: String,
    pub(crate) reply: Reply,
}

impl Early {
    /// What the record under way means for the sender of the one request that it deals with, if he takes early answers.
    /// Nothing that is not certain once the record is stored.
    pub(super) fn of(batch: &Batch) -> Option<Self> {
        let (Some(appending), [Item::Request(item)]) = (&batch.appending, batch.items.as_slice()) else { return None };
        let is_all = batch.drafts.is_empty() && appending.ended.is_none();
        let is_accepted = matches!(batch.after, After::Accept) && batch.refused.is_empty();
        if !item.request.early || item.internal || !is_all || !is_accepted {
            return None;
        }
        Some(Self { reply: answer(appending, item)?, to: item.request.reply.clone()? })
    }

    pub(super) fn is(&self, to: &str, reply: &Reply) -> bool {
        self.to == to && self.reply == *reply
    }
}

fn answer(Appending { frame, events, status, .. }: &Appending, item: &RequestItem) -> Option<Reply> {
    let run = frame.run;
    match &item.request.ask {
        // Of its update there is more to be said.
        Ask::Start(start) if start.update.is_some() => None,
        Ask::Start(_) if frame.closed && begins(run, item) => closed(events.last()?, run, *status).map(Reply::Closed),
        Ask::Start(_) | Ask::Signal { .. } | Ask::Cancel { .. } => Some(Reply::Accepted { run }),
        Ask::Update { update, .. } => {
            let is_new = |event: &Event| matches!(event, Event::UpdateAccepted(new) if new.id == update.id);
            let done = events.iter().find_map(|event| match event {
                Event::UpdateClosed { id, outcome } if *id == update.id => Some(outcome.clone()),
                _ => None,
            });
            match done {
                _ if !events.iter().any(is_new) => None,
                Some(outcome) => Some(updated(run, &update.id, outcome)),
                // What ends before its update does answers that in another way.
                None => (!frame.closed).then_some(Reply::Accepted { run }),
            }
        }
        Ask::Terminate { .. } | Ask::Activity { .. } | Ask::Child { .. } | Ask::External { .. } => None,
    }
}
