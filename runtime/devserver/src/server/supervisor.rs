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
        let mut child =
            shell.spawn().map_err(|error| io::Error::new(error.kind(), format!("cannot run {SHELL}: {error}")))?;

        let shared = Arc::new(Shared::default());
        let hold = child.stdin.take();
        let output = child.stdout.take();
        let monitored = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("nats-server-monitor".into())
            .spawn(move || monitor(child, output, &monitored))?;

        let supervisor = Self { shared, hold };
        match supervisor.shared.wait_until(SPAWN_TIMEOUT, |state| state != State::Starting) {
            State::Running { .. } | State::Exited { .. } => Ok(supervisor),
            State::Starting => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("{SHELL} did not start the server within {SPAWN_TIMEOUT:?}"),
            )),
            State::Gone => Err(io::Error::other(format!("{SHELL} ended before it started the server"))),
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
    for line in output.into_iter().flat_map(|out| BufReader::new(out).lines()) {
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
        "pid" => Some(State::Running { pid: number.parse().ok()? }),
        "exit" => Some(State::Exited { code: number.parse().ok()? }),
        _ => None,
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    /// Supervises a shell script in place of a server.
    fn supervise(script: &str) -> (Supervisor, PathBuf) {
        let run_dir = tempfile::tempdir().unwrap().keep();
        let program = run_dir.join("program");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        (Supervisor::spawn(&run_dir, &[&program]).unwrap(), run_dir)
    }

    /// Waits until the script has said so.
    fn said(run_dir: &Path, word: &str) {
        let deadline = Instant::now() + LONG;
        while !fs::read_to_string(run_dir.join("server.log")).is_ok_and(|log| log.contains(word)) {
            assert!(Instant::now() < deadline, "it never said {word}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn the_end_of_a_server_is_reported_with_its_code_and_the_files_stay() {
        let (mut supervisor, run_dir) = supervise("echo over; exit 7");
        assert!(supervisor.wait_exit(LONG));
        assert_eq!(supervisor.state(), State::Exited { code: 7 });
        assert_eq!(fs::read_to_string(run_dir.join("server.log")).unwrap(), "over\n");
        assert!(supervisor.release(LONG));
        assert!(!run_dir.exists());
    }

    #[test]
    fn a_server_is_asked_to_end_when_the_pipe_closes() {
        let (mut supervisor, run_dir) = supervise("trap 'exit 0' TERM; echo ready; while :; do sleep 1; done");
        said(&run_dir, "ready");
        assert!(supervisor.release(LONG));
        assert_eq!(supervisor.state(), State::Gone);
        assert!(!run_dir.exists());
    }

    #[test]
    fn a_paused_server_still_gets_to_end_by_itself() {
        let outside = tempfile::tempdir().unwrap();
        let trace = outside.path().join("flushed");
        let script = format!("trap 'echo >{}; exit 0' TERM; echo ready; while :; do sleep 1; done", trace.display());
        let (mut supervisor, run_dir) = supervise(&script);
        said(&run_dir, "ready");
        supervisor.signal(Signal::Stop).unwrap();
        assert!(supervisor.release(LONG));
        assert!(trace.exists());
    }

    #[test]
    fn a_server_that_does_not_listen_is_made_to_end() {
        let (supervisor, run_dir) = supervise("trap '' TERM; echo ready; while :; do sleep 1; done");
        said(&run_dir, "ready");
        let grace = Duration::from_millis(100);
        supervisor.terminate(grace).unwrap();
        assert!(supervisor.wait_exit(LONG));
        assert_eq!(supervisor.state(), State::Exited { code: 128 + 9 });
    }

    #[test]
    fn a_folder_that_a_later_supervisor_took_over_is_left_alone() {
        let (mut first, run_dir) = supervise("exit 0");
        assert!(first.wait_exit(LONG));
        let mut second = Supervisor::spawn(&run_dir, &[&run_dir.join("program")]).unwrap();
        assert!(first.release(LONG));
        assert!(run_dir.exists());
        assert!(second.release(LONG));
        assert!(!run_dir.exists());
    }

    #[test]
    fn a_program_that_cannot_run_exits_as_in_a_shell() {
        let run_dir = tempfile::tempdir().unwrap().keep();
        let supervisor = Supervisor::spawn(&run_dir, &[Path::new("/nowhere/nats-server")]).unwrap();
        assert!(supervisor.wait_exit(LONG));
        assert_eq!(supervisor.state(), State::Exited { code: 127 });
    }

    #[test]
    fn reports_of_the_shell_are_read() {
        assert_eq!(parse_report("pid 17"), Some(State::Running { pid: 17 }));
        assert_eq!(parse_report("exit 143"), Some(State::Exited { code: 143 }));
        assert_eq!(parse_report("pid of it"), None);
        assert_eq!(parse_report(""), None);
    }
}
