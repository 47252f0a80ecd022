//! Threads that run workflow code and do nothing else: plain loops over their jobs.

use std::{
    mem,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use highwater_core::run::Run;
use highwater_protocol::{Key, partition::fnv1a32};

use super::{Culprit, Job, Report, Setup, run_safely, watch::Watch};
use crate::by_key::ByKey;

/// Jobs that wait for each other until their thread gets them together.
const TOGETHER_MAX: usize = 16;

/// The threads.
#[derive(Debug)]
pub(crate) struct Threads {
    all: Vec<Thread>,
    setup: Setup,
    /// Whoever hands in a job waits until it is done, so long at most.
    in_step: Option<Duration>,
    /// Runs to forget, with the next job that is waited for: so that destructors of the code are waited for, too.
    to_evict: Vec<Job>,
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

impl Threads {
    pub(super) fn start(threads: usize, setup: Setup, in_step: Option<Duration>) -> Self {
        let waited = in_step.is_some();
        let all = (0..threads.max(1)).map(|index| Thread::start(index, setup.clone(), waited)).collect();
        Self { all, setup, in_step, to_evict: Vec::new() }
    }

    pub(super) fn thread_of(&self, key: &Key) -> usize {
        fnv1a32(key.as_str().as_bytes()) as usize % self.all.len()
    }

    pub(super) fn send(&mut self, job: Job) {
        match self.in_step {
            Some(_) if matches!(job, Job::Evict { .. }) => self.to_evict.push(job),
            Some(timeout) => self.send_and_wait(job, timeout),
            None => {
                let thread = self.thread_of(job.key());
                let thread = &mut self.all[thread];
                thread.next.push(job);
                if thread.next.len() >= TOGETHER_MAX {
                    thread.flush();
                }
            }
        }
    }

    pub(super) fn flush(&mut self) {
        for thread in &mut self.all {
            thread.flush();
        }
    }

    fn send_and_wait(&mut self, job: Job, timeout: Duration) {
        let index = self.thread_of(job.key());
        let (key, generation) = (job.key().clone(), job.generation());
        let thread = &self.all[index];
        let _ = thread.jobs.send(self.to_evict.drain(..).chain([job]).collect());
        if thread.done.recv_timeout(timeout).is_err() {
            let culprit = thread.watch.culprit(&key, generation, timeout);
            self.abandon(index, culprit);
        }
    }

    pub(super) fn watch(&mut self, timeout: Duration) {
        for index in 0..self.all.len() {
            if let Some(culprit) = self.all[index].watch.abandon_if_stuck(timeout) {
                self.abandon(index, culprit);
            }
        }
    }

    fn abandon(&mut self, index: usize, culprit: Culprit) {
        self.all[index].watch.abandon();
        self.all[index] = Thread::start(index, self.setup.clone(), self.in_step.is_some());
        let _ = self.setup.reports.send(Report::ThreadLost { thread: index, culprit: Some(culprit) });
    }
}

impl Thread {
    fn start(index: usize, setup: Setup, waited: bool) -> Self {
        let (jobs, inbox) = mpsc::channel();
        let (tell, done) = mpsc::channel();
        let watch = Arc::new(Watch::default());
        let watched = Arc::clone(&watch);
        thread::Builder::new()
            .name(format!("highwater-workflow-{index}"))
            .spawn(move || run_jobs(&inbox, &setup, &watched, waited.then_some(&tell)))
            .expect("the operating system can start a thread");
        Self { jobs, next: Vec::new(), done, watch }
    }

    fn flush(&mut self) {
        if !self.next.is_empty() {
            // A thread ends only when it is abandoned, and then another one is in its place.
            let _ = self.jobs.send(mem::take(&mut self.next));
        }
    }
}

fn run_jobs(jobs: &mpsc::Receiver<Vec<Job>>, setup: &Setup, watch: &Watch, done: Option<&mpsc::Sender<()>>) {
    watch.install();
    let mut runs: ByKey<Run> = ByKey::default();
    for job in jobs.iter().flatten() {
        let run = (job.key().clone(), job.generation());
        let Some(report) = watch.during(Some(run), || run_safely(job, &mut runs, setup)) else {
            return;
        };
        if let Some(report) = report
            && (setup.reports.send(report).is_err() || done.is_some_and(|done| done.send(()).is_err()))
        {
            return;
        }
    }
}
