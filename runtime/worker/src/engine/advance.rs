//! What a run does next.

use highwater_protocol::{
    Event, Failure, Key, Status,
    query::QueryRejected,
    rejection::{Code, Rejection},
    reply::Reply,
    request::Ask,
};

use super::{
    Action, Engine,
    children::{is_meant, is_start},
    meaning::{Meaning, is_run_timeout, stands_alone, weight},
    slot::{After, Batch, Item, KnownTip, Slot, Stage, Tip},
    updates,
};
use crate::executor::Job;

/// How many events one transition takes at most.
pub(super) const BATCH_MAX: usize = 128;

/// Whether a run can go on.
pub(super) enum Next {
    /// Nothing can be done now.
    Wait,
    /// Look again: something was dealt with.
    Again,
}

impl Engine {
    /// Lets a run go on as far as it can without an answer from outside.
    pub(super) fn advance(&mut self, key: &Key, slot: &mut Slot) {
        while slot.stage == Stage::Idle {
            if let Some(reason) = slot.unreadable.clone() {
                self.refuse_unreadable(slot, &reason);
                return;
            }
            if slot.must_load {
                self.load(key, slot);
                return;
            }
            let next = match slot.tip {
                Tip::Unknown => self.advance_unknown(key, slot),
                Tip::Absent => self.advance_absent(key, slot),
                Tip::Known(_) => self.advance_known(key, slot),
            };
            if matches!(next, Next::Wait) {
                return;
            }
        }
    }

    /// Nothing is known of the history. A start is tried without looking, as most ids are new; the conditional append
    /// tells if this one was not.
    fn advance_unknown(&mut self, key: &Key, slot: &mut Slot) -> Next {
        let speculative = matches!(slot.pending.front(), Some(Item::Request(item)) if matches!(&item.request.ask, Ask::Start(start) if start.expect.unwrap_or(0) == 0));
        if speculative && slot.questions.is_empty() {
            let item = slot.pending.pop_front().expect("it was there");
            self.begin(key, slot, item, None);
            return Next::Wait;
        }
        if slot.pending.is_empty() && slot.questions.is_empty() {
            return Next::Wait;
        }
        slot.must_load = true;
        Next::Again
    }

    /// The leader says that there is no history.
    fn advance_absent(&mut self, key: &Key, slot: &mut Slot) -> Next {
        let reason = format!("there is no workflow with id {key}");
        self.answer_all(slot, "not-found", &reason);
        let Some(item) = slot.pending.pop_front() else { return Next::Wait };
        match &item {
            Item::Request(request) if matches!(&request.request.ask, Ask::Start(start) if start.expect.unwrap_or(0) == 0) =>
            {
                self.begin(key, slot, item, None);
                return Next::Wait;
            }
            Item::Request(request) if matches!(request.request.ask, Ask::Start(_)) => {
                let text =
                    format!("workflow {key} had a history when its starter looked, and has none now; look again");
                self.reject_item(slot, item, Rejection::new(Code::Conflict, text));
            }
            Item::Request(request) if !request.request.ask.is_report() => {
                self.reject_item(slot, item, Rejection::new(Code::NotFound, reason));
            }
            // The run that this was for is gone with its history.
            Item::Request(_)
            | Item::Fire { .. }
            | Item::Step { .. }
            | Item::Due { .. }
            | Item::Undelivered { .. }
            | Item::Refused { .. } => {
                slot.take(&item);
            }
        }
        Next::Again
    }

