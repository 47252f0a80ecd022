//! Transitions and replays.

use std::sync::Arc;

use highwater_core::{
    Ctx, Exit, Run, Transition,
    run::{Limits, Registry, StepRun},
};
use highwater_macros::{activity, workflow};
use highwater_protocol::{
    Event, Payload, QueueName, RunId, Started, Timestamp, TypeName, WorkflowId,
    event::{Outcome, Signal},
};
use uuid::Uuid;

/// The run that everything here is about.
pub const RUN: RunId = RunId(Uuid::from_u128(7));

const LIMITS: Limits = Limits { payload_max: 1 << 20 };

/// The records of a history.
pub type History = Vec<(Vec<Event>, Timestamp)>;

/// Ends at once.
#[workflow]
async fn noop(_ctx: Ctx, number: u64) -> Result<u64, Exit> {
    Ok(number)
}

/// Takes so many local steps, one after the other.
#[workflow]
async fn steps(ctx: Ctx, count: u64) -> Result<(), Exit> {
    for number in 0..count {
        ctx.step("walk", async move |_| Ok::<_, String>(number)).await?;
    }
    Ok(())
}

#[activity(start_to_close = "10s")]
async fn add_one(number: u64) -> Result<u64, String> {
    Ok(number + 1)
}

/// Calls so many activities, one after the other.
#[workflow]
async fn calls(ctx: Ctx, count: u64) -> Result<(), Exit> {
    for number in 0..count {
        ctx.run(add_one, number).await?;
    }
    Ok(())
}

/// Takes so many signals.
#[workflow]
async fn signals(ctx: Ctx, count: u64) -> Result<(), Exit> {
    let mut numbers = ctx.signals::<u64>("number");
    for _ in 0..count {
        numbers.recv().await?;
    }
    Ok(())
}

/// Does a bit of everything, and then waits for a signal that does not come.
#[workflow]
async fn rests(ctx: Ctx, count: u64) -> Result<(), Exit> {
    for number in 0..count {
        ctx.run(add_one, number).await?;
        ctx.step("walk", async move |_| Ok::<_, String>(number)).await?;
    }
    Ok(ctx.signals::<()>("go").recv().await?)
}

/// All of these workflows.
pub fn registry() -> Arc<Registry> {
    let mut registry = Registry::new();
    registry.add(noop).expect("a name of its own");
    registry.add(steps).expect("a name of its own");
    registry.add(calls).expect("a name of its own");
    registry.add(signals).expect("a name of its own");
    registry.add(rests).expect("a name of its own");
    Arc::new(registry)
}

/// The first event of a run of this type.
pub fn started(workflow_type: &str, input: u64) -> Event {
    Event::Started(Box::new(Started::new(
        WorkflowId::new("order-17").expect("an id"),
        TypeName::new(workflow_type).expect("a name"),
        QueueName::new("shop").expect("a name"),
        number(input),
    )))
}

fn number(number: u64) -> Payload {
    Payload::encode(&number).expect("numbers are JSON")
}

/// A run under way, with the next event for it.
#[derive(Debug)]
pub struct Live {
    run: Run,
    time: Timestamp,
    next: Option<Event>,
    history: History,
}

impl Live {
    /// A run of this type that has been given everything up to its `event`-th event and waits for the next one.
    pub fn at(registry: &Arc<Registry>, workflow_type: &str, input: u64, event: usize) -> Self {
        let run = Run::new(Arc::clone(registry), LIMITS);
        let next = Some(started(workflow_type, input));
        let mut live = Self { run, time: Timestamp::from_millis(1_000_000), next, history: Vec::new() };
        while live.history.iter().map(|(events, _)| events.len()).sum::<usize>() < event {
            let Some(next) = live.next.take() else { break };
            let transition = live.given(next);
            live.next = follows(workflow_type, &transition);
            live.history.push((transition.events, transition.time));
        }
        live
    }

    /// Gives the run its next event.
    pub fn go_on(&mut self) -> Transition {
        let next = self.next.take().expect("the run goes on");
        self.given(next)
    }

    fn given(&mut self, event: Event) -> Transition {
        self.run.activate(RUN, vec![event], self.time).expect("the code takes its events")
    }

    /// What has been recorded of it.
    pub fn into_history(self) -> History {
        self.history
    }
}

/// What comes of a transition: the outcome of what it asked for.
fn follows(workflow_type: &str, transition: &Transition) -> Option<Event> {
    if let Some(StepRun { op, name, .. }) = transition.steps.first() {
        let (op, name, outcome) = (*op, name.clone(), Outcome::Completed(number(op.0)));
        return Some(Event::StepClosed { op, name, attempt: 1, outcome });
    }
    if let Some(Event::ActivityScheduled(call)) = transition.events.last() {
        return Some(Event::ActivityClosed { op: call.op, attempt: 1, outcome: Outcome::Completed(number(call.op.0)) });
    }
    let signal = || Signal::new(TypeName::new("number").expect("a name"), number(1));
    (workflow_type == "signals" && transition.conclusion.is_none()).then(|| Event::Signaled(signal()))
}

/// A whole run that ends at once.
pub fn whole(registry: &Arc<Registry>, started: Event) -> Transition {
    let mut run = Run::new(Arc::clone(registry), LIMITS);
    run.activate(RUN, vec![started], Timestamp::from_millis(1)).expect("the code takes its events")
}

/// A run built from its history.
pub fn replay(registry: &Arc<Registry>, history: &History) -> Run {
    let mut run = Run::new(Arc::clone(registry), LIMITS);
    for (events, time) in history {
        run.replay(RUN, events, *time).expect("what was recorded replays");
    }
    let time = history.last().map_or(Timestamp::ZERO, |(_, time)| *time);
    run.finish_replay(time).expect("the code takes its events");
    run
}
