//! One run as a state machine: events in, commands out.
//!
//! A [`Run`] is fed in two ways. [`Run::replay`] gives it what its history holds, record by record, and checks that the
//! code issues the same commands. [`Run::activate`] gives it events that are not in the history yet and returns the
//! transition to be recorded. Both go through the same steps, so a run that was replayed is the run that was there:
//!
//! 1. The inbound events that stand together are applied in order; each resolves what waits for it.
//! 2. The code is polled until it waits for something that is not there.
//! 3. The commands it issued are compared with those on record, or become the transition.

mod factory;
mod state;

use std::{
    collections::VecDeque,
    fmt,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use highwater_protocol::{
    Event, Failure, FailureKind, OpId, Payload, Started, Timestamp, TypeName,
    event::{Class, Outcome},
    query::QueryRejected,
};

use crate::panic;

pub use factory::{Registry, RegistryError};
pub(crate) use state::{Kind, Resolution, Shared};
pub use state::{Limits, StepRun};

/// How many times the code may wake itself in one activation before it is held to loop without waiting.
const POLLS_MAX: u32 = 100_000;

/// How the code ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Conclusion {
    /// With a value.
    Completed(Payload),
    /// With an error.
    Failed(Failure),
    /// After a request to cancel.
    Cancelled(Failure),
    /// To go on as a new run with this input.
    ContinueAsNew(Payload),
}

/// What an activation led to.
#[derive(Debug, Default)]
pub struct Transition {
    /// What to record: the inbound events that counted, each followed by the commands they led to.
    pub events: Vec<Event>,
    /// The local steps to run once that is recorded.
    pub steps: Vec<StepRun>,
    /// How the code ended, if it did.
    pub conclusion: Option<Conclusion>,
}

impl Transition {
    /// Whether there is nothing to record.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.conclusion.is_none()
    }
}

/// What the code would not do with its events. The run is to be dropped and rebuilt from its history.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskFailure {
    /// What went wrong.
    pub failure: Failure,
}

/// One run.
pub struct Run {
    registry: Arc<Registry>,
    limits: Limits,
    live: Option<Live>,
    /// Commands that the code issued and the history has not shown yet.
    unmatched: VecDeque<Event>,
    conclusion: Option<Conclusion>,
    /// Inbound events were applied, and the code has not seen them.
    unpolled: bool,
    /// The number of the last event seen, in the run's history.
    event_number: u64,
    wake: Arc<Wakeup>,
}

struct Live {
    started: Box<Started>,
    shared: Rc<Shared>,
    instance: factory::Instance,
}

struct Wakeup(AtomicBool);

