//! What the things that come in for a run mean to it.

use highwater_protocol::{
    Event, Failure, FailureKind, Key, RunId, TimeoutKind,
    event::Outcome,
    rejection::{Code, Rejection},
    request::{Ask, IdConflict, StartRequest},
    timer::TimerId,
};

use super::{
    Engine, RequestItem, Send,
    children::{is_meant, is_of},
    slot::{Item, Slot},
    updates,
};

/// What an item means to an open run.
pub(super) enum Meaning {
    /// This happened to it.
    Events(Vec<Event>),
    /// It changes nothing, but has to be on record by its mark before its sender is told.
    Noted,
    /// It does not concern the run any more.
    Nothing,
    /// Likewise, and what should have followed when it did may be missing.
    Suspect,
    /// The sender meant another run.
    Refuse(Rejection),
}

impl Meaning {
    fn event(event: Event) -> Self {
        Self::Events(vec![event])
    }

    fn event_if(event: Option<Event>) -> Self {
        event.map_or(Self::Nothing, Self::event)
    }

    fn noted_unless(events: impl IntoIterator<Item = Event>) -> Self {
        let events: Vec<Event> = events.into_iter().collect();
        if events.is_empty() { Self::Noted } else { Self::Events(events) }
    }
}

impl Engine {
    /// Whether an item is a retry that a later one has taken the place of. Every failure arms one that fires twice, by
    /// the clock and by the server: if each counted, they would double with every failure.
    pub(super) fn is_past_retry(slot: &Slot, item: &Item) -> bool {
        let Some(tip) = slot.known() else { return false };
        let (run, timer) = match item {
            Item::Fire { fire, .. } => (fire.run, fire.timer),
            Item::Due { run, timer } => (*run, *timer),
            _ => return false,
        };
        matches!(timer, TimerId::TaskRetry(ordinal) if run != tip.frame.run || tip.retry != Some(ordinal))
    }

    /// What an item means to an open run.
    pub(super) fn meaning(&mut self, key: &Key, slot: &mut Slot, run: RunId, item: &Item) -> Meaning {
        match item {
            Item::Request(item) => {
                if let Ask::Child { run: of, report } = &item.request.ask {
                    self.end_stray(key, slot, *of, report);
                }
                meaning_of_request(key, slot, run, item)
            }
            // What it led to may have ended that run and begun this one, and the owner then.
            Item::Fire { fire, .. } if fire.run != run => Meaning::Suspect,
            Item::Fire { fire, .. } => self.timer_event(key, slot, run, fire.timer, true),
            Item::Due { run: meant, .. } if *meant != run => Meaning::Nothing,
            Item::Due { timer, .. } => self.timer_event(key, slot, run, *timer, false),
            Item::Step { run: meant, op, name, attempt, outcome } if *meant == run => {
                let (op, name, attempt, outcome) = (*op, name.clone(), *attempt, outcome.clone());
                Meaning::event(Event::StepClosed { op, name, attempt, outcome })
            }
            Item::Refused { run: meant, op, failure } if *meant == run && slot.open.activities.contains_key(op) => {
                let outcome = match failure.kind {
                    FailureKind::Cancelled => Outcome::Cancelled(failure.clone()),
                    _ => Outcome::Failed(failure.clone()),
                };
                Meaning::event(Event::ActivityClosed { op: *op, attempt: 0, outcome })
            }
            Item::Undelivered { run: of, event } if *of == run => {
                Meaning::event_if(Self::undelivered_event(slot, event))
            }
            Item::Step { .. } | Item::Undelivered { .. } | Item::Refused { .. } => Meaning::Nothing,
        }
    }

    fn timer_event(&mut self, key: &Key, slot: &mut Slot, run: RunId, timer: TimerId, durable: bool) -> Meaning {
        // A durable fire for a timer that is closed already may be all that is left of what should have followed it.
        let passed = if durable { Meaning::Suspect } else { Meaning::Nothing };
        match timer {
            TimerId::Sleep(op) if slot.open.timers.contains_key(&op) => Meaning::event(Event::TimerFired { op }),
            TimerId::ScheduleToClose(op) => {
                let Some(open) = slot.open.activities.get(&op) else { return passed };
                let text = format!("activity {} had no outcome in time", open.call.name);
                let failure = Failure::timeout(TimeoutKind::ScheduleToClose, text);
                let queue = open.call.queue.clone();
                self.cancel_activity(key, slot, run, op, queue);
                Meaning::event(Event::ActivityClosed { op, attempt: 0, outcome: Outcome::Failed(failure) })
            }
            TimerId::ScheduleToStart(op) => {
                let Some(open) = slot.open.activities.get(&op) else { return passed };
                let text = format!(
                    "no worker of queue {} took activity {} in time; is one running that has this activity?",
                    open.call.queue, open.call.name
                );
                let failure = Failure::timeout(TimeoutKind::ScheduleToStart, text);
                let queue = open.call.queue.clone();
                self.send(key, slot, Send::DecideStart { run, op, queue, failure });
                Meaning::Nothing
            }
            TimerId::Delay if slot.open.delay.is_some() => Meaning::event(Event::DelayPassed),
            // A retry needs no event: the run was built again before it got here, or when the clock told of it before,
            // and then what followed may be missing. A run timeout never gets here.
            _ => passed,
        }
    }
}

