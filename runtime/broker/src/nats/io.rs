//! The thread that talks to NATS: a runtime of one thread, for all connections of a process.
//!
//! What a message passes on its way is a chain of small tasks: the connection, whoever hands its answers out, the engine. On a
//! runtime of many threads each hand-over wakes another thread, which takes longer than the work there. On one thread it is a
//! push to a queue. The thread is not the program's either, so user code that blocks its own runtime does not hold up leases.

use std::{future::Future, sync::OnceLock};

use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::JoinHandle,
};

/// The runtime. It ends with the process: what runs on it ends with the connections.
static RUNTIME: OnceLock<Runtime> = OnceLock::new();

/// Where to spawn what hands messages on.
pub(super) fn handle() -> &'static Handle {
    let start = || {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(1).thread_name("highwater-io").enable_all();
        builder.build().expect("the operating system can start a thread")
    };
    RUNTIME.get_or_init(start).handle()
}

/// Runs a task there.
pub(super) fn spawn<F>(task: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    handle().spawn(task)
}
