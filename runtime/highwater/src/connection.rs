//! From a NATS address to a client and workers.

use std::{fmt, sync::Arc};

use highwater_broker::{
    BoxFuture, ConnectError, NamespaceError,
    nats::{ConnectOptions, NatsBroker, NatsConnection},
};
use highwater_client::Client;
use highwater_protocol::{InvalidId, Namespace};
use highwater_worker::{Worker, WorkerBuilder};

/// A namespace on a NATS server: where clients and workers come from. A clone is cheap and shares the connection.
///
/// ```no_run
/// # async fn connect() -> Result<(), highwater::OpenError> {
/// use highwater::Highwater;
///
/// let highwater = Highwater::connect().await?;
/// let client = highwater.client();
/// let worker = highwater.worker().queue("orders");
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Highwater {
    broker: Arc<NatsBroker>,
    client: Client,
}

/// A namespace could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The server cannot be reached, or does not let us in.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The namespace cannot be opened or made.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// The namespace's name cannot be one.
    #[error("the namespace cannot have this name: {0}")]
    Name(#[from] InvalidId),
}

impl fmt::Debug for Highwater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Highwater").field("namespace", self.broker.namespace()).finish_non_exhaustive()
    }
}

impl Highwater {
    /// Connects as the environment says: `NATS_URL` (`nats://127.0.0.1:4222` unless set) with its credentials, and the
    /// namespace `HIGHWATER_NAMESPACE` (`default` unless set), which is made if it does not exist.
    pub async fn connect() -> Result<Self, OpenError> {
        let namespace = std::env::var("HIGHWATER_NAMESPACE").unwrap_or_else(|_| "default".into());
        Self::opening(ConnectOptions::from_env(), &namespace).await
    }

    /// Connects to a server of which only the address is needed, such as `nats://127.0.0.1:4222`, and opens the
    /// namespace `default`.
    pub async fn connect_to(url: &str) -> Result<Self, OpenError> {
        Self::opening(ConnectOptions::new(url), "default").await
    }

    /// Connects with these options and opens the namespace of this name, which is made if it does not exist.
    pub async fn open(options: ConnectOptions, namespace: &str) -> Result<Self, OpenError> {
        Self::opening(options, namespace).await
    }

    fn opening(options: ConnectOptions, namespace: &str) -> BoxFuture<'_, Result<Self, OpenError>> {
        Box::pin(async move {
            let namespace = Namespace::new(namespace)?;
            let connection = NatsConnection::connect(options).await?;
            let broker = Arc::new(connection.open_or_create(&namespace).await?);
            Ok(Self::on(broker))
        })
    }

    /// A namespace that is open already.
    pub fn on(broker: Arc<NatsBroker>) -> Self {
        let client = Client::new(Arc::clone(&broker) as _);
        Self { broker, client }
    }

    /// The client: starts workflows and talks to them.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Begins to put a worker together.
    pub fn worker(&self) -> WorkerBuilder {
        Worker::builder(Arc::clone(&self.broker) as _)
    }

    /// Closes the connection for everybody who shares it, after what was sent has gone out. Workers have connections of
    /// their own, and go on until they are stopped.
    pub async fn close(&self) {
        self.broker.connection().close().await;
    }

    /// The namespace's broker, for administration.
    pub fn broker(&self) -> &Arc<NatsBroker> {
        &self.broker
    }
}
