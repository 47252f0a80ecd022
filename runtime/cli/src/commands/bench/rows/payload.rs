//! A workflow that gets so many bytes and returns them.

use highwater::{WorkerBuilder, prelude::*};
use highwater_broker::BoxFuture;

use super::{
    QUEUE, Row, ordinary,
    run::{Runs, run},
};
use crate::{
    commands::bench::{measured::Measured, pattern::Story, stage::Stage},
    exit::Error,
};

#[derive(Debug)]
pub(super) struct Payload {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) bytes: usize,
}

impl Row for Payload {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn register(&self, worker: WorkerBuilder) -> WorkerBuilder {
        // It is one workflow for all sizes, and a worker takes it once.
        if self.bytes == SIZES[0].bytes { worker.workflow(bench_echo) } else { worker }
    }

    fn measure<'a>(&'a self, stage: &'a Stage) -> BoxFuture<'a, Result<Vec<Measured>, Error>> {
        Box::pin(ordinary::measure(self, stage, Story::Payload(self.bytes), || {
            let (client, text) = (stage.client(), "x".repeat(self.bytes));
            Runs(move || run(client.start(bench_echo, text.clone()).queue(QUEUE), text.clone()))
        }))
    }
}

/// The sizes that are measured.
pub(super) const SIZES: [Payload; 2] = [
    Payload { name: "payload-1k", about: "A workflow that gets 1 KiB and returns it", bytes: 1024 },
    Payload { name: "payload-64k", about: "A workflow that gets 64 KiB and returns them", bytes: 64 * 1024 },
];

#[workflow]
async fn bench_echo(_ctx: Ctx, text: String) -> Result<String, Exit> {
    Ok(text)
}
