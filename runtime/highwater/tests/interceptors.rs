//! Interceptors of client and worker, and context headers on their way through all of it.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use highwater::{
    Failure, FreeActivities, Outcome, Payload, Payloads,
    client::{Delivered, QueryError, SignalError, StartError, UpdateError},
    intercept::{
        Accepted, ActivityAttempt, ActivityInterceptor, Asked, BoxFuture, ClientInterceptor, Inbound, Next,
        NextAttempt, Outbound, QueryCall, RunView, SignalCall, StartCall, Started, UpdateCall, WorkflowInterceptor,
    },
    prelude::*,
};
use highwater_testing::TestEnv;

#[activity]
async fn who(cx: &ActivityContext) -> Result<Vec<String>, String> {
    let headers = cx.info().headers.iter().map(|(name, value)| format!("{name}={}", value.begin()));
    Ok(headers.collect())
}

#[activity(blocking)]
fn shout(text: String) -> Result<String, String> {
    if text.is_empty() { Err("nothing to shout".into()) } else { Ok(text.to_uppercase()) }
}

#[workflow]
async fn asks(ctx: Ctx) -> Result<Vec<String>, Exit> {
    Ok(ctx.run(who, ()).await?)
}

/// Asks by itself, and has a child ask.
#[workflow]
async fn has_asked(ctx: Ctx) -> Result<(Vec<String>, Vec<String>), Exit> {
    Ok((ctx.run(who, ()).await?, ctx.child(asks, ()).await?))
}

#[derive(Default)]
struct Board(Vec<String>);

#[workflow]
impl Board {
    #[run]
    async fn run(ctx: Ctx<Self>, first: String) -> Result<String, Exit> {
        ctx.update(|board| board.0.push(first));
        ctx.wait_until(|board| board.0.len() == 3).await?;
        let text = ctx.read(|board| board.0.join(" "));
        Ok(ctx.run(shout, text).await?)
    }

    #[signal]
    fn write(&mut self, word: String) {
        self.0.push(word);
    }

    #[query]
    fn last(&self) -> &str {
        self.0.last().map_or("", String::as_str)
    }

    #[update]
    fn append(&mut self, word: String) -> usize {
        self.0.push(word);
        self.0.len()
    }
}

/// A list that tests and interceptors share.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn add(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

fn header(name: &'static str, value: &str) -> impl Fn(&mut Payloads) {
    let value = Payload::encode(value).expect("text encodes");
    move |headers| headers.insert(name, value.clone())
}

/// Starts every run for somebody.
struct For(&'static str);

impl ClientInterceptor for For {
    fn start<'a>(
        &'a self,
        mut call: StartCall,
        next: Next<'a, StartCall>,
    ) -> BoxFuture<'a, Result<Started, StartError>> {
        header("for", self.0)(&mut call.request.headers);
        next.run(call)
    }
}

/// Marks every call of an activity with the workflow that makes it, and every child with its parent.
struct Marked;

impl WorkflowInterceptor for Marked {
    fn outbound(&self, run: &RunView<'_>, message: Outbound<'_>) {
        assert!(run.headers().get("for").is_some(), "the run has the headers of its start");
        let name = run.workflow_type().as_str();
        match message {
            Outbound::Activity(call) => header("by", name)(&mut call.headers),
            Outbound::Child(call) => header("child-of", name)(&mut call.headers),
            _ => {}
        }
    }
}

#[tokio::test]
async fn headers_go_from_the_client_through_the_run_into_its_activities_and_children() {
    let env = TestEnv::builder()
        .workflow(asks)
        .workflow(has_asked)
        .activities(FreeActivities::new().with(who))
        .intercept_workflows(Marked)
        .start()
        .await;
    let client = env.client().intercepted(For("ann"));
    let run = client.start(has_asked, ()).header("trace", "5").await.unwrap();
    let (own, childs) = run.result().await.unwrap();
    assert_eq!(own, ["by=\"has_asked\"", "for=\"ann\"", "trace=\"5\""]);
    assert_eq!(childs, ["by=\"asks\"", "child-of=\"has_asked\"", "for=\"ann\"", "trace=\"5\""]);
    env.finish().await;
}

/// Writes every text backwards, wherever it goes out, and reads it so.
#[derive(Clone, Copy)]
struct Backwards;

fn turn(payload: &mut Payload) {
    if let Ok(text) = payload.decode::<String>() {
        *payload = Payload::encode(&text.chars().rev().collect::<String>()).expect("text encodes");
    }
}

fn turn_outcome(outcome: &mut Outcome) {
    if let Outcome::Completed(payload) = outcome {
        turn(payload);
    }
}