impl Wake for Wakeup {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
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
        if let Some(live) = &self.live {
            live.shared.mute();
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
            unpolled: false,
            event_number: 0,
            wake: Arc::new(Wakeup(AtomicBool::new(false))),
        }
    }

    /// Goes through one record of the history, whose transition happened at `time`.
    pub fn replay(
        &mut self,
        id: highwater_protocol::RunId,
        events: &[Event],
        time: Timestamp,
    ) -> Result<(), TaskFailure> {
        let failed_task = matches!(events.last(), Some(Event::WorkflowTaskFailed { .. }));
        let mut rest = events;
        while let Some(first) = rest.first() {
            self.set_time(time);
            let inbound = rest.iter().take_while(|event| event.class() == Class::Inbound).count();
            if inbound > 0 {
                self.nothing_unmatched(first)?;
                for event in &rest[..inbound] {
                    self.event_number += 1;
                    self.apply(id, event, true)?;
                }
                rest = &rest[inbound..];
                self.unpolled = true;
                if failed_task && rest.len() == 1 {
                    self.event_number += 1;
                    return Ok(());
                }
            }
            if self.unpolled && !failed_task {
                self.poll()?;
            }
            let outbound = rest.iter().take_while(|event| event.class() != Class::Inbound).count();
            for event in &rest[..outbound] {
                self.event_number += 1;
                self.compare(event)?;
            }
            rest = &rest[outbound..];
        }
        Ok(())
    }

    /// After the last record of the history: what the code has asked for and nobody has recorded yet, because its worker
    /// ended in between.
    pub fn finish_replay(&mut self, time: Timestamp) -> Result<Transition, TaskFailure> {
        if let Some(live) = &self.live {
            live.shared.go_live();
        }
        if self.unpolled {
            self.set_time(time);
            self.poll()?;
        }
        let mut transition = Transition::default();
        self.collect(&mut transition)?;
        Ok(transition)
    }

    /// Gives the run events that are not in its history. Events that no longer concern it (a second outcome of an
    /// activity, the fire of a cancelled timer) are left out of the transition.
    ///
    /// After an error the run is in no defined state: drop it and rebuild it from its history.
    pub fn activate(
        &mut self,
        id: highwater_protocol::RunId,
        events: Vec<Event>,
        time: Timestamp,
    ) -> Result<Transition, TaskFailure> {
        assert!(self.unmatched.is_empty(), "finish_replay takes what the history did not show");
        let mut transition = Transition::default();
        self.set_time(time);
        for event in events {
            if self.accepts(&event) {
                self.event_number += 1;
                self.apply(id, &event, false)?;
                transition.events.push(event);
                self.unpolled = true;
            }
        }
        if self.unpolled {
            self.poll()?;
        }
        self.collect(&mut transition)?;
        Ok(transition)
    }

    /// Whether an event would change the run.
    pub fn accepts(&self, event: &Event) -> bool {
        let Some(live) = &self.live else { return matches!(event, Event::Started(_)) };
        if self.conclusion.is_some() {
            return false;
        }
        match event {
            Event::Started(_) => false,
            Event::ActivityClosed { op, .. } => live.shared.is_pending(*op, Kind::Activity),
            Event::StepClosed { op, .. } => live.shared.is_pending(*op, Kind::Step),
            Event::TimerFired { op } => live.shared.is_pending(*op, Kind::Timer),
            Event::CancelRequested { .. } => !live.shared.cancel_requested(),
            _ => true,
        }
    }

    /// Answers a query.
    pub fn query(&self, name: &TypeName, input: &Payload) -> Result<Payload, QueryRejected> {
        let rejected = |code: &str, reason: String| Err(QueryRejected { code: code.into(), reason });
        let Some(live) = &self.live else {
            return rejected("blocked", "the run has not started: its first workflow task failed".into());
        };
        let answer = panic::catch(|| {
            live.instance.query(name.as_str(), input).or_else(|| live.shared.query(name.as_str(), input))
        });
        match answer {
            Ok(Some(Ok(result))) => Ok(result),
            Ok(Some(Err(error))) => {
                rejected("bad-argument", format!("the argument or result of query {name} does not fit: {error}"))
            }
            Ok(None) => {
                let mut known = live.shared.queries();
                known.extend(live.instance.queries().iter().map(|name| (*name).to_owned()));
                rejected(
                    "unknown-query",
                    format!("workflow {} has no query {name}; it has: {}", live.started.workflow_type, list(&known)),
                )
            }
            Err(panic) => rejected("failed", format!("query {name} panicked: {panic}")),
        }
    }

    /// The run's first event, once it is there.
    pub fn started(&self) -> Option<&Started> {
        self.live.as_ref().map(|live| live.started.as_ref())
    }

    /// Signals that came in and that the code has not taken, for the run that follows this one.
    pub fn take_signals(&mut self) -> Vec<highwater_protocol::event::Signal> {
        self.live.as_ref().map(|live| live.shared.take_signals()).unwrap_or_default()
    }

    /// What the code waits for now, in words, for an operator.
    pub fn waits_for(&self) -> Vec<String> {
        self.live.as_ref().map(|live| live.shared.pending()).unwrap_or_default()
    }

    fn set_time(&self, time: Timestamp) {
        if let Some(live) = &self.live {
            live.shared.set_time(time);
        }
    }

    fn apply(&mut self, id: highwater_protocol::RunId, event: &Event, replaying: bool) -> Result<(), TaskFailure> {
        if let Event::Started(started) = event {
            if self.live.is_some() {
                return Err(self.nondeterminism(event, "the run has started already"));
            }
            return self.start(id, started, replaying);
        }
        let event_number = self.event_number;
        let Some(live) = &self.live else {
            let text = format!("event {event_number} ({event}) comes before Started: the history is damaged");
            return Err(TaskFailure { failure: Failure::new(FailureKind::Nondeterminism, text) });
        };
        let applied = panic::catch(|| live.apply(event));
        match applied {
            Ok(Ok(())) => Ok(()),
            Ok(Err(found)) => Err(self.nondeterminism(event, &found)),
            Err(panic) => Err(Self::panicked(&panic)),
        }
    }

    fn start(&mut self, id: highwater_protocol::RunId, started: &Started, replaying: bool) -> Result<(), TaskFailure> {
        let shared = Rc::new(Shared::new(id, started, self.limits, replaying));
        let created = panic::catch(|| self.registry.create(started, &shared));
        match created {
            Ok(Some(instance)) => {
                self.live = Some(Live { started: Box::new(started.clone()), shared, instance });
                let live = self.live.as_ref().expect("just set");
                for signal in &started.signals {
                    live.signal(signal);
                }
                Ok(())
            }
            Ok(None) => Err(self.unknown(&started.workflow_type)),
            Err(panic) => Err(Self::panicked(&panic)),
        }
    }

    fn unknown(&self, workflow_type: &TypeName) -> TaskFailure {
        let known: Vec<String> = self.registry.names().iter().map(ToString::to_string).collect();
        let text = format!("this worker knows no workflow type {workflow_type}; it knows: {}", list(&known));
        TaskFailure { failure: Failure::new(FailureKind::Unknown, text) }
    }

    /// Polls the code until it waits for something that is not there.
    fn poll(&mut self) -> Result<(), TaskFailure> {
        self.unpolled = false;
        let Some(live) = &mut self.live else { return Ok(()) };
        if self.conclusion.is_some() {
            return Ok(());
        }
        let waker = Waker::from(Arc::clone(&self.wake));
        for _ in 0..POLLS_MAX {
            // Waking first and clearing then: what is woken here is polled right below.
            live.shared.wake_waiters();
            self.wake.0.store(false, Ordering::Release);
            let polled = panic::catch(|| live.instance.poll(&mut Context::from_waker(&waker)));
            match polled {
                Ok(Poll::Ready(conclusion)) => {
                    self.unmatched.extend(live.shared.take_commands());
                    live.shared.mute();
                    self.conclusion = Some(conclusion);
                    return Ok(());
                }
                Ok(Poll::Pending) => {}
                Err(panic) => return Err(Self::panicked(&panic)),
            }
            if !self.wake.0.load(Ordering::Acquire) {
                self.unmatched.extend(live.shared.take_commands());
                return Ok(());
            }
        }
        let text = format!(
            "the code woke itself {POLLS_MAX} times without waiting for anything; await an operation of `ctx` in the loop"
        );
        Err(TaskFailure { failure: Failure::new(FailureKind::Stuck, text) })
    }

    /// Moves what the code issued into the transition, failing commands that are too large, which the code sees at once.
    fn collect(&mut self, transition: &mut Transition) -> Result<(), TaskFailure> {
        loop {
            let mut failed = Vec::new();
            for mut command in self.unmatched.drain(..) {
                if let Some(event) = self.limits.refuse_large(&mut command) {
                    failed.push(event);
                }
                self.event_number += 1;
                transition.events.push(command);
            }
            if failed.is_empty() {
                break;
            }
            for event in failed {
                if self.accepts(&event) {
                    self.event_number += 1;
                    if let Some(live) = &self.live {
                        live.apply(&event).map_err(|found| self.nondeterminism(&event, &found))?;
                    }
                    transition.events.push(event);
                }
            }
            self.poll()?;
        }
        if let Some(live) = &self.live {
            transition.steps = live.shared.take_steps();
        }
        transition.conclusion.clone_from(&self.conclusion);
        Ok(())
    }

    /// The history goes on with an inbound event: everything the code issued before must have been on record.
    fn nothing_unmatched(&self, next: &Event) -> Result<(), TaskFailure> {
        match self.unmatched.front() {
            Some(command) => {
                Err(self.nondeterminism_at(self.event_number + 1, &next.to_string(), &format!("issued {command}")))
            }
            None if self.conclusion.is_some() => {
                Err(self.nondeterminism_at(self.event_number + 1, &next.to_string(), "had ended"))
            }
            None => Ok(()),
        }
    }

    fn compare(&mut self, recorded: &Event) -> Result<(), TaskFailure> {
        match recorded.class() {
            Class::Engine | Class::Inbound => Ok(()),
            Class::Closing => self.compare_closing(recorded),
            Class::Command => match self.unmatched.pop_front() {
                Some(command) if same_command(recorded, &command) => Ok(()),
                Some(command) => Err(self.nondeterminism(recorded, &format!("issued {command}"))),
                None if self.conclusion.is_some() => Err(self.nondeterminism(recorded, "had ended")),
                None => Err(self.nondeterminism(recorded, "issued nothing more")),
            },
        }
    }

    fn compare_closing(&mut self, recorded: &Event) -> Result<(), TaskFailure> {
        if matches!(recorded, Event::Terminated { .. } | Event::TimedOut { .. }) {
            return Ok(());
        }
        if let Some(command) = self.unmatched.pop_front() {
            return Err(self.nondeterminism(recorded, &format!("issued {command}")));
        }
        let same = matches!(
            (recorded, &self.conclusion),
            (Event::Completed { .. }, Some(Conclusion::Completed(_)))
                | (Event::Failed { .. }, Some(Conclusion::Failed(_) | Conclusion::Completed(_)))
                | (Event::Cancelled { .. }, Some(Conclusion::Cancelled(_)))
                | (Event::ContinuedAsNew { .. }, Some(Conclusion::ContinueAsNew(_)))
        );
        match &self.conclusion {
            _ if same => Ok(()),
            Some(other) => Err(self.nondeterminism(recorded, &format!("ended otherwise: {other:?}"))),
            None => Err(self.nondeterminism(recorded, "goes on")),
        }
    }

    fn nondeterminism(&self, recorded: &Event, code: &str) -> TaskFailure {
        self.nondeterminism_at(self.event_number, &recorded.to_string(), code)
    }

    fn nondeterminism_at(&self, number: u64, recorded: &str, code: &str) -> TaskFailure {
        let whose = match &self.live {
            Some(live) => format!("workflow {} {:?}", live.started.workflow_type, live.started.workflow_id.as_str()),
            None => "the workflow".into(),
        };
        let text = format!(
            "{whose} does not match its history at event {number}:\n  on record: {recorded}\n  the code:  {code}\n\
             Usually the code was changed while the run was under way, or it depends on time, randomness, a HashMap's \
             order or something outside of `ctx`. Deploy the code that the run began with, or terminate the run."
        );
        TaskFailure { failure: Failure::new(FailureKind::Nondeterminism, text) }
    }

    fn panicked(panic: &str) -> TaskFailure {
        const NO_RUNTIME: [&str; 3] =
            ["there is no reactor running", "no reactor running", "must be called from the context of a Tokio"];
        let hint = if NO_RUNTIME.iter().any(|text| panic.contains(text)) {
            "; workflow code has no tokio runtime: use ctx.sleep for time, and an activity or ctx.step for everything that does I/O"
        } else {
            ""
        };
        TaskFailure { failure: Failure::new(FailureKind::Panic, format!("{panic}{hint}")) }
    }
}

