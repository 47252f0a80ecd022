//! Where the user's workflow code runs: one run always on the same thread, without a tokio context.
//!
//! That is the engine's own thread ([`home`]) unless the worker is given threads of their own for it ([`threads`]).
//! Nothing can stop code that never returns, so a watchdog looks at what each thread is at: one that stays too long is
//! abandoned, a new one takes its place, and the engine rebuilds the runs there.

mod busy;
mod home;
mod threads;
mod watch;

pub(crate) use home::{Chore, Home};

use std::{sync::Arc, time::Duration};

use highwater_core::{
    panic::catch,
    run::{Conclusion, Limits, Registry, Run, TaskFailure, Transition},
};
use highwater_protocol::{
    Event, Failure, FailureKind, Key, Payload, RunId, Timestamp, TypeName, event::Signal, query::QueryRejected,
};
use tokio::sync::mpsc::UnboundedSender;

use crate::by_key::ByKey;
use threads::Threads;

/// Work for a run's thread. The generation tells a report about a run that was dropped since from one that counts.
#[derive(Debug)]
pub(crate) enum Job {
    /// Give the run events that are not in its history.
    Activate { key: Key, generation: u64, run: RunId, events: Vec<Event>, time: Timestamp },
    /// Build the run from its history.
    Rebuild { key: Key, generation: u64, run: RunId, records: Vec<(Vec<Event>, Timestamp)>, time: Timestamp },
    /// Ask the run something.
    Query { key: Key, generation: u64, name: TypeName, input: Payload, token: u64 },
    /// Hand out the signals that the run has not taken: it is about to end.
    Signals { key: Key, generation: u64 },
    /// Forget the run.
    Evict { key: Key },
}

impl Job {
    fn key(&self) -> &Key {
        match self {
            Self::Activate { key, .. }
            | Self::Rebuild { key, .. }
            | Self::Query { key, .. }
            | Self::Signals { key, .. }
            | Self::Evict { key } => key,
        }
    }

    fn generation(&self) -> u64 {
        match self {
            Self::Activate { generation, .. }
            | Self::Rebuild { generation, .. }
            | Self::Query { generation, .. }
            | Self::Signals { generation, .. } => *generation,
            Self::Evict { .. } => 0,
        }
    }
}

/// What a thread has to say.
#[derive(Debug)]
pub(crate) enum Report {
    /// The code took its events, or would not.
    Activated { key: Key, generation: u64, result: Result<Activated, TaskFailure> },
    /// Signals that the run has not taken.
    Signals { key: Key, generation: u64, signals: Vec<Signal> },
    /// The run is not on its thread.
    Missing { key: Key, generation: u64 },
    /// A query was answered.
    Queried { key: Key, token: u64, answer: Result<Payload, QueryRejected> },
    /// The thread was abandoned, with all its runs; by whose fault, if it was a run's.
    ThreadLost { thread: usize, culprit: Option<Culprit> },
}

/// Whose code held its thread.
#[derive(Debug)]
pub(crate) struct Culprit {
    pub(crate) key: Key,
    pub(crate) generation: u64,
    pub(crate) held: Held,
}

/// How code held its thread.
#[derive(Debug)]
pub(crate) struct Held {
    /// For how long.
    pub(crate) after: Duration,
    /// The last operation that it made, and where.
    pub(crate) last: Option<String>,
}

/// What the code did with its events.
#[derive(Debug)]
pub(crate) struct Activated {
    pub(crate) transition: Transition,
    /// Signals that a run which another one may follow has not taken.
    pub(crate) signals: Vec<Signal>,
}

/// What the code runs with, wherever it does.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) registry: Arc<Registry>,
    pub(crate) limits: Limits,
    pub(crate) reports: UnboundedSender<Report>,
}

/// Where workflow code runs.
#[derive(Debug)]
pub(crate) enum Executor {
    /// Between the engine's turns, on its thread.
    Home(Arc<Home>),
    /// On threads of its own.
    Threads(Threads),
}

impl Executor {
    /// Code runs on the engine's thread.
    pub(crate) fn at_home(home: Arc<Home>, setup: Setup) -> Self {
        home.furnish(setup);
        Self::Home(home)
    }

    /// Starts threads for the code.
    pub(crate) fn start(threads: usize, setup: Setup) -> Self {
        Self::Threads(Threads::start(threads, setup, None))
    }

    /// Starts one thread that is waited for after every job: an async runtime whose clock is virtual must not find
    /// itself idle, and let time pass, while code runs. One that takes longer than `timeout`, in real time, is
    /// abandoned.
    pub(crate) fn start_in_step(timeout: Duration, setup: Setup) -> Self {
        Self::Threads(Threads::start(1, setup, Some(timeout)))
    }

