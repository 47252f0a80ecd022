//! What workflow code must not do: each is caught, and told with the operation and what to use instead.

use std::{cell::RefCell, collections::HashMap, pin::Pin, rc::Rc, thread, time::Duration};

use highwater_core::{
    Ctx, Exit, Transition,
    definition::WorkflowCode,
    run::{TaskFailure, Trail},
    sync::{Mutex, Sender, channel},
};
use highwater_macros::{activity, select, workflow};
use highwater_protocol::FailureKind;
use tokio::sync::oneshot;

use crate::play::{Mode, Piece, Play, check, history, parse, registry, replay};

const SECOND: Duration = Duration::from_secs(1);

#[activity]
async fn charge(cents: u32) -> Result<u32, String> {
    Ok(cents)
}

/// Gives a run one line, and does not look whether it would replay: these would not.
fn give(play: &mut Play, line: &str) -> Result<Transition, TaskFailure> {
    let event = parse(play, line);
    play.run.activate(play.id, vec![event], play.time)
}

/// How the task of the last of these lines failed.
#[track_caller]
fn task_failure<P, W>(workflow: W, lines: &[&str]) -> String
where
    W: WorkflowCode<P> + Clone + Send + Sync,
{
    let mut play = Play::new(&registry(workflow), Mode::Kept);
    let (last, before) = lines.split_last().expect("there is a line");
    for line in before {
        give(&mut play, line).expect("it takes this");
    }
    give(&mut play, last).expect_err("the code does what it must not").failure.to_string()
}

#[track_caller]
fn contains(text: &str, told: &[&str]) {
    for told in told {
        assert!(text.contains(told), "{told:?} is not in:\n{text}");
    }
}

thread_local! {
    /// What the workflows of these tests await and should not.
    static FOREIGN: RefCell<Option<oneshot::Receiver<u32>>> = const { RefCell::new(None) };
}

/// A future of another library's, and its other end.
fn foreign() -> oneshot::Sender<u32> {
    let (sender, receiver) = oneshot::channel();
    FOREIGN.set(Some(receiver));
    sender
}

fn take_foreign() -> oneshot::Receiver<u32> {
    FOREIGN.take().expect("the test has put it there")
}

#[test]
fn an_await_that_nothing_of_the_run_can_end_is_told_at_once() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<u32, Exit> {
        ctx.run(charge, 1).await?;
        Ok(take_foreign().await.unwrap_or(0))
    }
    let _sender = foreign();
    let failure = task_failure(order, &["start", "activity 1 ok 1"]);
    contains(
        &failure,
        &[
            "stuck: workflow order \"order-17\" waits for something that is not of `ctx`",
            "the last operation that its code made is activity charge (#1, at ",
            "guards.rs:",
            "ctx.sleep for time",
            "To wait for messages only, await ctx.cancelled()",
        ],
    );
}

#[workflow]
async fn races(ctx: Ctx) -> Result<u32, Exit> {
    let mut foreign = take_foreign();
    loop {
        select! {
            got = &mut foreign => return Ok(got.unwrap_or(0)),
            slept = ctx.sleep(SECOND) => slept?,
        }
    }
}

#[test]
fn a_wake_up_from_another_thread_fails_the_next_task() {
    let sender = foreign();
    let mut play = Play::new(&registry(races), Mode::Kept);
    give(&mut play, "start").unwrap();
    thread::Builder::new().name("reactor".into()).spawn(move || sender.send(5)).unwrap().join().unwrap().unwrap();
    let failure = give(&mut play, "signal x").unwrap_err().failure.to_string();
    contains(
        &failure,
        &[
            "workflow races \"order-17\" was woken by the thread \"reactor\"",
            "it awaits something that is not of `ctx` beside timer sleep (#1, at ",
            "guards.rs:",
            "ctx.run or ctx.step for I/O",
        ],
    );
}

