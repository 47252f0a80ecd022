//! Plays scripts against workflows. A script is what a test is about; everything else is hidden here.
//!
//! A line that begins with `>` gives the run something, several things in one batch with ` + ` between them:
//!
//! ```text
//! > start 5                     the run's input, as JSON
//! > activity 1 ok 7             activity #1 ended with this value
//! > activity 1 error "declined" … or with this error
//! > activity 1 error "no" at 3    … at this attempt
//! > activity 1 cancelled
//! > activity 1 timeout
//! > step 2                      step #2 is executed, and its outcome given
//! > fire 3                      timer #3 fired
//! > signal add 4
//! > update add u-1 4            an update comes in: its name, its id, its argument
//! > child 1 started              child #1 is under way …
//! > child 1 ok 7                 … and ended so: as an activity, or `terminated`, or never began as its id `exists`
//! > sent 2                       message #2 has arrived …
//! > sent 2 not-found             … or has not, likewise `closed` and `refused`
//! > cancel why
//! > begin                        the start delay has passed
//! > query total null            changes nothing; the answer follows
//! ```
//!
//! The lines below it are what the run answers. Every script is played several times: with the run kept, evicted after
//! every transition, with records cut into pieces, and with a crash after every piece of every record.

mod notation;

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt;
use highwater_core::{
    Run, Transition,
    definition::WorkflowCode,
    run::{Conclusion, Limits, Registry, StepRun, TaskFailure, may_cut},
};
use highwater_protocol::{
    Event, Payload, QueueName, RunId, Started, Timestamp, TypeName, WorkflowId,
    event::{Class, Outcome},
};
use uuid::Uuid;

pub(crate) use notation::parse;

/// What a record holds.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) events: Vec<Event>,
    pub(crate) time: Timestamp,
}

/// How a script is played.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mode {
    Kept,
    Evicted,
    Cut,
}

/// One run, with its history as a worker would keep it.
pub(crate) struct Play {
    pub(crate) registry: Arc<Registry>,
    pub(crate) run: Run,
    pub(crate) id: RunId,
    pub(crate) history: Vec<Piece>,
    pub(crate) time: Timestamp,
    pub(crate) mode: Mode,
    steps: Vec<StepRun>,
    pub(crate) concluded: bool,
}

/// The registry with one workflow.
pub(crate) fn registry<P, W>(workflow: W) -> Arc<Registry>
where
    W: WorkflowCode<P> + Clone + Send + Sync,
{
    let mut registry = Registry::new();
    registry.add(workflow).expect("one workflow has no namesake");
    Arc::new(registry)
}

/// Plays a script in all ways and compares the answers with those in it.
#[track_caller]
pub(crate) fn check<P, W>(workflow: W, script: &str)
where
    W: WorkflowCode<P> + Clone + Send + Sync,
{
    check_in(&registry(workflow), script);
}

/// Plays a script in all ways against the first workflow of a registry.
#[track_caller]
pub(crate) fn check_in(registry: &Arc<Registry>, script: &str) {
    let script: Vec<String> = script.trim().lines().map(|line| line.trim().to_owned()).collect();
    for mode in [Mode::Kept, Mode::Evicted, Mode::Cut] {
        let mut play = Play::new(registry, mode);
        let mut actual = Vec::new();
        for line in script.iter().filter_map(|line| line.strip_prefix("> ")) {
            actual.push(format!("> {line}"));
            actual.extend(play.line(line));
        }
        let (wanted, got) = (script.join("\n"), actual.join("\n"));
        assert!(got == wanted, "played {mode:?}; expected:\n{wanted}\n\nactual:\n{got}\n");
    }
}

/// The events of a run of `workflow` that began with `input` and was given `lines`.
pub(crate) fn history<P, W>(workflow: W, lines: &[&str]) -> Vec<Piece>
where
    W: WorkflowCode<P> + Clone + Send + Sync,
{
    let mut play = Play::new(&registry(workflow), Mode::Kept);
    for line in lines {
        play.line(line);
    }
    play.history
}

/// Replays a history to its end.
pub(crate) fn replay(registry: &Arc<Registry>, history: &[Piece]) -> Result<(Run, Transition), TaskFailure> {
    let time = history.last().map_or(Timestamp::ZERO, |piece| piece.time);
    replay_until(registry, history, time)
}

pub(crate) const LIMITS: Limits = Limits { payload_max: 1_000 };
/// The run that every child of a script has.
pub(crate) const CHILD: RunId = RunId(Uuid::from_u128(8));
pub(crate) const RUN: RunId = RunId(Uuid::from_u128(7));

/// Replays a history whose run is taken over at `time`.
pub(crate) fn replay_until(
    registry: &Arc<Registry>,
    history: &[Piece],
    time: Timestamp,
) -> Result<(Run, Transition), TaskFailure> {
    let mut run = Run::new(Arc::clone(registry), LIMITS);
    for piece in history {
        run.replay(RUN, &piece.events, piece.time)?;
    }
    let transition = run.finish_replay(time)?;
    Ok((run, transition))
}

impl Play {
    pub(crate) fn new(registry: &Arc<Registry>, mode: Mode) -> Self {
        Self {
            registry: Arc::clone(registry),
            run: Run::new(Arc::clone(registry), LIMITS),
            id: RUN,
            history: Vec::new(),
            time: Timestamp::from_millis(1_000_000),
            mode,
            steps: Vec::new(),
            concluded: false,
        }
    }

