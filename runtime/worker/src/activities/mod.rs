// A placeholder until the branch `activities` is merged, which replaces this whole file; keep the calls in options.rs and worker.rs working (change them as needed).
use highwater_broker::Broker;
use highwater_core::{activity::ActivitySet, run::Limits};
use highwater_protocol::QueueName;
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub enum CatalogError {}
pub(crate) struct ActivityCatalog;
impl ActivityCatalog {
    pub(crate) fn new(_: Vec<Arc<dyn ActivitySet>>) -> Result<Self, CatalogError> {
        Ok(Self)
    }
    pub(crate) fn is_empty(&self) -> bool {
        true
    }
}
pub(crate) struct ActivityWorker;
impl ActivityWorker {
    pub(crate) fn new(
        _: Arc<dyn Broker>,
        _: QueueName,
        _: Arc<ActivityCatalog>,
        _: Arc<Semaphore>,
        _: Limits,
        _: CancellationToken,
        _: Duration,
    ) -> Self {
        Self
    }
    pub(crate) async fn run(self) {}
}
