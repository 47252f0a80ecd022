//! What is particular to NATS: getting in, namespaces, servers that go away, and messages that anybody may have made.

mod connect;
mod early;
mod group;
mod hostile;
mod namespace;
mod restart;

use std::time::Duration;

use highwater_broker::nats::{ConnectOptions, NatsBroker, NatsConnection};
use highwater_devserver::DevServer;
use highwater_protocol::{Namespace, namespace::Settings};

/// How long anything may take before the test fails.
const DEADLINE: Duration = Duration::from_secs(30);

/// Waits with a deadline.
#[track_caller]
fn within<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let caller = std::panic::Location::caller();
    async move {
        let output = tokio::time::timeout(DEADLINE, future).await;
        output.unwrap_or_else(|_| panic!("nothing within {DEADLINE:?}, awaited at {caller}"))
    }
}

async fn server(config: &str) -> DevServer {
    DevServer::builder().config(config).start().await.unwrap()
}

async fn connect(server: &DevServer) -> NatsConnection {
    NatsConnection::connect(ConnectOptions::new(server.url())).await.unwrap()
}

fn shop() -> Namespace {
    Namespace::new("shop").unwrap()
}

async fn broker(server: &DevServer) -> NatsBroker {
    connect(server).await.create_namespace(&shop(), Settings::default()).await.unwrap()
}
