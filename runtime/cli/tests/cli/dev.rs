//! `highwater dev`.

use std::{net::TcpListener, path::Path, process::Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout},
    time::timeout,
};

use crate::support::{DEADLINE, highwater, run};

/// A development server whose temporary files go to a folder of the test's.
struct Dev {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    url: String,
}

impl Dev {
    async fn start(temporary: &Path, arguments: &[&str]) -> Self {
        let mut command = highwater();
        command.args(["dev", "--port", "0", "-o", "json"]).args(arguments);
        let mut child = command.env("TMPDIR", temporary).stderr(Stdio::inherit()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = timeout(DEADLINE, lines.next_line()).await.expect("it is ready in time").unwrap().expect("a line");
        let told: Value = serde_json::from_str(&line).unwrap();
        Self { child, lines, url: told["url"].as_str().unwrap().to_owned() }
    }

    async fn run(&self, arguments: &[&str]) -> crate::support::Ran {
        let mut command = highwater();
        command.args(arguments).env("NATS_URL", &self.url);
        run(command, None).await
    }

    /// Sends a signal and returns the exit code.
    async fn end(mut self, signal: Signal) -> Option<i32> {
        let pid = Pid::from_raw(self.child.id().unwrap().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
        let status = timeout(DEADLINE, self.child.wait()).await.expect("it ends in time").unwrap();
        assert_eq!(self.lines.next_line().await.unwrap(), None, "it says nothing more on stdout");
        status.code()
    }
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

fn answers(url: &str) -> bool {
    std::net::TcpStream::connect(url.strip_prefix("nats://").unwrap()).is_ok()
}

#[tokio::test]
async fn it_runs_until_it_is_told_to_stop_and_leaves_nothing_behind() {
    for signal in [Signal::INT, Signal::TERM] {
        let temporary = tempfile::tempdir().unwrap();
        let dev = Dev::start(temporary.path(), &[]).await;
        let url = dev.url.clone();
        let namespace = dev.run(&["namespace", "describe", "-o", "json"]).await.json();
        assert_eq!(namespace["name"], "default");
        assert!(answers(&url) && !is_empty(temporary.path()));
        assert_eq!(dev.end(signal).await, Some(0));
        assert!(!answers(&url), "the server is gone");
        assert!(is_empty(temporary.path()), "its files are gone");
    }
}

#[tokio::test]
async fn with_a_data_folder_it_goes_on_where_it_was() {
    let (temporary, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let arguments = ["--data", data.path().to_str().unwrap(), "-n", "shop"];
    let dev = Dev::start(temporary.path(), &arguments).await;
    dev.run(&["start", "order", "--id", "o-1", "-n", "shop"]).await.ok();
    assert_eq!(dev.end(Signal::INT).await, Some(0));
    let dev = Dev::start(temporary.path(), &arguments).await;
    let described = dev.run(&["describe", "o-1", "-n", "shop", "-o", "json"]).await.json();
    assert_eq!(described["status"], "running");
    assert_eq!(dev.end(Signal::INT).await, Some(0));
    assert!(is_empty(temporary.path()) && !is_empty(data.path()));
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut command = highwater();
    command.args(["dev", "--port", &port]);
    let error = run(command, None).await.error(1);
    assert!(error.contains(&format!("port {port} is taken")) && error.contains("--port"), "{error}");
}

#[tokio::test]
async fn it_tells_people_how_to_go_on() {
    let temporary = tempfile::tempdir().unwrap();
    let mut command = highwater();
    command.args(["dev", "--port", "0"]).env("TMPDIR", temporary.path());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut text = String::new();
    while !text.contains("Ctrl-C") {
        let line = timeout(DEADLINE, lines.next_line()).await.expect("it is ready in time").unwrap().expect("a line");
        text.push_str(&line);
        text.push('\n');
    }
    assert!(text.contains("export NATS_URL=nats://") && text.contains("highwater start order"), "{text}");
    let pid = Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    assert!(timeout(DEADLINE, child.wait()).await.unwrap().unwrap().success());
}
