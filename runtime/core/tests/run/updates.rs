//! Updates: judged, accepted, done by a task or at once, answered.

use std::time::Duration;

use highwater_core::{Ctx, Exit, context::accept, run::Registry};
use highwater_macros::{activity, workflow};
use highwater_protocol::{Event, FailureKind};

use crate::play::{LIMITS, Mode, Piece, Play, check, history, registry, replay};

const SECOND: Duration = Duration::from_secs(1);

#[activity]
async fn charge(cents: u32) -> Result<u32, String> {
    Ok(cents)
}

/// A workflow with all sorts of updates.
#[derive(Default)]
struct Cart {
    items: Vec<u32>,
    closed: bool,
}

type Taken = Result<u32, String>;

#[workflow(name = "cart")]
impl Cart {
    #[run]
    async fn run(ctx: Ctx<Self>) -> Result<u32, Exit> {
        ctx.wait_until(|cart| cart.closed).await?;
        Ok(ctx.read(|cart| cart.items.iter().sum()))
    }

    #[signal]
    fn close(&mut self) {
        self.closed = true;
    }

    #[update]
    fn add(&mut self, item: u32) -> u32 {
        self.items.push(item);
        self.items.iter().sum()
    }

    #[validate(add)]
    fn is_new(&self, item: &u32) -> Result<(), String> {
        if self.items.contains(item) { Err(format!("there is a {item} already")) } else { Ok(()) }
    }

    #[update]
    fn take(&mut self) -> Taken {
        self.items.pop().ok_or_else(|| "it is empty".to_owned())
    }

    #[update(name = "break")]
    fn crash(&mut self) -> Result<(), String> {
        self.items.push(1_000);
        panic!("broken")
    }

    #[update]
    fn large(&self) -> String {
        "x".repeat(LIMITS.payload_max)
    }

    #[update]
    async fn pay(ctx: Ctx<Self>, cents: u32) -> Result<u32, Exit> {
        let paid = ctx.run(charge, cents).await?;
        Ok(ctx.update(|cart| cart.add(paid)))
    }

    #[update(unfinished = "abandon")]
    async fn watch(ctx: Ctx<Self>) -> Result<(), Exit> {
        ctx.sleep(SECOND * 100).await?;
        Ok(())
    }

    #[update(name = "crash")]
    async fn crash_later(ctx: Ctx<Self>) -> Result<(), Exit> {
        ctx.sleep(SECOND).await?;
        panic!("broken later")
    }
}

#[test]
fn an_update_changes_the_state_and_is_answered_in_the_same_transition() {
    check(
        Cart::run,
        "> start
         > update add u-1 5
         updated u-1 5
         > update add u-2 7 + update take u-3
         updated u-2 12
         updated u-3 7
         > update take u-4 + update take u-5
         updated u-4 5
         update u-5 failed it is empty
         > update add u-6 1 + signal close
         updated u-6 1
         completed 1",
    );
}

#[test]
fn an_update_that_is_not_wanted_is_refused_and_leaves_no_trace() {
    check(
        Cart::run,
        "> start
         > update add u-1 5 + update add u-2 5
         updated u-1 5
         refused u-2 as refused: there is a 5 already
         > update add u-3 \"x\"
         refused u-3 as bad-argument: the argument of update add does not fit: the payload is not a u32: invalid type: string \"x\", expected u32 at line 1 column 3; it begins \"\\\"x\\\"\"
         > update pay u-4 {}
         refused u-4 as bad-argument: the argument of update pay does not fit: the payload is not a u32: invalid type: map, expected u32 at line 1 column 0; it begins \"{}\"
         > update sell u-5
         refused u-5 as unknown-name: workflow cart has no update sell; it has: add, break, crash, large, pay, take, watch
         > signal close
         completed 5
         > update add u-6 7
         refused u-6 as closed: the run has ended",
    );
}

#[test]
fn an_update_that_is_sent_again_is_neither_done_again_nor_refused() {
    check(
        Cart::run,
        "> start
         > update add u-1 5 + update add u-1 5
         updated u-1 5
         ignored
         > update add u-1 5
         ignored
         > signal close
         completed 5",
    );
}

#[test]
fn a_run_ends_when_its_updates_have_ended_except_those_that_may_be_abandoned() {
    check(
        Cart::run,
        "> start
         > update watch u-1
         sleep #1 until 1102
         > update pay u-2 5
         run #2 charge 5
         > signal close
         > update add u-3 1
         updated u-3 1
         > activity 2 ok 6
         updated u-2 7
         completed 0",
    );
}

#[test]
fn a_panic_ends_the_update_and_the_run_goes_on() {
    let mut play = Play::new(&registry(Cart::run), Mode::Evicted);
    play.line("start");
    let answers = play.line("update break u-1");
    assert!(answers[0].starts_with("update u-1 failed panicked: broken (at "), "{answers:?}");
    assert_eq!(play.line("update crash u-2"), ["sleep #1 until 1004"]);
    let answers = play.line("fire 1");
    assert!(answers[0].starts_with("update u-2 failed panicked: broken later (at "), "{answers:?}");
    assert_eq!(play.line("signal close"), ["completed 1000"]);
}