impl Live {
    /// Applies an inbound event other than `Started`; an error says what the code had instead.
    fn apply(&self, event: &Event) -> Result<(), String> {
        match event {
            Event::Signaled(signal) => self.signal(signal),
            Event::CancelRequested { reason } => self.shared.cancel(reason),
            Event::ActivityClosed { op, outcome, .. } => {
                self.shared.resolve(*op, Kind::Activity, None, Resolution::Outcome(outcome.clone()))?;
            }
            Event::StepClosed { op, name, outcome } => {
                self.shared.resolve(*op, Kind::Step, Some(name), Resolution::Outcome(outcome.clone()))?;
            }
            Event::TimerFired { op } => self.shared.resolve(*op, Kind::Timer, None, Resolution::Fired)?,
            other => unreachable!("{other} is not inbound"),
        }
        Ok(())
    }

    fn signal(&self, signal: &highwater_protocol::event::Signal) {
        match self.instance.signal(signal.name.as_str(), &signal.input) {
            Some(Ok(())) => {}
            Some(Err(error)) => {
                tracing::error!(
                    workflow_id = %self.started.workflow_id, signal = %signal.name, %error,
                    "a signal's argument does not fit its handler; it stays in the history and changes nothing"
                );
            }
            None => self.shared.push_signal(signal),
        }
    }
}

/// Whether the code issued what is on record. Inputs and times may differ: they may depend on data that a deploy changed,
/// and what is on record counts.
fn same_command(recorded: &Event, issued: &Event) -> bool {
    match (recorded, issued) {
        (Event::ActivityScheduled(a), Event::ActivityScheduled(b)) => a.op == b.op && a.name == b.name,
        (Event::TimerStarted { op: a, .. }, Event::TimerStarted { op: b, .. })
        | (Event::TimerCancelled { op: a }, Event::TimerCancelled { op: b })
        | (Event::ActivityCancelRequested { op: a }, Event::ActivityCancelRequested { op: b }) => a == b,
        _ => false,
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

/// The event that tells an operation its outcome without anybody having tried it.
pub(crate) fn refused(op: OpId, failure: Failure) -> Event {
    Event::ActivityClosed { op, attempt: 0, outcome: Outcome::Failed(failure) }
}

#[cfg(test)]
mod tests;
