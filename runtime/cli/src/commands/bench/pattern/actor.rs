//! Whoever works off the tasks.

use std::sync::Arc;

use async_nats::{
    Client,
    jetstream::{
        self,
        consumer::{AckPolicy, pull},
    },
};
use futures_util::StreamExt;
use highwater_broker::Stream;
use highwater_protocol::{RunId, subject::EngineVerb};
use tokio::task::JoinHandle;

use super::{BODY, Plot, body, space::Space, text};
use crate::exit::Error;

/// Tasks that may be under way at once, and that one pull asks for.
const UNDER_WAY_MAX: i64 = 100_000;
const PULL_MAX: usize = 500;

/// Begins to take tasks.
pub(super) async fn begin(plot: Arc<Plot>, client: Client, space: &Space) -> Result<JoinHandle<()>, Error> {
    let context = jetstream::new(client);
    let stream = context.get_stream(space.stream(Stream::Tasks).await?).await.map_err(Error::failed)?;
    let config = pull::Config {
        durable_name: Some("pattern".into()),
        filter_subject: plot.subjects.task_filter(&plot.queue),
        ack_policy: AckPolicy::Explicit,
        max_ack_pending: UNDER_WAY_MAX,
        ..pull::Config::default()
    };
    let consumer = stream.create_consumer(config).await.map_err(Error::failed)?;
    let mut tasks = consumer.stream().max_messages_per_batch(PULL_MAX).messages().await.map_err(Error::failed)?;
    Ok(tokio::spawn(async move {
        while let Some(task) = tasks.next().await {
            match task {
                Ok(task) => {
                    tokio::spawn(attend(Arc::clone(&plot), context.clone(), task));
                }
                Err(error) => return plot.note(error),
            }
        }
    }))
}

/// Publishes the outcome and then lets go of the task.
async fn attend(plot: Arc<Plot>, context: jetstream::Context, task: jetstream::Message) {
    let outcome = async {
        let key = Plot::key(text(&task.payload)).map_err(|error| error.message)?;
        let subject = plot.subjects.inbox_engine(EngineVerb::Activity, &plot.queue, RunId::generate(), &key);
        let stored = context.publish(subject, body("", BODY)).await.map_err(|error| error.to_string())?;
        stored.await.map_err(|error| error.to_string())?;
        task.ack().await.map_err(|error| error.to_string())
    };
    if let Err(error) = outcome.await {
        plot.note(error);
    }
}
