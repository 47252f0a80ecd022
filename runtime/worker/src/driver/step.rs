//! Running local steps.

use std::sync::Arc;

use highwater_core::run::StepRun;
use highwater_protocol::{Key, RunId, Started, event::Outcome};
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info_span};

use crate::{activities::caught, engine::Input, trace::Traced};

/// A step that begins.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) key: Key,
    pub(super) run: RunId,
    pub(super) code: StepRun,
    /// The first event of its run, where it is known.
    pub(super) started: Option<Arc<Started>>,
}

impl Step {
    /// Runs it to the end of its last attempt, and tells the engine; unless it is `given_up` before.
    pub(super) async fn run(self, answer: UnboundedSender<Input>, given_up: CancellationToken) {
        if given_up.is_cancelled() {
            return;
        }
        tokio::select! {
            biased;
            // A quick step never comes to the other one.
            () = self.run_to_end(answer) => {}
            () = given_up.cancelled() => {}
        }
    }

    async fn run_to_end(self, answer: UnboundedSender<Input>) {
        let Self { key, run, code: mut step, started } = self;
        let mut attempt = 1;
        let outcome = loop {
            let outcome = attempt_of(&mut step, attempt, &key, run, started.as_deref()).await;
            let Outcome::Failed(failure) = &outcome else { break outcome };
            let delay = step.retry.delay_after(attempt, rand::random()).filter(|_| failure.is_retryable());
            let Some(delay) = delay else { break outcome };
            tracing::info!(workflow_id = %key, %run, step = %step.name, attempt, %failure, ?delay, "an attempt of a step failed; there will be another");
            tokio::time::sleep(delay).await;
            attempt += 1;
        };
        let StepRun { op, name, .. } = step;
        let _ = answer.send(Input::StepDone { key, run, op, name, attempt, outcome });
    }
}

async fn attempt_of(step: &mut StepRun, attempt: u32, key: &Key, run: RunId, started: Option<&Started>) -> Outcome {
    let traced = Traced::step(key, run, started, &step.name);
    // What everything that it logs stands under.
    let log = info_span!("step", step = %step.name, workflow_id = %key, %run, op = %step.op);
    // What the code captured is cloned for the attempt, which is code of the user's too.
    let work = caught(async { (step.work)(attempt).await });
    let outcome = traced.around(work.instrument(log)).await;
    traced.finish(&outcome);
    outcome
}
