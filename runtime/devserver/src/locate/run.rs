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
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
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
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && tries < BUSY_TRIES_MAX => {
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

#[cfg(all(test, unix))]
mod tests {
    use super::super::fakes::fake_program;
    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    fn shell(script: &str, timeout: Duration) -> Result<String, String> {
        run(Command::new("/bin/sh").arg("-c").arg(script), timeout)
    }

    #[test]
    fn output_that_fills_a_pipe_is_read_whole() {
        let script = "i=0; while [ $i -lt 20000 ]; do echo 0123456789; i=$((i+1)); done";
        assert_eq!(shell(script, LONG).unwrap().len(), 20_000 * 11);
    }

    #[test]
    fn a_failure_gives_the_end_of_the_complaint() {
        let reason = shell("for i in 1 2 3 4 5 6 7 8; do echo no $i >&2; done; exit 3", LONG).unwrap_err();
        assert!(reason.contains("exit status: 3"), "{reason}");
        assert!(reason.ends_with("no 3 | no 4 | no 5 | no 6 | no 7 | no 8"), "{reason}");
    }

    #[test]
    fn a_program_that_hangs_is_ended() {
        let reason = shell("while :; do :; done", Duration::from_millis(50)).unwrap_err();
        assert!(reason.contains("did not end within 50ms"), "{reason}");
    }

    #[test]
    fn a_program_file_that_is_still_open_for_writing_is_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let program = fake_program(dir.path(), "program", "#!/bin/sh\necho ran\n");
        let writer = std::fs::OpenOptions::new().append(true).open(&program).unwrap();
        let closer = thread::spawn(move || {
            // Long enough for a first attempt; a later close tests less, never fails.
            thread::park_timeout(Duration::from_millis(50));
            drop(writer);
        });
        assert_eq!(run(&mut Command::new(&program), LONG).unwrap(), "ran\n");
        closer.join().unwrap();
    }
}
