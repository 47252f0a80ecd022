//! Worker processes.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use super::{site, wait::eventually};

/// The queue that worker processes serve.
pub const QUEUE: &str = "crash";

/// A worker in a process of its own. It is killed when this is dropped, and it ends when the test's process does.
#[derive(Debug)]
pub struct WorkerProcess {
    name: String,
    child: Child,
    log: PathBuf,
}

impl WorkerProcess {
    pub(crate) fn start(program: &Path, url: &str, folder: &Path, name: &str) -> Self {
        let log = folder.join(format!("log of {name}"));
        let stderr = File::create(&log).expect("the folder can be written to");
        let child = Command::new(program)
            .env("NATS_URL", url)
            .env(site::FOLDER, folder)
            .env(site::WORKER, name)
            .env("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_else(|_| "info,highwater=debug".into()))
            // Closed when this process ends, in whatever way, and that ends the worker.
            .stdin(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .expect("the worker program can be started");
        Self { name: name.to_owned(), child, log }
    }

    /// The name under which it writes to the ledger.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Kills it with SIGKILL and waits until it is gone.
    pub fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it can be waited for");
    }

    /// Freezes it with SIGSTOP and waits until nothing of it runs.
    pub async fn freeze(&self) {
        self.signal(Signal::STOP);
        let status = format!("/proc/{}/stat", self.child.id());
        eventually("the worker is frozen", async || {
            let Ok(status) = std::fs::read_to_string(&status) else { return Some(()) };
            // The state follows the program's name, which ends with the last parenthesis.
            status.rsplit(')').next()?.trim_start().starts_with('T').then_some(())
        })
        .await;
    }

    /// Ends a freeze.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Asks it to stop in good order.
    pub fn ask_to_stop(&self) {
        self.signal(Signal::TERM);
    }

    /// Asks it to stop in good order and waits until it has.
    pub async fn stop(&mut self) {
        self.ask_to_stop();
        self.stopped().await;
    }

    /// Waits until it has stopped in good order.
    pub async fn stopped(&mut self) {
        let status: ExitStatus =
            eventually("the worker stops", async || self.child.try_wait().expect("it can be waited for")).await;
        assert!(status.success(), "worker {} ended badly: {status}", self.name);
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("the process is there until it is waited for");
    }

    fn print_log(&self) {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        eprintln!("---- what worker {} said ----\n{text}", self.name);
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        // It may have ended already, and then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            self.print_log();
        }
    }
}