    fn advance_known(&mut self, key: &Key, slot: &mut Slot) -> Next {
        self.settle_unit(key, slot);
        if self.pass_on_foreign(slot) {
            return Next::Again;
        }
        let waiting = slot.pending.len();
        if let Some(next) = self.drop_stale(key, slot) {
            return next;
        }
        if slot.pending.len() < waiting {
            // What stood behind them may be for another queue.
            return Next::Again;
        }
        let (closed, known_start) = slot.known().map_or((false, false), |tip| (tip.is_closed(), tip.started.is_some()));
        if !slot.left_is_known && Self::ends_another(slot) {
            // A client has ended a run, and another one has begun under the id since.
            (slot.suspect, slot.confirmed) = (true, false);
        }
        if slot.suspect && !slot.confirmed {
            if slot.sending > 0 {
                // What is on its way must not overtake what is sent again: a task could be sent after its own outcome.
                return Next::Wait;
            }
            // The history tells what is to be sent again; a run that was built has used it up.
            let follows = slot.known().is_some_and(follows_another);
            if !known_start || slot.history.is_empty() || follows && !slot.left_is_known {
                slot.must_load = true;
                slot.must_load_all = true;
                return Next::Again;
            }
            slot.confirmed = true;
            self.send_again(key, slot);
        }
        if slot.suspect && (closed || slot.live) {
            slot.suspect = false;
        }
        self.verify_again(key, slot);
        if self.fail_too_long(key, slot) {
            return Next::Wait;
        }
        if !slot.live && !slot.questions.is_empty() || !slot.live && !closed && (slot.suspect || Self::needs_code(slot))
        {
            if slot.history.is_empty() || !known_start {
                slot.must_load = true;
                slot.must_load_all = true;
                return Next::Again;
            }
            slot.suspect = false;
            self.rebuild_run(key, slot);
            return Next::Wait;
        }
        self.ask_code(key, slot);
        if slot.pending.is_empty() {
            return Next::Wait;
        }
        if closed { self.advance_closed(key, slot) } else { self.advance_open(key, slot) }
    }

    /// Whether the item at the front is to end an earlier run.
    fn ends_another(slot: &Slot) -> bool {
        let (Some(tip), Some(Item::Request(item))) = (slot.known(), slot.pending.front()) else { return false };
        match &item.request.ask {
            Ask::Terminate { run: Some(meant), .. } => !is_meant(tip, item, *meant) && follows_another(tip),
            _ => false,
        }
    }

    /// Whether the item at the front is one for the code.
    fn needs_code(slot: &Slot) -> bool {
        match slot.pending.front() {
            None => false,
            Some(item) => {
                let run = slot.known().map(|tip| tip.frame.run);
                run.is_none_or(|run| !stands_alone(item, run)) && !Self::is_past_retry(slot, item)
            }
        }
    }

    fn advance_open(&mut self, key: &Key, slot: &mut Slot) -> Next {
        let Some(tip) = slot.known() else { return Next::Wait };
        let run = tip.frame.run;
        let Some(front) = slot.pending.front() else { return Next::Wait };
        let timed_out = is_run_timeout(front) == Some(run);
        let terminated = match front {
            Item::Request(item) => match &item.request.ask {
                Ask::Start(_) if stands_alone(front, run) => return self.start_on_open(key, slot),
                Ask::Terminate { run: Some(meant), .. }
                    if !slot.known().is_some_and(|tip| is_meant(tip, item, *meant)) =>
                {
                    None
                }
                Ask::Terminate { reason, .. } => Some(Event::Terminated { reason: reason.clone() }),
                _ => None,
            },
            _ => None,
        };
        if !timed_out && terminated.is_none() {
            return self.activate(key, slot);
        }
        let item = slot.pending.pop_front().expect("it was there");
        match terminated {
            Some(event) => {
                self.close_from_outside(key, slot, vec![item], event, None);
                Next::Wait
            }
            None => self.time_out(key, slot, item),
        }
    }

