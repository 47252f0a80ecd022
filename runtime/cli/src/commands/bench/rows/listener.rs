//! A workflow that waits and is talked to meanwhile: signals, queries and updates, each until its answer is there.

use highwater::{WorkerBuilder, WorkflowHandle, prelude::*};
use highwater_broker::BoxFuture;

use super::{QUEUE, Row, ordinary};
use crate::{
    commands::bench::{load::Unit, measured::Measured, pattern::Story, stage::Stage},
    exit::Error,
};

/// How often one run is talked to before another one takes its place, so that no history gets long.
const TALKS_MAX: u64 = 1_000;

/// A way of talking to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Talk {
    Signal,
    Query,
    Update,
}

impl Row for Talk {
    fn name(&self) -> &'static str {
        match self {
            Self::Signal => "signal",
            Self::Query => "query",
            Self::Update => "update",
        }
    }

    fn about(&self) -> &'static str {
        match self {
            Self::Signal => "A signal to a run that waits, until the run has it on record",
            Self::Query => "A query to a run that waits, until its answer",
            Self::Update => "An update of a run that waits, until its result",
        }
    }

    fn unit(&self) -> &'static str {
        self.name()
    }

    fn register(&self, worker: WorkerBuilder) -> WorkerBuilder {
        // It is one workflow for all of them, and a worker takes it once.
        if *self == Self::Signal { worker.workflow(Listener::run) } else { worker }
    }

    fn measure<'a>(&'a self, stage: &'a Stage) -> BoxFuture<'a, Result<Vec<Measured>, Error>> {
        let story = if *self == Self::Query { Story::Query } else { Story::Request };
        Box::pin(ordinary::measure_by_publish(self, stage, story, || Talks { talk: *self, client: stage.client() }))
    }
}

#[derive(Default)]
struct Listener {
    sum: u64,
    over: bool,
}

#[workflow(name = "bench_listener")]
impl Listener {
    #[run]
    async fn run(ctx: Ctx<Self>, _nothing: ()) -> Result<u64, Exit> {
        ctx.wait_until(|listener| listener.over).await?;
        Ok(ctx.read(|listener| listener.sum))
    }

    #[signal]
    fn add(&mut self, number: u64) {
        self.sum += number;
    }

    #[signal]
    fn end(&mut self) {
        self.over = true;
    }

    #[query]
    fn sum(&self) -> u64 {
        self.sum
    }

    #[update]
    fn add_and_tell(&mut self, number: u64) -> u64 {
        self.sum += number;
        self.sum
    }
}

/// Talking to runs.
struct Talks {
    talk: Talk,
    client: Client,
}

/// The run that one of those who talk at the same time has, and how often he did.
struct Partner {
    run: WorkflowHandle<Listener>,
    talks: u64,
}

impl Talks {
    async fn partner(&self) -> Result<Partner, Error> {
        let run = self.client.start(Listener::run, ()).queue(QUEUE).await?;
        Ok(Partner { run, talks: 0 })
    }

    /// Ends a run and checks that everything that was said to it has counted once.
    async fn part(&self, partner: &Partner) -> Result<(), Error> {
        partner.run.end().await?;
        let sum = partner.run.result().await.map_err(Error::failed)?;
        let expected = if self.talk == Talk::Query { 0 } else { partner.talks };
        if sum == expected {
            return Ok(());
        }
        Err(Error::failed(format_args!("a run was told {expected} and knows of {sum}")))
    }
}

impl Unit for Talks {
    type Lane = Partner;

    async fn open(&self) -> Result<Partner, Error> {
        self.partner().await
    }

    async fn prepare(&self, partner: &mut Partner) -> Result<(), Error> {
        if partner.talks >= TALKS_MAX {
            self.part(partner).await?;
            *partner = self.partner().await?;
        }
        Ok(())
    }

    async fn once(&self, partner: &mut Partner) -> Result<(), Error> {
        partner.talks += 1;
        match self.talk {
            Talk::Signal => partner.run.add(1).await.map(drop)?,
            Talk::Query => {
                partner.run.sum().await?;
            }
            Talk::Update => {
                partner.run.add_and_tell(1).await.map_err(Error::failed)?;
            }
        }
        Ok(())
    }

    async fn close(&self, partner: Partner) -> Result<(), Error> {
        self.part(&partner).await
    }
}
