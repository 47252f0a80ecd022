//! Workers in processes of their own, which can be killed.

use std::process::Stdio;

use highwater_devserver::DevServer;
use tokio::process::{Child, Command};

use crate::deadline::within;

/// A process that is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts a worker program with the server and the namespace in its environment.
    pub fn spawn(program: &str, arguments: &[&str], server: &DevServer, namespace: &str) -> Self {
        let child = Command::new(program)
            .args(arguments)
            .env("NATS_URL", server.url())
            .env("HIGHWATER_NAMESPACE", namespace)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the worker program starts");
        Self { child }
    }

    /// Ends it with SIGKILL, and returns when it is gone.
    pub async fn kill(mut self) {
        within("the process is killed", self.child.kill()).await.expect("the process can be killed");
    }
}
