//! Making time virtual.

use std::time::Duration;

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::oneshot,
    time::{self, Instant},
};

/// Stops tokio's clock, if it is not stopped yet. From here on time passes only while everything waits.
pub(super) fn freeze() {
    let Ok(runtime) = Handle::try_current() else {
        panic!("a TestEnv lives in an async runtime: write #[tokio::test] on the test and make it an `async fn`");
    };
    assert!(
        matches!(runtime.runtime_flavor(), RuntimeFlavor::CurrentThread),
        "a TestEnv needs the runtime of one thread, as only that can tell when nothing runs: write #[tokio::test] without \
         `flavor = \"multi_thread\"`"
    );
    if !is_frozen() {
        time::pause();
    }
}

/// Whether tokio's clock stands still while the real one goes on.
fn is_frozen() -> bool {
    let (before, real) = (Instant::now(), std::time::Instant::now());
    while real.elapsed() < Duration::from_micros(1) {
        std::hint::spin_loop();
    }
    Instant::now() == before
}

/// Time stands still until this is dropped. See [`hold_time`].
#[derive(Debug)]
#[must_use = "time goes on when this is dropped"]
pub struct HeldTime {
    // Dropped with this, which ends the thread that holds the time.
    _release: oneshot::Sender<()>,
}

/// Keeps virtual time from passing until the returned value is dropped.
///
/// Time skips ahead when everything waits, and whoever waits for the world outside (a socket, a child process, a thread
/// of its own) looks like that. A mock or activity that does so holds the time meanwhile, or its timeouts strike at
/// once. Blocking activities and `spawn_blocking` hold it by themselves.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
/// let _held = highwater_testing::hold_time();
/// // … talk to something outside …
/// # });
/// ```
///
/// # Panics
///
/// Outside of an async runtime.
pub fn hold_time() -> HeldTime {
    let (release, released) = oneshot::channel::<()>();
    // Tokio's clock stands still while a blocking task runs.
    tokio::task::spawn_blocking(move || released.blocking_recv());
    HeldTime { _release: release }
}
