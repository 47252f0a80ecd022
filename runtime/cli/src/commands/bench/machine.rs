//! What was measured on, so that figures are not compared that cannot be.

use std::num::NonZeroUsize;

use serde_json::{Value, json};

/// What is known of this machine and this build. What is not known is null.
pub(super) fn json() -> Value {
    let memory = line_of("/proc/meminfo", "MemTotal").and_then(|text| text.trim_end_matches("kB").trim().parse().ok());
    json!({
        "os": std::env::consts::OS,
        "arch": std::env::consts::ARCH,
        "kernel": std::fs::read_to_string("/proc/sys/kernel/osrelease").ok().map(|text| text.trim().to_owned()),
        "cores": std::thread::available_parallelism().map(NonZeroUsize::get).ok(),
        "cpu": line_of("/proc/cpuinfo", "model name"),
        "memory_bytes": memory.map(|kib: u64| kib * 1024),
        "debug_build": cfg!(debug_assertions),
        "profile": env!("HIGHWATER_PROFILE"),
    })
}

/// What follows a name and a colon in a file of the system's.
fn line_of(file: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    let (_, value) = text.lines().filter_map(|line| line.split_once(':')).find(|(is, _)| is.trim() == name)?;
    Some(value.trim().to_owned())
}