#[test]
fn a_wake_up_from_elsewhere_on_the_same_thread_fails_the_next_task() {
    let sender = foreign();
    let mut play = Play::new(&registry(races), Mode::Kept);
    give(&mut play, "start").unwrap();
    sender.send(5).unwrap();
    let failure = give(&mut play, "fire 1").unwrap_err().failure.to_string();
    contains(&failure, &["was woken by other code on its thread, while it was at rest"]);
}

#[test]
fn what_other_libraries_offer_works_between_tasks_of_one_run() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<u32, Exit> {
        let (sender, receiver) = oneshot::channel();
        let inner = ctx.clone();
        ctx.spawn(async move {
            let charged = inner.run(charge, 7).await;
            sender.send(charged.unwrap_or(0)).ok();
        })
        .detach();
        Ok(receiver.await.unwrap_or(0))
    }
    check(
        order,
        "> start
         run #1 charge 7
         > activity 1 ok 7
         completed 7",
    );
}

#[test]
fn tasks_that_wait_for_each_other_are_told() {
    #[workflow]
    async fn order(_ctx: Ctx) -> Result<(), Exit> {
        let lock = Rc::new(Mutex::new(()));
        let _held = lock.lock().await;
        let _again = lock.lock().await;
        Ok(())
    }
    let failure = task_failure(order, &["start"]);
    contains(&failure, &["all tasks of workflow order \"order-17\" wait for each other", "nobody is left to send"]);
}

#[derive(Default)]
struct Doorbell {
    sender: Option<Sender<u32>>,
}

#[workflow]
impl Doorbell {
    #[run]
    async fn run(ctx: Ctx<Self>) -> Result<u32, Exit> {
        let (sender, mut receiver) = channel();
        ctx.update(|bell| bell.sender = Some(sender));
        Ok(receiver.recv().await.unwrap_or(0))
    }

    #[signal]
    fn ring(&mut self, times: u32) {
        if let Some(sender) = &self.sender {
            sender.send(times).ok();
        }
    }
}

#[test]
fn a_handler_may_send_what_the_code_waits_for() {
    check(
        Doorbell::run,
        "> start
         > signal ring 3
         completed 3",
    );
}

#[test]
fn waiting_for_the_request_to_cancel_is_a_wait_for_nothing_but_messages() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<(), Exit> {
        ctx.cancelled().await;
        Err(Exit::Cancelled)
    }
    check(
        order,
        "> start
         > cancel why
         cancelled",
    );
}

#[test]
fn what_needs_tokio_hears_what_to_use_instead_and_where() {
    type Breaks = Pin<Box<dyn Future<Output = ()>>>;
    thread_local! {
        static BREAKS: RefCell<Option<fn() -> Breaks>> = const { RefCell::new(None) };
    }
    #[workflow]
    async fn order(ctx: Ctx) -> Result<(), Exit> {
        ctx.run(charge, 1).await?;
        let breaks = BREAKS.take().expect("the test has put it there");
        breaks().await;
        Ok(())
    }
    let each: [fn() -> Breaks; 4] = [
        || Box::pin(tokio::time::sleep(SECOND)),
        || Box::pin(async { drop(tokio::spawn(async {})) }),
        || Box::pin(async { drop(tokio::time::timeout(SECOND, std::future::pending::<()>()).await) }),
        || Box::pin(async { drop(tokio::task::spawn_blocking(|| ()).await) }),
    ];
    for breaks in each {
        BREAKS.set(Some(breaks));
        let failure = task_failure(order, &["start", "activity 1 ok 1"]);
        contains(
            &failure,
            &[
                "panicked: ",
                "workflow code has no tokio runtime",
                "activity charge (#1, at ",
                "guards.rs:",
                "ctx.sleep for time, ctx.spawn for tasks, and an activity or ctx.step",
            ],
        );
    }
}

