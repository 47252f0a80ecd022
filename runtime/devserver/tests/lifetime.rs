//! The server and its files never outlive who started it.
#![cfg(unix)]

mod support;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use highwater_devserver::DevServer;
use rustix::process::{Pid, getpgid};
use support::{eventually, is_alive};

/// Another process that runs a server, and what it says of it.
struct Parent {
    process: Child,
    server: u32,
    run_dir: PathBuf,
}

fn parent() -> Parent {
    let mut process = Command::new(env!("CARGO_BIN_EXE_highwater-devserver")).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let mut value = |name: &str| {
        let line = lines.next().unwrap().unwrap();
        line.strip_prefix(name).unwrap().trim().to_owned()
    };
    value("url");
    let server = value("pid").parse().unwrap();
    let run_dir = Path::new(&value("data")).parent().unwrap().to_owned();
    Parent { process, server, run_dir }
}

#[test]
fn the_server_dies_with_a_parent_that_is_killed() {
    let mut parent = parent();
    assert!(is_alive(parent.server) && parent.run_dir.is_dir());
    parent.process.kill().unwrap(); // SIGKILL
    parent.process.wait().unwrap();
    eventually("the server is gone", || !is_alive(parent.server));
    eventually("its files are gone", || !parent.run_dir.exists());
}

#[test]
fn the_files_go_also_when_the_server_had_died_before_its_parent() {
    let mut parent = parent();
    let server = Pid::from_raw(parent.server.cast_signed()).unwrap();
    rustix::process::kill_process(server, rustix::process::Signal::KILL).unwrap();
    eventually("the server is gone", || !is_alive(parent.server));
    assert!(parent.run_dir.is_dir());
    parent.process.kill().unwrap();
    parent.process.wait().unwrap();
    eventually("its files are gone", || !parent.run_dir.exists());
}

#[test]
fn a_dropped_server_ends() {
    let server = DevServer::builder().start_blocking().unwrap();
    let (pid, log) = (server.pid().unwrap(), server.log_file().to_owned());
    drop(server);
    eventually("the server is gone", || !is_alive(pid));
    eventually("its files are gone", || !log.parent().unwrap().exists());
}

#[tokio::test]
async fn a_server_that_dies_by_itself_is_noticed() {
    let server = DevServer::builder().start().await.unwrap();
    let pid = Pid::from_raw(server.pid().unwrap().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    eventually("the death is noticed", || server.pid().is_none());
    server.restart().await.unwrap();
    server.stop().await.unwrap();
}

#[tokio::test]
async fn other_children_do_not_keep_the_server_alive() {
    let server = DevServer::builder().start().await.unwrap();
    let pid = server.pid().unwrap();
    let mut sibling = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    drop(server);
    eventually("the server is gone", || !is_alive(pid));
    assert_eq!(sibling.try_wait().unwrap(), None, "the other child still ran");
    drop(sibling.stdin.take());
    sibling.wait().unwrap();
}

#[tokio::test]
async fn an_interrupt_from_the_terminal_reaches_the_parent_alone() {
    let server = DevServer::builder().start().await.unwrap();
    let pid = Pid::from_raw(server.pid().unwrap().cast_signed());
    assert_ne!(getpgid(pid).unwrap(), getpgid(None).unwrap());
    server.stop().await.unwrap();
}