    /// The thread of a run.
    pub(crate) fn thread_of(&self, key: &Key) -> usize {
        match self {
            Self::Home(..) => 0,
            Self::Threads(threads) => threads.thread_of(key),
        }
    }

    /// Has a job for its run's thread, which gets it with the next [`flush`](Self::flush).
    pub(crate) fn send(&mut self, job: Job) {
        match self {
            Self::Home(home) => home.add(Chore::Job(job)),
            Self::Threads(threads) => threads.send(job),
        }
    }

    /// Hands the jobs to their threads.
    pub(crate) fn flush(&mut self) {
        if let Self::Threads(threads) = self {
            threads.flush();
        }
    }

    /// Abandons threads that have been with one job for longer than `timeout`, and reports them.
    pub(crate) fn watch(&mut self, timeout: Duration) {
        match self {
            Self::Home(home) => home.watch(timeout),
            Self::Threads(threads) => threads.watch(timeout),
        }
    }
}

/// Does one job on a thread that others need, too: not even a destructor of the user's may end it.
fn run_safely(job: Job, runs: &mut ByKey<Run>, setup: &Setup) -> Option<Report> {
    let (key, generation) = (job.key().clone(), job.generation());
    let token = if let Job::Query { token, .. } = &job { Some(*token) } else { None };
    let is_eviction = matches!(job, Job::Evict { .. });
    let panic = match catch(|| run_job(job, runs, &setup.registry, setup.limits)) {
        Ok(report) => return report,
        Err(panic) => panic,
    };
    tracing::error!(workflow_id = %key, panic, "a destructor of a workflow's code panicked");
    let dropped = runs.remove(&key);
    let _ = catch(|| drop(dropped));
    match token {
        Some(token) => {
            let answer = Err(QueryRejected { code: "panicked".into(), reason: panic });
            Some(Report::Queried { key, token, answer })
        }
        None if is_eviction => None,
        None => {
            let result = Err(TaskFailure { failure: Failure::new(FailureKind::Panic, panic) });
            Some(Report::Activated { key, generation, result })
        }
    }
}

/// Does one job, and says what is to be reported of it.
pub(crate) fn run_job(job: Job, runs: &mut ByKey<Run>, registry: &Arc<Registry>, limits: Limits) -> Option<Report> {
    match job {
        Job::Activate { key, generation, run, events, time } => {
            if matches!(events.first(), Some(Event::Started(_))) {
                runs.insert(key.clone(), Run::new(Arc::clone(registry), limits));
            }
            let Some(machine) = runs.get_mut(&key) else { return Some(Report::Missing { key, generation }) };
            let result = machine.activate(run, events, time).map(|transition| activated(machine, transition));
            Some(settle(runs, key, generation, result))
        }
        Job::Rebuild { key, generation, run, records, time } => {
            let mut machine = Run::new(Arc::clone(registry), limits);
            let replayed = records.iter().try_for_each(|(events, at)| machine.replay(run, events, *at));
            let result =
                replayed.and_then(|()| machine.finish_replay(time)).map(|transition| activated(&machine, transition));
            runs.insert(key.clone(), machine);
            Some(settle(runs, key, generation, result))
        }
        Job::Query { key, generation: _, name, input, token } => {
            let answer = match runs.get(&key) {
                Some(machine) => machine.query(&name, &input),
                None => Err(QueryRejected {
                    code: "not-found".into(),
                    reason: "the run has left this worker; ask again".into(),
                }),
            };
            Some(Report::Queried { key, token, answer })
        }
        Job::Signals { key, generation } => Some(match runs.get(&key) {
            Some(machine) => Report::Signals { key, generation, signals: machine.signals_left() },
            None => Report::Missing { key, generation },
        }),
        Job::Evict { key } => {
            runs.remove(&key);
            None
        }
    }
}

fn activated(machine: &Run, transition: Transition) -> Activated {
    // Another run may follow, and is to have them.
    let follows = matches!(transition.conclusion, Some(Conclusion::ContinueAsNew(_) | Conclusion::Failed(_)));
    let signals = if follows { machine.signals_left() } else { Vec::new() };
    Activated { transition, signals }
}

fn settle(runs: &mut ByKey<Run>, key: Key, generation: u64, result: Result<Activated, TaskFailure>) -> Report {
    if result.is_err() {
        // After a failure the run is in no defined state.
        runs.remove(&key);
    }
    Report::Activated { key, generation, result }
}