#[test]
fn the_order_of_a_hash_map_is_told_as_a_cause() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<(), Exit> {
        let carts: HashMap<u32, u32> = (0..64).map(|n| (n, n)).collect();
        for cents in carts.values() {
            ctx.run_named::<_, (), String>(&format!("charge-{cents}"), &()).await?;
        }
        Ok(())
    }
    let registry = registry(order);
    let mut play = Play::new(&registry, Mode::Kept);
    let mut history = Vec::new();
    for line in ["start", "activity 1 ok null", "activity 2 ok null", "activity 3 ok null"] {
        let Transition { events, time, .. } = give(&mut play, line).unwrap();
        history.push(Piece { events, time });
    }
    // That two maps of 64 begin with the same four is out of the question.
    let failure = replay(&registry, &history).expect_err("the order is another one").failure;
    assert_eq!(failure.kind, FailureKind::Nondeterminism);
    contains(&failure.message, &["the order of a HashMap or HashSet", "BTreeMap", "ctx.random"]);
}

mod before {
    use super::*;

    #[workflow]
    pub(super) async fn order(ctx: Ctx) -> Result<(), Exit> {
        ctx.run(charge, 1).await?;
        ctx.run(charge, 2).await?;
        ctx.sleep(SECOND).await?;
        ctx.run(charge, 3).await?;
        Ok(())
    }
}

#[track_caller]
fn beside<P, W>(workflow: W, lines: &[&str], table: &str)
where
    W: WorkflowCode<P> + Clone + Send + Sync,
{
    let failure = replay(&registry(workflow), &history(before::order, lines)).expect_err("the code is another one");
    let at = failure.failure.message.find("  on record  ").map_or("no table", |_| "");
    let text = failure.failure.message.rsplit_once("or terminate the run.\n").map_or(at, |(_, table)| table);
    assert!(text == table, "expected:\n{table}\nactual:\n{text}");
}

#[test]
fn the_history_and_the_code_stand_side_by_side_around_the_difference() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<(), Exit> {
        ctx.run(charge, 1).await?;
        let late = ctx.sleep(SECOND);
        ctx.run(charge, 2).await?;
        late.await?;
        Ok(())
    }
    beside(
        order,
        &["start", "activity 1 ok 1", "activity 2 ok 2", "fire 3"],
        "       on record                                 | the code
    1  Started order on queue shop               |
    2  ActivityScheduled #1 charge on queue shop | ActivityScheduled #1 charge on queue shop
    3  ActivityCompleted #1 at attempt 1         |
  ▶ 4  ActivityScheduled #2 charge on queue shop | issued TimerStarted #2 due 1970-01-01T00:16:43.000Z
                                                 | ActivityScheduled #3 charge on queue shop",
    );
    #[workflow(name = "order")]
    async fn ends(ctx: Ctx) -> Result<(), Exit> {
        ctx.run(charge, 1).await?;
        Ok(())
    }
    beside(
        ends,
        &["start", "activity 1 ok 1 + signal x + signal y", "activity 2 ok 2"],
        "       on record                                 | the code
    3  ActivityCompleted #1 at attempt 1         |
    4  Signaled x                                |
    5  Signaled y                                |
  ▶ 6  ActivityScheduled #2 charge on queue shop | had ended",
    );
}

#[test]
fn the_trail_of_a_thread_tells_the_last_operation_of_the_run_that_is_on_it() {
    let trail = Trail::new();
    trail.install();
    let mut first = Play::new(&registry(before::order), Mode::Kept);
    first.line("start");
    let last = trail.last().expect("an operation was made");
    assert!(last.starts_with("activity charge (#1, at ") && last.contains("guards.rs:"), "{last}");
    // Another run of the thread that has made none.
    #[workflow]
    async fn idle(ctx: Ctx) -> Result<(), Exit> {
        ctx.cancelled().await;
        Ok(())
    }
    let mut second = Play::new(&registry(idle), Mode::Kept);
    second.line("start");
    assert_eq!(trail.last(), None);
    first.line("activity 1 ok 1");
    assert!(trail.last().is_some_and(|last| last.starts_with("activity charge (#2, at ")));
    second.line("signal x");
    assert_eq!(trail.last(), None);
}
