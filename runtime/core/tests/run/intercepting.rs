//! Interceptors of workflows: what they see, in which order, and that replay agrees with what they changed.

use std::sync::Arc;

use highwater_core::{
    Ctx, Exit,
    intercept::{Inbound, Outbound, RunView, WorkflowInterceptor},
    run::{Conclusion, Registry},
};
use highwater_macros::{activity, workflow};
use highwater_protocol::{Payload, event::Outcome};

use crate::play::{Mode, Play, check_in};

#[activity]
async fn double(number: i64) -> Result<i64, String> {
    Ok(number * 2)
}

#[derive(Default)]
struct Sum(i64);

#[workflow(name = "sum")]
impl Sum {
    #[run]
    async fn run(ctx: Ctx<Self>, first: i64) -> Result<i64, Exit> {
        ctx.update(|sum| sum.0 += first);
        let doubled = ctx.run(double, first).await?;
        let received = ctx.signals::<i64>("late").recv().await?;
        Ok(ctx.read(|sum| sum.0 + doubled + received))
    }

    #[signal]
    fn add(&mut self, number: i64) {
        self.0 += number;
    }

    #[query]
    fn plus(&self, number: i64) -> i64 {
        self.0 + number
    }

    #[update]
    fn take(&mut self, number: i64) -> Result<i64, String> {
        self.0 -= number;
        Ok(self.0)
    }

    #[validate(take)]
    fn is_positive(&self, number: &i64) -> Result<(), String> {
        if *number > 0 { Ok(()) } else { Err(format!("{number} is not positive")) }
    }
}

/// Numbers are written down as something else than they are.
struct Coded {
    write: fn(i64) -> i64,
    read: fn(i64) -> i64,
}

fn change(payload: &mut Payload, change: fn(i64) -> i64) {
    let number: i64 = payload.decode().expect("these tests send numbers only");
    *payload = Payload::encode(&change(number)).expect("a number encodes");
}

fn change_outcome(outcome: &mut Outcome, by: fn(i64) -> i64) {
    if let Outcome::Completed(payload) = outcome {
        change(payload, by);
    }
}

impl WorkflowInterceptor for Coded {
    fn inbound(&self, run: &RunView<'_>, message: Inbound<'_>) {
        assert_eq!(run.workflow_id().as_str(), "order-17");
        match message {
            Inbound::Started { input } => change(input, self.read),
            Inbound::Signal(signal) => change(&mut signal.input, self.read),
            Inbound::Update(update) => change(&mut update.input, self.read),
            Inbound::Query { argument, .. } => change(argument, self.read),
            Inbound::ActivityClosed { outcome, .. } => change_outcome(outcome, self.read),
            other => panic!("these tests do without {other:?}"),
        }
    }

    fn outbound(&self, _run: &RunView<'_>, message: Outbound<'_>) {
        match message {
            Outbound::Activity(call) => {
                change(&mut call.input, self.write);
                call.headers.insert("coded", Payload::null());
            }
            Outbound::Answer { answer, .. } => change(answer, self.write),
            Outbound::UpdateClosed { outcome, .. } => change_outcome(outcome, self.write),
            Outbound::Ended(Conclusion::Completed(result)) => change(result, self.write),
            other => panic!("these tests do without {other:?}"),
        }
    }
}

/// Outside a number is twice what it is, and then a thousand more.
fn coded() -> Arc<Registry> {
    let mut registry = Registry::new();
    registry.add(Sum::run).expect("one workflow has no namesake");
    registry.intercept(Arc::new(Coded { write: |n| n + 1_000, read: |n| n - 1_000 }));
    registry.intercept(Arc::new(Coded { write: |n| n * 2, read: |n| n / 2 }));
    Arc::new(registry)
}

#[test]
fn everything_that_goes_in_and_out_passes_all_interceptors_and_replays() {
    check_in(
        &coded(),
        "> start 1010
         run #1 double 1010
         > signal add 1004
         > query plus 1002
         1016
         > update take u-1 1006 + update take u-2 1000
         updated u-1 1008
         refused u-2 as refused: 0 is not positive
         > signal late 1200
         > activity 1 ok 1020
         completed 1228",
    );
}

#[test]
fn a_panic_of_an_interceptor_fails_the_task_and_not_the_worker() {
    struct Faulty;
    impl WorkflowInterceptor for Faulty {
        fn outbound(&self, _run: &RunView<'_>, _message: Outbound<'_>) {
            panic!("out of order");
        }
    }
    let mut registry = Registry::new();
    registry.add(Sum::run).expect("one workflow has no namesake");
    registry.intercept(Arc::new(Faulty));
    let answers = Play::new(&Arc::new(registry), Mode::Kept).line("start 5");
    assert!(answers[0].starts_with("task failed: panicked: out of order (at "), "{answers:?}");
}
