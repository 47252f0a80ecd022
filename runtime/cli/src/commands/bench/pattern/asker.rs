//! Whoever asks: starts runs, or requests and queries to a run.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_nats::{Client, Subscriber, jetstream};
use bytes::Bytes;
use futures_util::StreamExt;
use highwater_protocol::{Key, subject::Verb};
use tokio::time::timeout;

use super::{BODY, Plot, Story, body};
use crate::{commands::bench::load::Unit, exit::Error};

/// How long an answer is awaited. That there is none means that something went wrong.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// A unit of work of the pattern.
#[derive(Debug)]
pub(crate) struct Asker {
    plot: Arc<Plot>,
    client: Client,
    context: jetstream::Context,
}

/// The run that one of those who ask keeps, when he does.
#[derive(Debug)]
pub(crate) struct Kept(Option<Key>);

impl Asker {
    pub(super) fn new(plot: Arc<Plot>, client: Client) -> Self {
        let context = jetstream::new(client.clone());
        Self { plot, client, context }
    }

    fn next_key(&self) -> Result<Key, Error> {
        let number = self.plot.runs.fetch_add(1, Ordering::Relaxed);
        Plot::key(&format!("w{number}"))
    }

    /// Starts a run and waits for the answer.
    async fn start(&self) -> Result<Key, Error> {
        let key = self.next_key()?;
        self.store(Verb::Start, &key).await?;
        Ok(key)
    }

    /// Publishes a request, waits until it is stored and then for the answer.
    async fn store(&self, verb: Verb, key: &Key) -> Result<(), Error> {
        let plot = &self.plot;
        let inbox = self.client.new_inbox();
        let mut answers = self.client.subscribe(inbox.clone()).await.map_err(Error::failed)?;
        let subject = plot.subjects.public(verb, &plot.queue, Some(&plot.name), key);
        let message = body(&inbox, BODY.max(plot.story.payload()));
        self.publish(subject, message).await?;
        self.answer(&mut answers).await
    }

    /// Publishes and waits until it is stored.
    async fn publish(&self, subject: String, message: Bytes) -> Result<(), Error> {
        let sent = self.context.publish(subject, message).await.map_err(Error::failed)?;
        sent.await.map(drop).map_err(Error::failed)
    }

    async fn answer(&self, answers: &mut Subscriber) -> Result<(), Error> {
        if let Ok(Some(_)) = timeout(ANSWER_MAX, answers.next()).await {
            return Ok(());
        }
        let reason = self.plot.failed.get().map_or("nobody answers", String::as_str);
        Err(Error::failed(format_args!("the pattern without an engine stands still: {reason}")))
    }

    async fn query(&self, key: &Key) -> Result<(), Error> {
        let plot = &self.plot;
        let subject = plot.subjects.query(&plot.queue, &plot.name, key);
        self.client.request(subject, body("", BODY)).await.map(drop).map_err(Error::failed)
    }
}

impl Unit for Asker {
    type Lane = Kept;

    async fn open(&self) -> Result<Kept, Error> {
        Ok(Kept(match self.plot.story {
            Story::Publish => Some(self.next_key()?),
            story if story.is_of_one_run() => Some(self.start().await?),
            _ => None,
        }))
    }

    async fn once(&self, kept: &mut Kept) -> Result<(), Error> {
        match (&kept.0, self.plot.story) {
            (None, _) => self.start().await.map(drop),
            (Some(key), Story::Query) => self.query(key).await,
            (Some(key), Story::Publish) => self.publish(self.plot.subjects.history(key), body("", BODY)).await,
            (Some(key), _) => self.store(Verb::Signal, key).await,
        }
    }
}