fn meaning_of_request(key: &Key, slot: &Slot, run: RunId, item: &RequestItem) -> Meaning {
    let ended = |meant: RunId| {
        let text = format!("run {meant} of workflow {key} has ended; run {run} took its place");
        Meaning::Refuse(Rejection::new(Code::Closed, text))
    };
    match &item.request.ask {
        Ask::Signal { meant: Some(meant), .. }
        | Ask::Cancel { meant: Some(meant), .. }
        | Ask::Update { meant: Some(meant), .. }
            if !slot.known().is_some_and(|tip| is_of(tip, *meant)) =>
        {
            ended(meant.run())
        }
        Ask::Terminate { run: Some(meant), .. } if !slot.known().is_some_and(|tip| is_meant(tip, item, *meant)) => {
            ended(*meant)
        }
        // It was sent again, as its sender did not know that it is here.
        Ask::Signal { signal, .. } if signal.from.is_some_and(|from| slot.open.has_taken(from)) => Meaning::Noted,
        Ask::Signal { signal, .. } => Meaning::event(Event::Signaled(signal.clone())),
        Ask::Cancel { .. } if updates::sender(item).is_some_and(|from| slot.open.has_taken_cancel(from)) => {
            Meaning::Noted
        }
        Ask::Cancel { reason, .. } => {
            Meaning::event(Event::CancelRequested { reason: reason.clone(), from: updates::sender(item) })
        }
        Ask::Update { update, .. } => Meaning::noted_unless(updates::new_to(slot, Some(update))),
        Ask::Start(start) => {
            let signals = start.signals.iter().cloned().map(Event::Signaled);
            Meaning::noted_unless(signals.chain(updates::new_to(slot, start.update.as_deref())))
        }
        Ask::Activity { run: meant, report } => {
            if *meant != run || !slot.open.activities.contains_key(&report.op) {
                return Meaning::Nothing;
            }
            let (op, attempt, outcome) = (report.op, report.attempt, report.outcome.clone());
            Meaning::event(Event::ActivityClosed { op, attempt, outcome })
        }
        Ask::Child { run: of, report } if *of == run => Meaning::event_if(Engine::child_event(slot, report)),
        Ask::External { run: of, report } if *of == run => Meaning::event_if(Engine::external_event(slot, report)),
        Ask::Terminate { .. } | Ask::Child { .. } | Ask::External { .. } => Meaning::Nothing,
    }
}

/// The run whose time is up by this item, if that is what it says.
pub(super) fn is_run_timeout(item: &Item) -> Option<RunId> {
    match item {
        Item::Fire { fire, .. } if fire.timer == TimerId::Run => Some(fire.run),
        Item::Due { run, timer: TimerId::Run } => Some(*run),
        _ => None,
    }
}

/// Whether an item is decided upon without the code of an open run.
pub(super) fn stands_alone(item: &Item, run: RunId) -> bool {
    match item {
        Item::Request(request) => match &request.request.ask {
            Ask::Start(start) => start.run == Some(run) || !brings_messages(start),
            ask => matches!(ask, Ask::Terminate { .. }),
        },
        Item::Fire { .. } | Item::Due { .. } => is_run_timeout(item).is_some(),
        Item::Step { .. } | Item::Undelivered { .. } | Item::Refused { .. } => false,
    }
}

/// Whether a start has something to say to a run that goes on.
fn brings_messages(start: &StartRequest) -> bool {
    start.id_conflict == IdConflict::UseExisting && (!start.signals.is_empty() || start.update.is_some())
}

/// About how many bytes an item adds to a record.
pub(super) fn weight(item: &Item) -> usize {
    const FIXED: usize = 64;
    match item {
        Item::Request(request) => request.message.payload.len() + FIXED,
        Item::Step { outcome: Outcome::Completed(payload), .. } => payload.data.len() + FIXED,
        Item::Step { .. } | Item::Fire { .. } | Item::Due { .. } | Item::Undelivered { .. } | Item::Refused { .. } => {
            FIXED
        }
    }
}
