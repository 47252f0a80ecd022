//! From a program to a server that answers, or to the reason why not.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::config::Options;
use super::ready::{self, Address};
use super::supervisor::{State, Supervisor};
use crate::error::StartError;

/// How long a server may take from its start to its first answer. JetStream
/// reads its streams first, which takes long with a large data folder.
pub(super) const START_TIMEOUT: Duration = Duration::from_mins(1);
/// How much of the server's log an error shows.
const LOG_LINES: usize = 12;

/// Starts the process on a port, 0 for any.
pub(super) fn launch(
    binary: &Path,
    options: &Options,
    store_dir: &Path,
    run_dir: &Path,
    port: u16,
) -> Result<Supervisor, StartError> {
    let ports_dir = run_dir.join("ports");
    let config = run_dir.join("nats-server.conf");
    // A killed server leaves its ports file and everybody's log.
    remove_if_there(fs::remove_dir_all(&ports_dir))?;
    remove_if_there(fs::remove_file(run_dir.join("server.log")))?;
    fs::create_dir_all(&ports_dir)?;
    fs::write(&config, options.render(store_dir, &ports_dir, port)?)?;
    Ok(Supervisor::spawn(run_dir, &[binary, Path::new("-c"), &config])?)
}

fn remove_if_there(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Waits for the first answer, or explains why there will be none.
pub(super) fn wait_ready(supervisor: &Supervisor, options: &Options, run_dir: &Path) -> Result<Address, StartError> {
    let deadline = Instant::now() + START_TIMEOUT;
    let alive = || supervisor.pid().is_some();
    let address = ready::address(&run_dir.join("ports"), deadline, alive);
    let refusal = match &address {
        Some(address) => ready::answers(address.port, options.handshake_first(), deadline, alive).err(),
        None => None,
    };
    match (address, refusal) {
        (Some(address), None) => Ok(address),
        (_, refusal) => Err(explain(supervisor.state(), refusal, run_dir)),
    }
}

fn explain(state: State, refusal: Option<io::Error>, run_dir: &Path) -> StartError {
    let log = fs::read_to_string(run_dir.join("server.log")).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    let log = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
    match state {
        State::Exited { .. } if log.contains("address already in use") => StartError::PortInUse { log },
        State::Exited { code } => StartError::Exited { code, log },
        State::Starting | State::Running { .. } | State::Gone => StartError::NotReady {
            waited: START_TIMEOUT,
            reason: refusal.map_or_else(|| "it named no port".into(), |error| error.to_string()),
            log,
        },
    }
}
