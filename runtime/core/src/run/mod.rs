//! One run as a state machine: events in, commands out.
//!
//! A [`Run`] is fed in two ways. [`Run::replay`] gives it what its history holds, record by record, and checks that the
//! code issues the same commands. [`Run::activate`] gives it events that are not in the history yet and returns the
//! transition to be recorded. Both go through the same steps, so a run that was replayed is the run that was there:
//!
//! 1. The inbound events that stand together are applied in order; each resolves what waits for it.
//! 2. The code is polled until it waits for something that is not there.
//! 3. The commands it issued are compared with those on record, or become the transition.
//!
//! So the code sees events in the batches in which they were recorded. A transition may be cut into several records
//! where [`may_cut`] says so, and two transitions may not be joined into one record.
//!
//! What the code does at the same time are tasks: the workflow itself, handlers, what it spawned. They are polled in
//! the order in which they were made, and only those that were woken. The run ends when the workflow has returned and
//! no handler is left that it waits for.

mod ask;
mod beside;
mod factory;
mod guards;
mod handlers;
mod inside;
mod limits;
mod live;
mod mailbox;
mod messages;
mod mismatch;
mod operations;
mod patches;
mod poll;
mod replay;
mod scope;
mod state;
mod tasks;
mod trail;
mod transition;
mod weight;

use std::{collections::VecDeque, fmt, rc::Rc, sync::Arc};

use highwater_protocol::{
    Event, Failure, FailureKind, RunId, Started, Timestamp,
    event::Update,
    rejection::{Code, Rejection},
};

use crate::panic;
use beside::Beside;
use live::Live;

pub use factory::{Registry, RegistryError};
pub use handlers::Unfinished;
pub(crate) use handlers::{Begin, Ending, QueryHandler, SignalHandler, UpdateHandler, Validate, Work};
pub(crate) use inside::LocalWait;
pub use limits::Limits;
pub use mailbox::Unhandled;
pub(crate) use operations::{ChildView, Kind, Making, OnCancel, Resolution};
pub use operations::{StepRun, StepWork};
use patches::Patches;
pub use patches::may_cut;
pub(crate) use scope::Scope;
use state::Beginning;
pub(crate) use state::{Awaited, Shared};
pub(crate) use tasks::{Ended, Role};
pub use trail::Trail;
pub use transition::{Conclusion, NextRun, TaskFailure, Transition};
pub use weight::weight;

/// Whether inbound events were applied that the code has not seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Nothing,
    /// There were some.
    Poll,
    /// There were, and the code has seen them, but what came of it is further on in the history, if anywhere.
    Deferred,
}

/// One run.
pub struct Run {
    registry: Arc<Registry>,
    limits: Limits,
    live: Option<Live>,
    /// Commands that the code issued and the history has not shown yet.
    unmatched: VecDeque<Event>,
    conclusion: Option<Conclusion>,
    /// The end of the run is on record or in a transition; nothing comes after it.
    closed: bool,
    /// Answers to recorded calls that were too large, and that the history has not shown yet.
    refusals: Vec<Event>,
    due: Due,
    /// The code was polled at least once.
    begun: bool,
    patches: Rc<Patches>,
    /// The number of the last event seen, in the run's history.
    event_number: u64,
    /// What the events weigh that were seen.
    bytes: u64,
    /// What the code has gone through last, and where it differs.
    beside: Beside,
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("events", &self.event_number)
            .field("unmatched", &self.unmatched)
            .finish_non_exhaustive()
    }
}

impl Drop for Run {
    /// Whatever the code still holds is dropped without a command: evicting is not cancelling.
    fn drop(&mut self) {
        if let Some(live) = self.live.take() {
            live.shared.mute();
            live.shared.tasks.end();
            live.shared.clear();
        }
    }
}

impl Run {
    /// A run without history. The first event it is given is [`Event::Started`].
    pub fn new(registry: Arc<Registry>, limits: Limits) -> Self {
        Self {
            registry,
            limits,
            live: None,
            unmatched: VecDeque::new(),
            conclusion: None,
            closed: false,
            refusals: Vec::new(),
            due: Due::Nothing,
            begun: false,
            patches: Rc::default(),
            event_number: 0,
            bytes: 0,
            beside: Beside::default(),
        }
    }