    /// The first event of a run of the registered workflow.
    pub(crate) fn started(&self, input: &str) -> Event {
        Event::Started(Box::new(Started::new(
            WorkflowId::new("order-17").unwrap(),
            self.registry.names()[0].clone(),
            QueueName::new("shop").unwrap(),
            Payload::json(input.to_owned()),
        )))
    }

    /// Plays one line and tells what the run answered.
    pub(crate) fn line(&mut self, line: &str) -> Vec<String> {
        if let Some(query) = line.strip_prefix("query ") {
            let (name, input) = query.split_once(' ').unwrap_or((query, "null"));
            let input = Payload::json(input.to_owned());
            return vec![match self.run.query(&TypeName::new(name).unwrap(), &input) {
                Ok(answer) => answer.begin(),
                Err(rejected) => format!("{}: {}", rejected.code, rejected.reason),
            }];
        }
        let events = line.split(" + ").map(|given| notation::parse(self, given)).collect();
        match self.give(events) {
            Ok(answers) => answers,
            Err(failure) => vec![format!("task failed: {}", failure.failure)],
        }
    }

    /// Gives a batch and tells what the run answered.
    pub(crate) fn give(&mut self, events: Vec<Event>) -> Result<Vec<String>, TaskFailure> {
        self.time = self.time.after(Duration::from_secs(1));
        let given = events.len();
        let transition = self.run.activate(self.id, events, self.time)?;
        let mut answers = notation::answers(&transition);
        let given = given - transition.refused.len();
        let taken = transition.events.iter().filter(|event| event.class() == Class::Inbound).count();
        answers.extend((taken..given).map(|_| "ignored".to_owned()));
        self.record(transition);
        Ok(answers)
    }

    /// The steps that wait to be executed.
    pub(crate) fn open_steps(&self) -> Vec<u64> {
        self.steps.iter().map(|step| step.op.0).collect()
    }

    /// Executes a step.
    pub(crate) fn execute(&mut self, op: u64) -> Event {
        let at = self.steps.iter().position(|step| step.op.0 == op).unwrap_or_else(|| panic!("no step #{op} waits"));
        let mut step = self.steps.remove(at);
        let mut attempt = 1;
        loop {
            let outcome = (step.work)(attempt).now_or_never().expect("steps of these tests do not wait");
            let again = matches!(&outcome, Outcome::Failed(failure) if failure.is_retryable());
            if !again || step.retry.delay_after(attempt, 0.0).is_none() {
                return Event::StepClosed { op: step.op, name: step.name, attempt, outcome };
            }
            attempt += 1;
        }
    }

    /// The worker dies: another one rebuilds the run from its history.
    pub(crate) fn evict(&mut self) {
        let (run, rest) = replay_until(&self.registry, &self.history, self.time).expect("what was recorded replays");
        assert_eq!(rest.events, [], "replay issues what is on record already");
        assert!(rest.conclusion.is_none());
        self.run = run;
        self.steps = rest.steps;
    }

    fn record(&mut self, transition: Transition) {
        let Transition { events, time, steps, conclusion, refused: _ } = transition;
        self.concluded = conclusion.is_some();
        self.steps.extend(steps);
        // What the code has given up is executed by nobody after an eviction, and so by nobody here.
        let closed = |step: &StepRun| {
            let outcome = Outcome::Completed(Payload::null());
            Event::StepClosed { op: step.op, name: step.name.clone(), attempt: 1, outcome }
        };
        self.steps.retain(|step| self.run.accepts(&closed(step)));
        if events.is_empty() && !self.concluded {
            return;
        }
        self.check_crashes(&events, time, conclusion.as_ref());
        let pieces = if self.mode == Mode::Cut { cut(&events) } else { vec![events] };
        self.history.extend(pieces.into_iter().map(|events| Piece { events, time }));
        if self.mode != Mode::Kept && !self.concluded {
            self.evict();
        }
    }

    /// Whatever part of a transition is recorded when the worker dies, the next owner issues the rest of it.
    fn check_crashes(&self, events: &[Event], time: Timestamp, conclusion: Option<&Conclusion>) {
        let inbound = events.iter().take_while(|event| event.class() == Class::Inbound).count();
        for recorded in (inbound..=events.len()).filter(|recorded| may_cut_at(events, *recorded)) {
            let mut history = self.history.clone();
            history.push(Piece { events: events[..recorded].to_vec(), time });
            let later = self.time.after(Duration::from_mins(1));
            let (_, rest) = replay_until(&self.registry, &history, later).expect("every prefix replays");
            assert_eq!(rest.events, events[recorded..], "after a crash behind event {recorded} of {events:?}");
            assert_eq!(rest.conclusion.as_ref(), conclusion, "after a crash behind event {recorded} of {events:?}");
            if !self.concluded {
                let numbers = |steps: &[StepRun]| steps.iter().map(|step| step.op).collect::<Vec<_>>();
                assert_eq!(numbers(&rest.steps), numbers(&self.steps), "steps without a result are issued again");
            }
        }
    }
}

fn may_cut_at(events: &[Event], at: usize) -> bool {
    match (at.checked_sub(1).and_then(|before| events.get(before)), events.get(at)) {
        (Some(before), Some(after)) => may_cut(before, after),
        _ => true,
    }
}

/// A transition in the smallest pieces that are allowed.
fn cut(events: &[Event]) -> Vec<Vec<Event>> {
    let mut pieces: Vec<Vec<Event>> = Vec::new();
    for (at, event) in events.iter().enumerate() {
        match pieces.last_mut() {
            Some(last) if !may_cut_at(events, at) => last.push(event.clone()),
            _ => pieces.push(vec![event.clone()]),
        }
    }
    pieces
}
