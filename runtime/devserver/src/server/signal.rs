//! Signals to the server process, where the platform has them.

use std::io;
use std::process::Command;

/// The signals that a NATS server is sent here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    /// Flush, close and exit.
    Terminate,
    /// Die at once, as in a crash.
    Kill,
    /// Freeze: connections stay open and nothing answers.
    Stop,
    /// End a freeze.
    Continue,
}

#[cfg(unix)]
pub(super) fn send(pid: u32, signal: Signal) -> io::Result<()> {
    use rustix::process::{Pid, Signal as Raw, kill_process};

    let raw = match signal {
        Signal::Terminate => Raw::TERM,
        Signal::Kill => Raw::KILL,
        Signal::Stop => Raw::STOP,
        Signal::Continue => Raw::CONT,
    };
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::other("the process id is out of range"))?;
    match kill_process(pid, raw) {
        // It has just ended, which is what most signals are for.
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(unix)]
pub(super) fn own_group(command: &mut Command) {
    std::os::unix::process::CommandExt::process_group(command, 0);
}

#[cfg(not(unix))]
pub(super) fn send(_pid: u32, _signal: Signal) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(unix))]
pub(super) fn own_group(_command: &mut Command) {}

/// Whether every thread has acted on [`Signal::Stop`], as far as can be told.
#[cfg(target_os = "linux")]
pub(super) fn is_frozen(pid: u32) -> bool {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
        return true; // Without a /proc nobody can tell.
    };
    threads.flatten().all(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // The state follows the name, which is in parentheses and may hold any.
        stat.rsplit_once(") ").is_none_or(|(_, fields)| fields.starts_with('T'))
    })
}

#[cfg(not(target_os = "linux"))]
pub(super) fn is_frozen(_pid: u32) -> bool {
    true
}
