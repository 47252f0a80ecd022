//! What is measured.

use std::fmt;

use clap::ValueEnum;
use highwater::{WorkerBuilder, prelude::*};

/// The queue of the bench's worker.
pub(super) const QUEUE: &str = "bench";

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Row {
    /// A workflow that returns at once
    NoOp,
    /// Ten local steps, one after the other
    Steps,
    /// Ten activities, one after the other
    Activities,
}

impl Row {
    pub(super) const ALL: [Self; 3] = [Self::NoOp, Self::Steps, Self::Activities];
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NoOp => "no-op",
            Self::Steps => "10 local steps",
            Self::Activities => "10 activities",
        })
    }
}

/// Activities without work.
pub(super) struct Nothing;

#[activities]
impl Nothing {
    #[activity(start_to_close = "1m")]
    pub(super) async fn nothing(&self, number: u64) -> Result<u64, String> {
        Ok(number)
    }
}

#[workflow]
pub(super) async fn bench_no_op(_ctx: Ctx, number: u64) -> Result<u64, Exit> {
    Ok(number)
}

#[workflow]
pub(super) async fn bench_steps(ctx: Ctx, steps: u64) -> Result<u64, Exit> {
    let mut sum = 0;
    for step in 0..steps {
        sum += ctx.step("add", move |_| async move { Ok::<u64, String>(step) }).await?;
    }
    Ok(sum)
}

#[workflow]
pub(super) async fn bench_activities(ctx: Ctx, calls: u64) -> Result<u64, Exit> {
    let mut sum = 0;
    for call in 0..calls {
        sum += ctx.run(Nothing::nothing, call).await?;
    }
    Ok(sum)
}

pub(super) fn register(builder: WorkerBuilder) -> WorkerBuilder {
    builder.workflow(bench_no_op).workflow(bench_steps).workflow(bench_activities)
}
