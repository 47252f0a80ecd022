//! The program as its README runs it, on a NATS server of its own.

#![allow(clippy::disallowed_methods)]

use std::time::Duration;

use tokio::{process::Command, time::timeout};

/// More than enough, with a server that has to be downloaded or built first.
const DEADLINE: Duration = Duration::from_secs(300);

#[tokio::test]
async fn the_program_runs_to_its_end() {
    let program = Command::new(env!("CARGO_BIN_EXE_transcoding")).env_remove("NATS_URL").kill_on_drop(true).output();
    let output = timeout(DEADLINE, program).await.expect("the program ends").expect("the program runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("The Long Wait: 200 pieces, 819900 bytes"), "{output:?}");
}
