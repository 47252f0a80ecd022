//! The pattern with no engine: the messages that the engine's promises need, and nothing between them.
//!
//! It is what the engine is held against: what NATS lets anybody do on this machine who stores what the engine stores,
//! as durably, before he goes on. It has a namespace of its own, whose streams are made as the engine's are, and uses
//! the same client library; but it has no workflow code, no replay, no leases and no offsets, and its bodies are
//! padding. [`Story`] says which messages are sent for what.
//!
//! Whoever asks, whoever owns the runs and whoever works off the tasks have a connection each, as three processes
//! would. This is the one place beside the broker that names async-nats: what shall show what the client library can do
//! must not go through what is measured with it.

mod actor;
mod asker;
mod dial;
mod owner;
mod space;
mod story;

use std::sync::{Arc, OnceLock, atomic::AtomicU64};

use async_nats::Client;
use bytes::Bytes;
use highwater_protocol::{Key, QueueName, TypeName, WorkflowId, namespace::Settings, subject::Subjects};
use tokio::task::JoinHandle;

use super::stage::Stage;
use crate::exit::Error;
use asker::Asker;
use owner::Owner;

pub(crate) use space::Space;
pub(crate) use story::Story;

/// The size of every body that stands for one of the engine's, in bytes.
const BODY: usize = 200;
/// What workflows, signals, queries and updates are called.
const NAME: &str = "p";
const QUEUE: &str = "q";

/// The pattern at work.
#[derive(Debug)]
pub(crate) struct Pattern {
    space: Space,
    plot: Arc<Plot>,
    asking: Client,
    parts: Vec<JoinHandle<()>>,
}

/// What all parts of it know.
#[derive(Debug)]
struct Plot {
    story: Story,
    subjects: Subjects,
    queue: QueueName,
    name: TypeName,
    /// Makes the ids of runs.
    runs: AtomicU64,
    /// The first thing that went wrong.
    failed: OnceLock<String>,
}

impl Pattern {
    /// Sets everything up and begins to answer.
    pub(crate) async fn open(stage: &Stage, story: Story) -> Result<Self, Error> {
        // Group commit is the engine's: what that gains is to be seen.
        let settings = Settings { group_commit: false, ..stage.highwater.broker().settings().clone() };
        let space = Space::make(stage.highwater.broker().connection(), &stage.environment, settings).await?;
        let begun = Self::begin(stage, &space, story).await;
        match begun {
            Ok((plot, asking, parts)) => Ok(Self { space, plot, asking, parts }),
            Err(error) => {
                let _ = space.remove(&stage.environment).await;
                Err(error)
            }
        }
    }

    /// Begins to answer, with what is needed to ask.
    async fn begin(
        stage: &Stage,
        space: &Space,
        story: Story,
    ) -> Result<(Arc<Plot>, Client, Vec<JoinHandle<()>>), Error> {
        let plot = Arc::new(Plot {
            story,
            subjects: space.subjects(),
            queue: QueueName::new(QUEUE)?,
            name: TypeName::new(NAME)?,
            runs: AtomicU64::new(0),
            failed: OnceLock::new(),
        });
        let dial = || dial::dial(&stage.environment);
        let [asking, owning, acting] = [dial().await?, dial().await?, dial().await?];
        let mut parts = Owner::begin(&plot, owning, space).await?;
        if story.has_activities() {
            parts.push(actor::begin(Arc::clone(&plot), acting, space).await?);
        }
        Ok((plot, asking, parts))
    }

    /// What is done again and again.
    pub(crate) fn unit(&self) -> Asker {
        Asker::new(Arc::clone(&self.plot), self.asking.clone())
    }

    /// The bytes that the histories take.
    pub(crate) async fn history_bytes(&self) -> Result<u64, Error> {
        self.space.history_bytes().await
    }

    /// Ends it and takes its streams away.
    pub(crate) async fn close(self, stage: &Stage) -> Result<(), Error> {
        for part in &self.parts {
            part.abort();
        }
        self.space.remove(&stage.environment).await
    }
}

impl Drop for Pattern {
    fn drop(&mut self) {
        for part in &self.parts {
            part.abort();
        }
    }
}

impl Plot {
    /// Notes the first thing that goes wrong, for those who wait in vain because of it.
    fn note(&self, error: impl std::fmt::Display) {
        let _ = self.failed.set(error.to_string());
    }

    fn key(id: &str) -> Result<Key, Error> {
        Ok(WorkflowId::new(id)?.to_key())
    }
}

/// A body that begins with a text, which ends at the first space.
fn body(text: &str, size: usize) -> Bytes {
    let mut body = Vec::with_capacity(size.max(text.len() + 1));
    body.extend_from_slice(text.as_bytes());
    body.push(b' ');
    body.resize(body.len().max(size), b' ');
    body.into()
}

/// What a body begins with.
fn text(body: &[u8]) -> &str {
    let end = body.iter().position(|byte| *byte == b' ').unwrap_or(body.len());
    std::str::from_utf8(&body[..end]).unwrap_or_default()
}
