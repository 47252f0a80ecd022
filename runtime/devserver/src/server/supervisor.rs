//! One NATS server process under a small shell that watches a held pipe.
//!
//! The shell is the server's parent. Its standard input is a pipe whose only
//! writing end is held here: the kernel closes it when this process ends,
//! also by SIGKILL, and the shell then stops the server and removes the run
//! folder. Rust opens pipes close-on-exec, so no other child keeps it open.

use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::signal::{self, Signal};

const SHELL: &str = "/bin/sh";
const SCRIPT: &str = include_str!("supervisor.sh");
/// How long the shell may take to start the server process.
const SPAWN_TIMEOUT: Duration = Duration::from_secs(20);

/// What is known of the server process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum State {
    /// The shell has not yet named the process.
    #[default]
    Starting,
    Running {
        pid: u32,
    },
    /// The server has ended; the shell still guards the run folder.
    Exited {
        code: i32,
    },
    /// The shell has ended as well.
    Gone,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, state: State) {
        *self.lock() = state;
        self.changed.notify_all();
    }

    fn get(&self) -> State {
        *self.lock()
    }

    /// The first state that satisfies `wanted`, or the one at the deadline.
    fn wait_until(&self, timeout: Duration, wanted: impl Fn(State) -> bool) -> State {
        let (guard, _) = self
            .changed
            .wait_timeout_while(self.lock(), timeout, |state| !wanted(*state))
            .unwrap_or_else(PoisonError::into_inner);
        *guard
    }
}

/// A supervised server process; dropping it stops the server soon after.
#[derive(Debug)]
pub(super) struct Supervisor {
    shared: Arc<Shared>,
    /// The pipe that the shell watches.
    hold: Option<ChildStdin>,
}

impl Supervisor {
    /// Starts `command` with its output in `run_dir/server.log`.
    pub(super) fn spawn(run_dir: &Path, command: &[&Path]) -> io::Result<Self> {
        let mut shell = Command::new(SHELL);
        shell.arg("-c").arg(SCRIPT).arg("supervisor");
        shell.arg(run_dir).args(command);
        shell.stdin(Stdio::piped()).stdout(Stdio::piped());
        shell.stderr(Stdio::null());
        // Ctrl-C goes to the terminal's foreground group: this process must
        // get the chance to stop first.
        signal::own_group(&mut shell);
        let mut child = shell.spawn().map_err(|error| {
            io::Error::new(error.kind(), format!("cannot run {SHELL}: {error}"))
        })?;

        let shared = Arc::new(Shared::default());
        let hold = child.stdin.take();
        let output = child.stdout.take();
        let monitored = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("nats-server-monitor".into())
            .spawn(move || monitor(child, output, &monitored))?;

        let supervisor = Self { shared, hold };
        match supervisor
            .shared
            .wait_until(SPAWN_TIMEOUT, |state| state != State::Starting)
        {
            State::Running { .. } | State::Exited { .. } => Ok(supervisor),
            State::Starting => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("{SHELL} did not start the server within {SPAWN_TIMEOUT:?}"),
            )),
            State::Gone => Err(io::Error::other(format!(
                "{SHELL} ended before it started the server"
            ))),
        }
    }

    pub(super) fn state(&self) -> State {
        self.shared.get()
    }

    /// The process id while the server runs.
    pub(super) fn pid(&self) -> Option<u32> {
        match self.state() {
            State::Running { pid } => Some(pid),
            State::Starting | State::Exited { .. } | State::Gone => None,
        }
    }

    /// Signals the server; a server that has ended is left alone.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        // Under the lock, so that the process is not reported dead between.
        let state = self.shared.lock();
        match *state {
            State::Running { pid } => signal::send(pid, signal),
            State::Starting | State::Exited { .. } | State::Gone => Ok(()),
        }
    }

    /// Waits for the server's end; true when it has ended.
    pub(super) fn wait_exit(&self, timeout: Duration) -> bool {
        let ended = |state| matches!(state, State::Exited { .. } | State::Gone);
        ended(self.shared.wait_until(timeout, ended))
    }

    /// Lets go of the pipe and waits until the server and the shell are gone
    /// and the run folder is removed; true when that is so.
    pub(super) fn release(&mut self, timeout: Duration) -> bool {
        self.hold = None;
        let gone = |state| state == State::Gone;
        gone(self.shared.wait_until(timeout, gone))
    }

    /// Asks the server to end, and after `grace` makes it; true when it has.
    pub(super) fn terminate(&self, grace: Duration) -> io::Result<bool> {
        let deadline = Instant::now() + grace;
        self.signal(Signal::Terminate)?;
        self.signal(Signal::Continue)?;
        if self.wait_exit(deadline.saturating_duration_since(Instant::now())) {
            return Ok(true);
        }
        self.signal(Signal::Kill)?;
        Ok(self.wait_exit(grace))
    }
}

/// Reads what the shell reports until it ends, and reaps it.
fn monitor(mut child: Child, output: Option<ChildStdout>, shared: &Shared) {
    for line in output
        .into_iter()
        .flat_map(|out| BufReader::new(out).lines())
    {
        let Ok(line) = line else { break };
        if let Some(state) = parse_report(&line) {
            shared.set(state);
        }
    }
    // An error here means that somebody else has reaped it.
    let _ = child.wait();
    shared.set(State::Gone);
}

fn parse_report(line: &str) -> Option<State> {
    let (word, number) = line.split_once(' ')?;
    match word {
        "pid" => Some(State::Running {
            pid: number.parse().ok()?,
        }),
        "exit" => Some(State::Exited {
            code: number.parse().ok()?,
        }),
        _ => None,
    }
}
