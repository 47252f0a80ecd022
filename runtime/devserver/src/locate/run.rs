//! Runs other programs, for a limited time.

use std::io::{self, Read};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Pause between two looks at a running program.
const POLL: Duration = Duration::from_millis(5);
/// How often a program that is "busy" is tried again.
const BUSY_TRIES_MAX: u32 = 200;
/// How much of a failed program's complaint is passed on.
const COMPLAINT_LINES: usize = 6;

/// Standard output of a program that succeeds within `timeout`, or the reason.
pub(super) fn run(command: &mut Command, timeout: Duration) -> Result<String, String> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = spawn(command).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "there is no such program".to_owned(),
        _ => format!("it cannot be run: {error}"),
    })?;
    let output = drain(child.stdout.take());
    let complaint = drain(child.stderr.take());

    let deadline = Instant::now() + timeout;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < deadline => thread::sleep(POLL),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("it did not end within {timeout:?}"));
            }
            Err(error) => return Err(error.to_string()),
        }
    };
    let read = |text: thread::JoinHandle<String>| text.join().unwrap_or_default();
    let (output, complaint) = (read(output), read(complaint));
    if status.success() {
        return Ok(output);
    }
    let lines: Vec<&str> = complaint.lines().filter(|line| !line.is_empty()).collect();
    let tail = lines[lines.len().saturating_sub(COMPLAINT_LINES)..].join(" | ");
    Err(format!("it failed ({status}): {tail}"))
}

/// Another thread that forks while a program file is being written keeps the
/// file open for a moment, and the kernel then refuses to run it.
fn spawn(command: &mut Command) -> io::Result<std::process::Child> {
    let mut tries = 0;
    loop {
        match command.spawn() {
            Err(error)
                if error.kind() == io::ErrorKind::ExecutableFileBusy && tries < BUSY_TRIES_MAX =>
            {
                tries += 1;
                thread::sleep(POLL);
            }
            result => return result,
        }
    }
}

/// Reads a pipe to its end beside the program, which blocks on a full one.
fn drain(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
