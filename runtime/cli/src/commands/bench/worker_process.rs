//! Worker processes, seen from the process that measures.

use std::{ffi::OsString, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdin, Command},
    time::timeout,
};

use super::{
    usage::{self, Usage},
    worker_program::READY,
};
use crate::exit::Error;

/// How long a worker may take to own all partitions. Those of one that was killed become free when its lease ends.
const READY_MAX: Duration = Duration::from_mins(1);
/// How long a worker may take to end in good order.
const STOP_MAX: Duration = Duration::from_secs(30);

/// What may differ between workers. What is not set is as in everybody's worker.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WorkerSettings {
    /// How many threads run workflow code.
    pub(crate) threads: Option<usize>,
    /// How long the worker's thread may stay awake for what is about to come.
    pub(crate) busy_poll: Option<Duration>,
    /// How many runs stay in memory between their events.
    pub(crate) cached_runs: Option<usize>,
}

/// A worker in a process of its own. It ends with this value, and with this process.
#[derive(Debug)]
pub(crate) struct WorkerProcess {
    child: Child,
    /// The worker ends when this is closed.
    stdin: ChildStdin,
    pid: u32,
}

impl WorkerProcess {
    /// Starts this program again as a worker, and waits until all partitions are taken.
    pub(super) async fn start(
        environment: &[(&'static str, OsString)],
        settings: WorkerSettings,
    ) -> Result<Self, Error> {
        let program = std::env::current_exe().map_err(Error::failed)?;
        let mut command = Command::new(program);
        command.arg("bench-worker").envs(environment.iter().map(|(name, value)| (name, value)));
        let options = [
            ("--threads", settings.threads.map(|threads| threads.to_string())),
            ("--busy-poll", settings.busy_poll.map(|window| humantime::format_duration(window).to_string())),
            ("--cached-runs", settings.cached_runs.map(|runs| runs.to_string())),
        ];
        for (option, value) in options {
            if let Some(value) = value {
                command.args([option, &value]);
            }
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let cannot = |error| Error::failed(format_args!("cannot start a worker process: {error}"));
        let mut child = command.spawn().map_err(cannot)?;
        let pipes = child.stdin.take().zip(child.stdout.take()).zip(child.id());
        let Some(((stdin, stdout), pid)) = pipes else {
            return Err(Error::failed("the worker process has ended at once"));
        };
        let mut lines = BufReader::new(stdout).lines();
        match timeout(READY_MAX, lines.next_line()).await {
            Ok(Ok(Some(line))) if line == READY => Ok(Self { child, stdin, pid }),
            Ok(_) => Err(Error::failed("the worker process has ended before it was ready")),
            Err(_) => Err(Error::failed(format_args!("no worker is ready after {READY_MAX:?}"))),
        }
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// What it has used so far.
    pub(crate) fn usage(&self) -> Option<Usage> {
        usage::of(self.pid)
    }

    /// Has it end in good order, and waits for that.
    pub(crate) async fn stop(self) -> Result<(), Error> {
        let Self { mut child, stdin, .. } = self;
        drop(stdin);
        match timeout(STOP_MAX, child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(Error::failed(format_args!("the worker process ended badly: {status}"))),
            Ok(Err(error)) => Err(Error::failed(error)),
            Err(_) => Err(Error::failed(format_args!("the worker process does not end within {STOP_MAX:?}"))),
        }
    }

    /// Kills it, as a crash would, and waits until it is gone.
    pub(crate) async fn kill(mut self) -> Result<(), Error> {
        self.child.kill().await.map_err(Error::failed)
    }
}
