//! Which changes of the code a run goes with.
//!
//! Code that asks for a change for the first time at the end of the history goes with it, and that is recorded. Code
//! that asks at a place which the history has passed goes with the change when it is on record there or before, and
//! otherwise as it did then. What is answered once stays so for the run.
//!
//! The record goes before the commands that followed from the answer, in the same record as they, or else in the first
//! of the records that they were cut into: so replay, which looks through a record before it runs the code, always
//! finds it.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use highwater_protocol::{Event, TypeName};

use super::Shared;

/// The changes that are on record, and what the code was told.
#[derive(Default)]
pub(super) struct Patches {
    recorded: RefCell<BTreeSet<TypeName>>,
    answers: RefCell<BTreeMap<TypeName, bool>>,
    /// The code is at the end of its history.
    at_end: Cell<bool>,
}

impl Patches {
    /// Notes the changes in a record before the code comes to it.
    pub(super) fn look_ahead(&self, events: &[Event]) {
        let ids = events.iter().filter_map(|event| match event {
            Event::Patched { id, .. } => Some(id.clone()),
            _ => None,
        });
        self.recorded.borrow_mut().extend(ids);
    }

    /// From here on the history says nothing.
    pub(super) fn reach_end(&self) {
        self.at_end.set(true);
    }
}

impl Shared {
    /// Whether the code goes with a change; `deprecated` when it always does.
    #[track_caller]
    pub(crate) fn patched(&self, id: &str, deprecated: bool) -> bool {
        self.refuse_in_query("ctx.patched");
        let id = TypeName::new(id).unwrap_or_else(|error| panic!("no change can have this id: {error}"));
        let patches: &Rc<Patches> = &self.patches;
        if let Some(answer) = patches.answers.borrow().get(&id) {
            return *answer;
        }
        let recorded = patches.recorded.borrow().contains(&id);
        let at_end = patches.at_end.get() || !self.is_replaying();
        if at_end && !recorded {
            self.commands.borrow_mut().push(Event::Patched { id: id.clone(), deprecated });
        }
        let answer = recorded || at_end;
        patches.answers.borrow_mut().insert(id, answer);
        answer
    }
}

/// Whether a transition may be cut into records between these two of its events, which follow each other.
pub fn may_cut(before: &Event, after: &Event) -> bool {
    let inbound = |event: &Event| event.class() == highwater_protocol::event::Class::Inbound;
    let patched = |event: &Event| matches!(event, Event::Patched { .. });
    !(inbound(before) && inbound(after) || patched(before) && patched(after))
}
