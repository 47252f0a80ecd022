//! Workflow threads: where the user's workflow code runs, one run always on the same thread, without a tokio context.
//!
//! A thread is a plain loop over its jobs. Nothing can stop code that never returns, so a watchdog looks at what each
//! thread is at: one that stays too long is abandoned, a new one takes its place, and the engine rebuilds the runs there.

use std::{
    collections::HashMap,
    mem,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use highwater_core::run::{Conclusion, Limits, Registry, Run, TaskFailure, Trail, Transition};
use highwater_protocol::{
    Event, Key, Payload, RunId, Timestamp, TypeName, event::Signal, partition::fnv1a32, query::QueryRejected,
};
use tokio::sync::mpsc::UnboundedSender;

/// Jobs that wait for each other until their thread gets them together.
const TOGETHER_MAX: usize = 16;

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
    /// The thread was abandoned, with all its runs.
    ThreadLost { thread: usize, culprit: Key, generation: u64, held: Held },
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

/// The threads.
#[derive(Debug)]
pub(crate) struct Executor {
    threads: Vec<Thread>,
    setup: Setup,
    /// Runs to forget, with the next job that is waited for: so that destructors of the code are waited for, too.
    to_evict: Vec<Job>,
}

#[derive(Clone, Debug)]
struct Setup {
    registry: Arc<Registry>,
    limits: Limits,
    reports: UnboundedSender<Report>,
    /// Whoever hands in a job waits until it is done, so long at most.
    in_step: Option<Duration>,
}

#[derive(Debug)]
struct Thread {
    jobs: mpsc::Sender<Vec<Job>>,
    /// Jobs to be handed in together: waking a thread costs more than most jobs.
    next: Vec<Job>,
    /// Tells of every job that is reported on, when somebody waits for that.
    done: mpsc::Receiver<()>,
    watch: Arc<Watch>,
}

#[derive(Debug, Default)]
struct Watch {
    current: Mutex<Option<(Key, u64, Instant)>>,
    trail: Trail,
    abandoned: AtomicBool,
}

impl Executor {
    /// Starts the threads.
    pub(crate) fn start(
        threads: usize,
        registry: Arc<Registry>,
        limits: Limits,
        reports: UnboundedSender<Report>,
    ) -> Self {
        Self::with(threads, Setup { registry, limits, reports, in_step: None })
    }

    /// Starts one thread that is waited for after every job: an async runtime whose clock is virtual must not find itself
    /// idle, and let time pass, while code runs. One that takes longer than `timeout`, in real time, is abandoned.
    pub(crate) fn start_in_step(
        timeout: Duration,
        registry: Arc<Registry>,
        limits: Limits,
        reports: UnboundedSender<Report>,
    ) -> Self {
        Self::with(1, Setup { registry, limits, reports, in_step: Some(timeout) })
    }

    fn with(threads: usize, setup: Setup) -> Self {
        let threads = (0..threads.max(1)).map(|index| Thread::start(index, setup.clone())).collect();
        Self { threads, setup, to_evict: Vec::new() }
    }

    /// The thread of a run.
    pub(crate) fn thread_of(&self, key: &Key) -> usize {
        fnv1a32(key.as_str().as_bytes()) as usize % self.threads.len()
    }

    /// Has a job for its run's thread, which gets it with the next [`flush`](Self::flush).
    pub(crate) fn send(&mut self, job: Job) {
        match self.setup.in_step {
            Some(_) if matches!(job, Job::Evict { .. }) => self.to_evict.push(job),
            Some(timeout) => self.send_and_wait(job, timeout),
            None => {
                let thread = self.thread_of(job.key());
                let thread = &mut self.threads[thread];
                thread.next.push(job);
                if thread.next.len() >= TOGETHER_MAX {
                    thread.flush();
                }
            }
        }
    }

    /// Hands the jobs to their threads.
    pub(crate) fn flush(&mut self) {
        for thread in &mut self.threads {
            thread.flush();
        }
    }

    fn send_and_wait(&mut self, job: Job, timeout: Duration) {
        let index = self.thread_of(job.key());
        let (key, generation) = (job.key().clone(), job.generation());
        let thread = &self.threads[index];
        let _ = thread.jobs.send(self.to_evict.drain(..).chain([job]).collect());
        if thread.done.recv_timeout(timeout).is_err() {
            self.abandon(index, key, generation, timeout);
        }
    }

    /// Abandons threads that have been with one job for longer than `timeout`, and reports them.
    pub(crate) fn watch(&mut self, timeout: Duration) {
        for index in 0..self.threads.len() {
            let stuck = self.threads[index].watch.stuck_since(timeout);
            if let Some((culprit, generation, after)) = stuck {
                self.abandon(index, culprit, generation, after);
            }
        }
    }

    fn abandon(&mut self, index: usize, culprit: Key, generation: u64, after: Duration) {
        let watch = &self.threads[index].watch;
        watch.abandoned.store(true, Ordering::Release);
        let held = Held { after, last: watch.trail.last() };
        self.threads[index] = Thread::start(index, self.setup.clone());
        let _ = self.setup.reports.send(Report::ThreadLost { thread: index, culprit, generation, held });
    }
}

impl Watch {
    fn set(&self, current: Option<(Key, u64, Instant)>) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = current;
    }

    fn stuck_since(&self, timeout: Duration) -> Option<(Key, u64, Duration)> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let (key, generation, since) = current.as_ref()?;
        let elapsed = since.elapsed();
        (elapsed > timeout).then(|| (key.clone(), *generation, elapsed))
    }
}

impl Thread {
    fn start(index: usize, setup: Setup) -> Self {
        let (jobs, inbox) = mpsc::channel();
        let (tell, done) = mpsc::channel();
        let watch = Arc::new(Watch::default());
        let watched = Arc::clone(&watch);
        thread::Builder::new()
            .name(format!("highwater-workflow-{index}"))
            .spawn(move || run_jobs(&inbox, &setup, &watched, &tell))
            .expect("the operating system can start a thread");
        Self { jobs, next: Vec::new(), done, watch }
    }
}

impl Thread {
    fn flush(&mut self) {
        if !self.next.is_empty() {
            // A thread ends only when it is abandoned, and then another one is in its place.
            let _ = self.jobs.send(mem::take(&mut self.next));
        }
    }
}

fn run_jobs(jobs: &mpsc::Receiver<Vec<Job>>, setup: &Setup, watch: &Watch, done: &mpsc::Sender<()>) {
    watch.trail.install();
    let mut runs: HashMap<Key, Run> = HashMap::new();
    for job in jobs.iter().flatten() {
        watch.set(Some((job.key().clone(), job.generation(), Instant::now())));
        let report = run_job(job, &mut runs, &setup.registry, setup.limits);
        watch.set(None);
        if watch.abandoned.load(Ordering::Acquire) {
            return;
        }
        if let Some(report) = report
            && (setup.reports.send(report).is_err() || setup.in_step.is_some() && done.send(()).is_err())
        {
            return;
        }
    }
}

/// Does one job, and says what is to be reported of it.
pub(crate) fn run_job(
    job: Job,
    runs: &mut HashMap<Key, Run>,
    registry: &Arc<Registry>,
    limits: Limits,
) -> Option<Report> {
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

fn settle(runs: &mut HashMap<Key, Run>, key: Key, generation: u64, result: Result<Activated, TaskFailure>) -> Report {
    if result.is_err() {
        // After a failure the run is in no defined state.
        runs.remove(&key);
    }
    Report::Activated { key, generation, result }
}