impl ClientInterceptor for Backwards {
    fn start<'a>(
        &'a self,
        mut call: StartCall,
        next: Next<'a, StartCall>,
    ) -> BoxFuture<'a, Result<Started, StartError>> {
        turn(&mut call.request.input);
        next.run(call)
    }

    fn signal<'a>(
        &'a self,
        mut call: SignalCall,
        next: Next<'a, SignalCall>,
    ) -> BoxFuture<'a, Result<Delivered, SignalError>> {
        turn(&mut call.input);
        header("turned", "yes")(&mut call.headers);
        next.run(call)
    }

    fn query<'a>(&'a self, call: QueryCall, next: Next<'a, QueryCall>) -> BoxFuture<'a, Result<Payload, QueryError>> {
        Box::pin(async move {
            let mut answer = next.run(call).await?;
            turn(&mut answer);
            Ok(answer)
        })
    }

    fn update<'a>(
        &'a self,
        mut call: UpdateCall,
        next: Next<'a, UpdateCall>,
    ) -> BoxFuture<'a, Result<Accepted, UpdateError<Infallible>>> {
        turn(&mut call.input);
        header("turned", "yes")(&mut call.headers);
        next.run(call)
    }

    fn outcome(&self, _of: Asked<'_>, outcome: &mut Result<Payload, Failure>) {
        if let Ok(payload) = outcome {
            turn(payload);
        }
    }
}

impl WorkflowInterceptor for Backwards {
    fn inbound(&self, _run: &RunView<'_>, message: Inbound<'_>) {
        match message {
            Inbound::Started { input } => turn(input),
            Inbound::Signal(signal) => {
                assert!(signal.headers.get("turned").is_some(), "a signal has the headers of its sender");
                turn(&mut signal.input);
            }
            Inbound::Update(update) => {
                assert!(update.headers.get("turned").is_some(), "an update has the headers of its sender");
                turn(&mut update.input);
            }
            Inbound::ActivityClosed { outcome, .. } => turn_outcome(outcome),
            _ => {}
        }
    }

    fn outbound(&self, _run: &RunView<'_>, message: Outbound<'_>) {
        match message {
            Outbound::Activity(call) => turn(&mut call.input),
            Outbound::Answer { answer, .. } => turn(answer),
            Outbound::Ended(highwater::intercept::Conclusion::Completed(result)) => turn(result),
            _ => {}
        }
    }
}

impl ActivityInterceptor for Backwards {
    fn attempt<'a>(&'a self, mut attempt: ActivityAttempt, next: NextAttempt<'a>) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            turn(&mut attempt.input);
            let mut outcome = next.run(attempt).await;
            turn_outcome(&mut outcome);
            outcome
        })
    }
}

#[tokio::test]
async fn what_interceptors_change_on_one_side_they_undo_on_the_other() {
    let env = TestEnv::builder()
        .workflow(Board::run)
        .activities(FreeActivities::new().with(shout))
        .intercept_workflows(Backwards)
        .intercept_activities(Backwards)
        .start()
        .await;
    let client = env.client().intercepted(Backwards);
    let board = client.start(Board::run, "one".into()).id("b").await.unwrap();
    board.write("two".into()).await.unwrap();
    assert_eq!(board.last().await.unwrap(), "two");
    assert_eq!(board.append("three".into()).await.unwrap(), 3);
    assert_eq!(board.result().await.unwrap(), "ONE TWO THREE");
    let plain = env.client().handle::<Board>("b").unwrap();
    assert_eq!(plain.result().await.unwrap(), "EERHT OWT ENO", "it is turned where it is kept");
    env.finish().await;
}

/// Notes when an attempt goes in and comes out, and lets it fail at first.
struct Noted(&'static str, Log);

impl ActivityInterceptor for Noted {
    fn attempt<'a>(&'a self, attempt: ActivityAttempt, next: NextAttempt<'a>) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let number = attempt.context.attempt();
            self.1.add(format!("{} in {number}", self.0));
            let outcome = if self.0 == "inner" && number == 1 {
                Outcome::Failed(Failure::application("not at first"))
            } else {
                next.run(attempt).await
            };
            self.1.add(format!("{} out {number}", self.0));
            outcome
        })
    }
}

#[tokio::test]
async fn the_first_interceptor_of_activities_is_the_outermost_and_each_attempt_passes_all() {
    #[workflow]
    async fn loud(ctx: Ctx, text: String) -> Result<String, Exit> {
        Ok(ctx.run(shout, text).await?)
    }
    let log = Log::default();
    let env = TestEnv::builder()
        .workflow(loud)
        .activities(FreeActivities::new().with(shout))
        .intercept_activities(Noted("outer", log.clone()))
        .intercept_activities(Noted("inner", log.clone()))
        .start()
        .await;
    let result = env.client().start(loud, "hey".into()).await.unwrap().result().await;
    assert_eq!(result.unwrap(), "HEY");
    let passed = [
        "outer in 1",
        "inner in 1",
        "inner out 1",
        "outer out 1",
        "outer in 2",
        "inner in 2",
        "inner out 2",
        "outer out 2",
    ];
    assert_eq!(log.take(), passed);
    env.finish().await;
}

#[tokio::test]
async fn a_panic_in_an_interceptor_of_activities_is_a_failed_attempt() {
    struct Faulty;
    impl ActivityInterceptor for Faulty {
        fn attempt<'a>(&'a self, attempt: ActivityAttempt, next: NextAttempt<'a>) -> BoxFuture<'a, Outcome> {
            assert!(attempt.context.attempt() > 1, "out of order");
            next.run(attempt)
        }
    }
    let env = TestEnv::builder()
        .workflow(asks)
        .activities(FreeActivities::new().with(who))
        .intercept_activities(Faulty)
        .start()
        .await;
    assert!(env.client().start(asks, ()).await.unwrap().result().await.unwrap().is_empty());
    env.finish().await;
}