    /// Gives the code what it can take now.
    fn activate(&mut self, key: &Key, slot: &mut Slot) -> Next {
        let Some(tip) = slot.known() else { return Next::Wait };
        let run = tip.frame.run;
        // Mostly it is one, and this is done for every step of every run.
        let mut batch = Batch { items: Vec::with_capacity(1), ..Batch::default() };
        let mut size = 0;
        let mut first = true;
        while let Some(item) = slot.pending.front() {
            let full = batch.items.len() >= BATCH_MAX || size + weight(item) > self.limits.payload_max / 2;
            let first = std::mem::take(&mut first);
            let apart = stands_alone(item, run) || updates::repeats(&batch, item);
            if !first && (full || apart || !slot.live || !self.is_news(slot, item)) {
                break;
            }
            let item = slot.pending.pop_front().expect("it was there");
            match self.meaning(key, slot, run, &item) {
                Meaning::Events(events) => {
                    let begins = matches!(events.as_slice(), [Event::DelayPassed]);
                    size += weight(&item);
                    if batch.events.is_empty() {
                        batch.events = events;
                    } else {
                        batch.events.extend(events);
                    }
                    batch.items.push(item);
                    if begins {
                        // The code may end at once, and then nobody takes what would stand behind.
                        break;
                    }
                }
                Meaning::Noted => {
                    batch.moves_marks = true;
                    batch.items.push(item);
                }
                Meaning::Nothing => slot.take(&item),
                Meaning::Suspect => {
                    slot.take(&item);
                    slot.suspect |= !slot.confirmed;
                }
                Meaning::Refuse(rejection) => self.reject_item(slot, item, rejection),
            }
        }
        if batch.items.is_empty() {
            return Next::Again;
        }
        if batch.events.is_empty() {
            self.record_marks(key, slot, batch.items, After::Accept);
            return Next::Wait;
        }
        debug_assert!(slot.live, "a run is live before it is given events");
        self.suggest_continue_as_new(slot, &mut batch);
        let time = self.time();
        let events = batch.events.clone();
        slot.batch = batch;
        slot.stage = Stage::Running;
        self.actions.push(Action::Job(Job::Activate {
            key: key.clone(),
            generation: slot.generation,
            run,
            events,
            time,
        }));
        Next::Wait
    }

    fn advance_closed(&mut self, key: &Key, slot: &mut Slot) -> Next {
        let Some(tip) = slot.known() else { return Next::Wait };
        let (run, status) = (tip.frame.run, tip.status);
        let Some(item) = slot.pending.pop_front() else { return Next::Wait };
        match &item {
            Item::Request(request) => match &request.request.ask {
                Ask::Start(_) => return self.start_on_closed(key, slot, item),
                Ask::Terminate { .. } if status == Status::Terminated && !request.internal => {
                    // Most likely the client that sent this has appended the closing record itself.
                    self.reply(request.request.reply.as_deref(), Reply::Accepted { run });
                    slot.take(&item);
                    slot.suspect |= !slot.confirmed;
                }
                Ask::Child { report, .. }
                    if is_start(report) && slot.known().is_some_and(|tip| tip.started.is_none()) =>
                {
                    // Whether it is one that should have ended with the run only the whole history tells.
                    slot.pending.push_front(item);
                    slot.must_load = true;
                    slot.must_load_all = true;
                }
                Ask::Child { run: of, report } => {
                    let (of, report) = (*of, report.clone());
                    self.end_stray(key, slot, of, &report);
                    slot.take(&item);
                }
                Ask::Activity { .. } | Ask::External { .. } => slot.take(&item),
                Ask::Signal { .. } | Ask::Update { .. } | Ask::Cancel { .. } | Ask::Terminate { .. } => {
                    let text = format!("the run {run} of workflow {key} is {status}; start a new run to talk to");
                    self.reject_item(slot, item, Rejection::new(Code::Closed, text));
                }
            },
            Item::Fire { .. } => {
                slot.take(&item);
                slot.suspect |= !slot.confirmed;
            }
            Item::Step { .. } | Item::Due { .. } | Item::Undelivered { .. } | Item::Refused { .. } => {}
        }
        Next::Again
    }

    /// Puts the questions to the code, when it is there.
    fn ask_code(&mut self, key: &Key, slot: &mut Slot) {
        if !slot.live {
            return;
        }
        for question in std::mem::take(&mut slot.questions) {
            let token = self.next_token;
            self.next_token += 1;
            self.asked.insert(token, question.reply);
            slot.asking += 1;
            let (name, input, generation) = (question.name, question.input, slot.generation);
            self.actions.push(Action::Job(Job::Query { key: key.clone(), generation, name, input, token }));
        }
    }

    /// Questions cannot be answered, as the code would not take its history.
    pub(super) fn refuse_questions(&mut self, slot: &mut Slot, failure: &Failure) {
        for question in std::mem::take(&mut slot.questions) {
            let answer =
                Err(QueryRejected { code: "blocked".into(), reason: format!("the run is blocked: {failure}") });
            self.actions.push(Action::Answer { reply: question.reply, answer });
        }
    }
}

/// Whether there was a run before this one under the same id.
pub(super) fn follows_another(tip: &KnownTip) -> bool {
    tip.started.as_ref().is_some_and(|started| started.continued_from.is_some() || started.prior.is_some())
}
