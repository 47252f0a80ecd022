//! A namespace for each test, on a server that the tests of a file share, and workers in it.

use highwater::{
    ConnectOptions, Highwater, Worker,
    worker::{RunError, StopHandle},
};
use highwater_devserver::DevServer;
use tokio::task::JoinHandle;

use crate::deadline::within;

/// Shows what `RUST_LOG` asks for.
pub fn show_log() {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}

/// A server for all tests of a binary. It ends with the process.
pub fn server() -> DevServer {
    show_log();
    DevServer::builder().start_blocking().expect("a server for the tests starts")
}

/// Opens a namespace on a connection of its own.
pub async fn open(server: &DevServer, namespace: &str) -> Highwater {
    show_log();
    let opening = Highwater::open(ConnectOptions::new(server.url()), namespace);
    within("opening the namespace", opening).await.expect("the namespace opens")
}

/// A worker that runs beside the test.
#[derive(Debug)]
pub struct Running {
    stop: StopHandle,
    task: JoinHandle<Result<(), RunError>>,
}

impl Running {
    /// Sets a worker going.
    pub fn spawn(worker: Worker) -> Self {
        Self { stop: worker.stop_handle(), task: tokio::spawn(worker.run()) }
    }

    /// Stops it in good order.
    pub async fn stop(self) {
        self.stop.stop();
        within("the worker stops", self.task).await.expect("the worker does not panic").expect("the worker ends well");
    }
}