#[test]
fn a_result_that_is_too_large_fails_the_update() {
    check(
        Cart::run,
        "> start
         > update large u-1
         update u-1 failed too large: the result of the update has 1002 bytes, this server's limit for a payload is 1000; pass a reference to the data instead",
    );
}

#[test]
fn a_cancelled_run_answers_its_updates_before_it_ends() {
    check(
        Cart::run,
        "> start
         > update pay u-1 5
         run #1 charge 5
         > cancel why
         cancel activity #1
         UpdateCancelled u-1
         cancelled",
    );
}

#[workflow(name = "registered")]
async fn registered(ctx: Ctx, answer: u32) -> Result<u32, Exit> {
    ctx.on_update(
        "ask",
        |(), question: &u32| if *question > 0 { Ok(()) } else { Err("ask for more") },
        move |ctx, question: u32| async move {
            ctx.run(charge, question).await?;
            Ok::<_, Exit>(answer)
        },
    );
    ctx.on_update("tell", accept, |ctx, (): ()| async move { Ok::<_, Exit>(ctx.now().as_millis()) }).abandon();
    ctx.signals::<()>("go").recv().await?;
    Ok(answer)
}

#[test]
fn an_update_that_comes_with_the_start_finds_the_handlers_that_the_code_registers() {
    check(
        registered,
        "> start 5 + update ask u-0 0 + update ask u-1 7 + update tell u-2
         run #1 charge 7
         updated u-2 1001000
         refused u-0 as refused: ask for more
         > signal go
         > activity 1 ok 7
         updated u-1 5
         completed 5",
    );
}

#[test]
fn a_start_that_ends_at_once_refuses_the_update_that_came_with_it() {
    #[workflow]
    async fn brief(_ctx: Ctx) -> Result<(), Exit> {
        Ok(())
    }
    check(
        brief,
        "> start + update ask u-1
         refused u-1 as closed: the run has ended
         completed null",
    );
}

#[test]
fn an_accepted_update_whose_handler_is_gone_does_not_match_the_code() {
    #[workflow(name = "registered")]
    async fn forgot(ctx: Ctx, _answer: u32) -> Result<u32, Exit> {
        Ok(ctx.signals("go").recv().await?)
    }
    let history = history(registered, &["start 5", "update ask u-1 7"]);
    let failure = replay(&registry(forgot), &history[..]).expect_err("the handler is gone").failure;
    assert_eq!(failure.kind, FailureKind::Nondeterminism);
    assert!(failure.message.contains("on record: UpdateAccepted ask u-1\n  the code:  has no handler"), "{failure}");
}

#[test]
fn another_answer_matches_the_history_but_one_to_another_update_does_not() {
    let registry = registry(Cart::run);
    let mut history = history(Cart::run, &["start", "update add u-1 5"]);
    let Some(Event::UpdateClosed { outcome, .. }) = history[1].events.pop() else { panic!("{history:?}") };
    let with = |id: &str| {
        let id = highwater_protocol::UpdateId::new(id).unwrap();
        let mut history = history.clone();
        history[1].events.push(Event::UpdateClosed { id, outcome: outcome.clone() });
        replay(&registry, &history).map(|_| ())
    };
    assert_eq!(with("u-1"), Ok(()));
    let failure = with("u-2").expect_err("the answer is to nobody").failure;
    assert!(failure.message.contains("on record: UpdateCompleted u-2\n  the code:  issued UpdateCompleted u-1"));
}

#[test]
fn a_failed_task_that_recorded_an_update_leaves_it_to_the_next_try() {
    let registry = registry(registered);
    let mut play = Play::new(&registry, Mode::Kept);
    let time = play.time;
    let failure = highwater_protocol::Failure::new(FailureKind::Panic, "a bug");
    let failed = Event::WorkflowTaskFailed { failure, attempt: 1, retry_at: time };
    let events = vec![play.started("5"), crate::play::parse(&mut play, "update ask u-1 7"), failed];
    let (_, rest) = replay(&registry, &[Piece { events, time }]).expect("the handler comes with the code");
    assert!(matches!(&rest.events[..], [Event::ActivityScheduled(call)] if call.input.begin() == "7"));
}

#[test]
fn two_handlers_with_one_name_are_refused_at_the_start_and_both_are_named() {
    /// Of handlers under conditions the macro cannot say whether both are there.
    #[derive(Default)]
    struct Twice;

    #[workflow(name = "twice")]
    impl Twice {
        #[run]
        async fn run(_ctx: Ctx<Self>) -> Result<(), Exit> {
            Ok(())
        }

        #[signal]
        fn add(&mut self) {}

        #[cfg(test)]
        #[update(name = "add")]
        fn also(&mut self) {}

        #[cfg(test)]
        #[update(name = "add")]
        fn too(&mut self) {}
    }

    let error = Registry::new().add(Twice::run).expect_err("one name, two handlers").to_string();
    assert_eq!(
        error,
        "in the workflow type twice, the update \"add\" has two handlers: run::updates::Twice::also and run::updates::Twice::too; give one of them another name"
    );
}
