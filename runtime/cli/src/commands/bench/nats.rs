//! The processes of NATS, when they are ours to look at.

use std::{
    io,
    net::{Ipv4Addr, TcpListener},
};

use super::usage::{self, Usage};
use crate::exit::Error;

/// The processes of NATS.
#[derive(Clone, Debug)]
pub(crate) struct Nats {
    /// The process ids. Empty for a server elsewhere.
    pub(crate) pids: Vec<u32>,
    /// Where a single one tells of its heap.
    pub(crate) profile: Option<Profile>,
}

impl Nats {
    /// What all of its processes have used so far together; nothing when that cannot be known.
    pub(crate) fn usage(&self) -> Option<Usage> {
        self.pids.iter().map(|pid| usage::of(*pid)).reduce(|sum, more| Some(sum?.and(more?)))?
    }

    /// The bytes on its heap that are in use, after a garbage collection; nothing when that cannot be known.
    pub(crate) async fn live_heap(&self) -> Result<Option<u64>, Error> {
        let Some(Profile { port }) = self.profile else { return Ok(None) };
        let asked = tokio::task::spawn_blocking(move || {
            let url = format!("http://127.0.0.1:{port}/debug/pprof/heap?gc=1&debug=1");
            ureq::get(&url).call()?.body_mut().read_to_string()
        });
        let text = asked.await.map_err(Error::failed)?.map_err(Error::failed)?;
        in_use(&text).map(Some).ok_or_else(|| Error::failed("the server's profile does not tell of its heap"))
    }
}

/// The port at which a server tells of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Profile {
    port: u16,
}

impl Profile {
    /// A port that is free at the moment.
    pub(crate) fn anywhere() -> io::Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        Ok(Self { port })
    }

    /// What the server's configuration has to say.
    pub(crate) fn config(self) -> String {
        format!("prof_port: {}", self.port)
    }
}

/// The figure in the text of Go's heap profile.
fn in_use(profile: &str) -> Option<u64> {
    profile.lines().find_map(|line| line.strip_prefix("# HeapAlloc = "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heap_is_read_from_gos_profile() {
        let text = "heap profile: 1: 2 [3: 4] @ heap/1048576\n# runtime.MemStats\n# Alloc = 7\n# HeapAlloc = 12345\n";
        assert_eq!(in_use(text), Some(12_345));
        assert_eq!(in_use("heap profile: 1: 2"), None);
    }
}