    /// Gives the run events that are not in its history. Events that no longer concern it (a second outcome of an
    /// activity, the fire of a cancelled timer) are left out of the transition.
    ///
    /// After an error the run is in no defined state: drop it and rebuild it from its history.
    pub fn activate(&mut self, id: RunId, events: Vec<Event>, time: Timestamp) -> Result<Transition, TaskFailure> {
        assert!(self.unmatched.is_empty(), "finish_replay takes what the history did not show");
        self.rest(false);
        let mut transition = Transition { events: Vec::with_capacity(events.len() + 1), ..Transition::default() };
        self.set_time(time);
        for event in events {
            if let Event::UpdateAccepted(update) = &event
                && let Err(rejection) = self.judge(update)?
            {
                transition.refused.push((update.id.clone(), rejection));
                continue;
            }
            if self.accepts(&event) {
                self.note(&event);
                self.apply(id, &event, time, false)?;
                transition.events.push(event);
                self.due = Due::Poll;
            }
        }
        if self.due != Due::Nothing {
            self.poll()?;
        }
        self.collect(&mut transition)?;
        self.tell_unhandled()?;
        self.rest(true);
        self.release_room();
        Ok(transition)
    }

    fn tell_unhandled(&self) -> Result<(), TaskFailure> {
        let Some(live) = self.live.as_ref().filter(|live| !live.shared.is_delayed()) else { return Ok(()) };
        live.shared.tell_unhandled().map_err(|panic| Self::panicked(&live.shared, &panic))
    }

    /// Counts an event of the history.
    fn note(&mut self, event: &Event) {
        self.event_number += 1;
        self.bytes += weight::weight(event) as u64;
    }

    /// At rest, nothing of the run itself wakes its code.
    fn rest(&self, rests: bool) {
        if let Some(live) = &self.live {
            live.shared.tasks.rest(rests);
        }
    }

    /// Nothing may come for months: only what is needed then is kept.
    fn release_room(&mut self) {
        self.unmatched.shrink_to_fit();
        if let Some(live) = &self.live {
            live.shared.release_room();
        }
    }

    /// Whether an update that is new may be accepted.
    fn judge(&mut self, update: &Update) -> Result<Result<(), Rejection>, TaskFailure> {
        self.poll_before_update()?;
        Ok(match &self.live {
            Some(live) if live.shared.has_accepted(&update.id) => Ok(()),
            Some(live) if self.conclusion.is_none() => live.shared.judge(update),
            _ => Err(Rejection::new(Code::Closed, "the run has ended")),
        })
    }

    /// An update that comes with the start finds the handlers that the code registers when it begins.
    fn poll_before_update(&mut self) -> Result<(), TaskFailure> {
        if self.begun { Ok(()) } else { self.poll() }
    }

    /// Whether an event would change the run.
    pub fn accepts(&self, event: &Event) -> bool {
        let Some(live) = &self.live else { return matches!(event, Event::Started(_)) };
        if self.closed || self.conclusion.is_some() {
            return false;
        }
        live.accepts(event)
    }

    fn set_time(&self, time: Timestamp) {
        if let Some(live) = &self.live {
            live.shared.set_time(time);
        }
    }

    fn apply(&mut self, id: RunId, event: &Event, time: Timestamp, replaying: bool) -> Result<(), TaskFailure> {
        if let Event::Started(started) = event {
            if self.live.is_some() {
                return Err(self.nondeterminism(event, "the run has started already"));
            }
            return self.start(id, started, time, replaying);
        }
        let event_number = self.event_number;
        let Some(live) = &self.live else {
            let text = format!("event {event_number} ({event}) comes before Started: the history is damaged");
            return Err(TaskFailure { failure: Failure::new(FailureKind::Nondeterminism, text) });
        };
        let applied = if live.shared.may_reach_code(event) {
            live.shared.run_code(|| live.apply(&live.shared.inbound_event(event)))
        } else {
            // No code of the user's but the wakers of futures.
            panic::catch(|| live.apply(event))
        };
        match applied {
            Ok(Ok(())) => Ok(()),
            Ok(Err(found)) => Err(self.nondeterminism(event, &found)),
            Err(panic) => Err(Self::panicked(&live.shared, &panic)),
        }
    }

    fn start(&mut self, id: RunId, started: &Started, time: Timestamp, replaying: bool) -> Result<(), TaskFailure> {
        let interceptors = self.registry.interceptors(started);
        let (limits, patches) = (self.limits, Rc::clone(&self.patches));
        let beginning = Beginning { run: id, started, limits, interceptors, patches, replaying, now: time };
        let shared = Rc::new(Shared::new(beginning));
        let created = shared.run_code(|| {
            self.registry.begin(started, &shared)?;
            for signal in &started.signals {
                shared.signal(signal);
            }
            Some(Live { shared: Rc::clone(&shared) })
        });
        match created {
            Ok(Some(live)) => {
                self.live = Some(live);
                Ok(())
            }
            Ok(None) => Err(self.unknown(&started.workflow_type)),
            Err(panic) => {
                shared.clear();
                Err(Self::panicked(&shared, &panic))
            }
        }
    }
}
