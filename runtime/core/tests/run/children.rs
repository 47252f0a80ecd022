//! Child workflows: started, awaited, signalled, cancelled, left alone.

use std::time::Duration;

use highwater_core::{
    CallError, Ctx, Exit,
    context::{ChildCancellation, IdReuse, ParentClose},
    join::try_join_all,
    open::OpenOperations,
};
use highwater_macros::{activity, select, workflow};
use highwater_protocol::{Event, RetryPolicy, Timestamp};

use crate::play::{CHILD, LIMITS, Mode, Play, check, history, registry, replay};

const SECOND: Duration = Duration::from_secs(1);

#[activity]
async fn charge(cents: u32) -> Result<u32, String> {
    Ok(cents)
}

#[workflow]
async fn ship(_ctx: Ctx, order: u32) -> Result<String, Exit> {
    Ok(format!("parcel {order}"))
}

#[test]
fn the_result_of_a_child_comes_back_typed() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<String, Exit> {
        Ok(ctx.child(ship, 5).id("parcel-5").await?)
    }
    check(
        order,
        "> start
         child #1 ship parcel-5 5
         > child 1 started
         > child 1 started
         ignored
         > child 1 ok \"parcel 5\"
         completed \"parcel 5\"",
    );
    check(
        order,
        "> start
         child #1 ship parcel-5 5
         > child 1 started + child 1 error \"no trucks\"
         failed no trucks",
    );
}

#[test]
fn every_end_of_a_child_is_told_apart() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<String, Exit> {
        Ok(match ctx.child(ship, 5).id("parcel-5").start().await {
            Ok(child) => match child.result().await {
                Ok(_) => "completed",
                Err(CallError::Terminated(_)) => "terminated",
                Err(CallError::TimedOut(..)) => "timed out",
                Err(CallError::Cancelled) => "cancelled",
                Err(_) => "failed",
            },
            Err(CallError::AlreadyExists(_)) => "already exists",
            Err(_) => "never began",
        }
        .to_owned())
    }
    for (end, result) in [("ok \"x\"", "completed"), ("terminated", "terminated"), ("timeout", "timed out")] {
        let script =
            format!("> start\nchild #1 ship parcel-5 5\n> child 1 started\n> child 1 {end}\ncompleted \"{result}\"");
        check(order, &script);
    }
    check(order, "> start\nchild #1 ship parcel-5 5\n> child 1 exists\ncompleted \"already exists\"");
    check(order, "> start\nchild #1 ship parcel-5 5\n> child 1 terminated\ncompleted \"never began\"");
}

#[test]
fn a_child_that_is_under_way_can_be_signalled_cancelled_and_awaited_more_than_once() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<String, Exit> {
        let child = ctx.child(ship, 5).id("parcel-5").queue("trucks").start().await?;
        assert_eq!((child.id().as_str(), child.run_id()), ("parcel-5", CHILD));
        child.signal("hurry", &2).await?;
        select! {
            _ = child.result() => Err("too early".to_owned())?,
            slept = ctx.sleep(SECOND) => slept?,
        }
        child.cancel("too late");
        child.cancel("once is enough");
        let (first, second) = (child.result(), child.result());
        let (first, second) = (first.await, second.await);
        assert_eq!(first, second);
        Ok(first?)
    }
    check(
        order,
        "> start
         child #1 ship parcel-5 5
         > child 1 started
         signal #2 hurry 2 to parcel-5
         > sent 2
         sleep #3 until 1004
         > fire 3
         cancel child #1: too late
         > sent 1
         > child 1 ok \"done all the same\"
         completed \"done all the same\"",
    );
}

/// What a cancelled run hears of its child, by what was said when it was called.
async fn cancelling(ctx: Ctx, cancellation: ChildCancellation) -> Result<(), Exit> {
    let ended = ctx.child(ship, 5).id("parcel-5").cancellation(cancellation).await;
    ctx.shielded().run(charge, u32::from(ended.is_ok())).await?;
    Err(Exit::Cancelled)
}

#[test]
fn a_cancelled_run_waits_for_its_child_to_end() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<(), Exit> {
        cancelling(ctx, ChildCancellation::WaitCompleted).await
    }
    check(
        order,
        "> start
         child #1 ship parcel-5 5
         > child 1 started + cancel why
         cancel child #1: why
         > sent 1
         > child 1 ok \"all the same\"
         run #2 charge 1
         > activity 2 ok 1
         cancelled",
    );
}

#[test]
fn a_cancelled_run_may_wait_until_its_child_has_been_asked() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<(), Exit> {
        cancelling(ctx, ChildCancellation::WaitRequested).await
    }
    check(
        order,
        "> start
         child #1 ship parcel-5 5
         > child 1 started + cancel why
         cancel child #1: why
         > sent 1
         run #2 charge 0
         > sent 1
         ignored
         > child 1 ok \"all the same\"
         > activity 2 ok 1
         cancelled",
    );
}

#[test]
fn a_cancelled_run_may_ask_its_child_and_go_on() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<(), Exit> {
        cancelling(ctx, ChildCancellation::Try).await
    }
    check(
        order,
        "> start
         child #1 ship parcel-5 5
         > cancel why
         cancel child #1: why
         run #2 charge 0
         > child 1 started + sent 1
         > child 1 ok \"all the same\"
         > activity 2 ok 1
         cancelled",
    );
}

#[test]
fn a_cancelled_run_may_leave_its_child_alone() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<(), Exit> {
        cancelling(ctx, ChildCancellation::Abandon).await
    }
    check(
        order,
        "> start
         child #1 ship parcel-5 5
         > cancel why
         run #2 charge 0
         > child 1 started
         > activity 2 ok 1
         cancelled",
    );
}

#[test]
fn dropping_the_last_handle_cancels_the_child_and_detaching_does_not() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<(), Exit> {
        let dropped = ctx.child(ship, 1).id("a").start().await?;
        let result = dropped.result();
        drop(dropped);
        let detached = ctx.child(ship, 2).id("b").start().await?;
        detached.detach();
        ctx.child(ship, 3).id("c").into_future().detach();
        let never = ctx.child(ship, 4).id("d").start();
        ctx.sleep(SECOND).await?;
        drop((result, never));
        ctx.sleep(SECOND).await?;
        Ok(())
    }
    check(
        order,
        "> start
         child #1 ship a 1
         > child 1 started
         child #2 ship b 2
         > child 2 started
         child #3 ship c 3
         child #4 ship d 4
         sleep #5 until 1004
         > fire 5
         cancel child #1: the workflow that asked for it no longer wants it
         cancel child #4: the workflow that asked for it no longer wants it
         sleep #6 until 1005
         > child 4 started + child 3 started + child 2 ok \"x\"
         > child 1 ok \"x\"
         > fire 6
         completed null",
    );
}

#[test]
fn a_cancelled_run_starts_no_child_unless_it_is_shielded() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<(), Exit> {
        ctx.cancelled().await;
        assert!(matches!(ctx.child(ship, 1).start().await, Err(CallError::Cancelled)));
        ctx.shielded().child(ship, 2).id("back").await?;
        Err(Exit::Cancelled)
    }
    check(
        order,
        "> start
         > cancel why
         child #2 ship back 2
         > child 2 ok \"back again\"
         cancelled",
    );
}

#[test]
fn what_is_said_of_a_child_is_in_its_call() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<u32, Exit> {
        let call = ctx
            .child_named::<_, u32, String>("weigh", &"a stone")
            .queue("scales")
            .parent_close(ParentClose::Abandon)
            .cancellation(ChildCancellation::Try)
            .id_reuse(IdReuse::Allow)
            .run_timeout(SECOND)
            .execution_timeout(SECOND * 2)
            .retry(RetryPolicy::default())
            .delay(SECOND * 3)
            .memo("note", "heavy")
            .attribute("customer", "Zoë");
        Ok(call.await?)
    }
    let history = history(order, &["start"]);
    let Event::ChildScheduled(call) = &history[0].events[1] else { panic!("{history:?}") };
    assert_eq!((call.workflow_type.as_str(), call.queue.as_str()), ("weigh", "scales"));
    assert_eq!(call.workflow_id.as_str(), call.run.to_string(), "an id that nothing else has");
    assert_eq!(call.options.parent_close, ParentClose::Abandon);
    assert_eq!(call.options.cancellation, ChildCancellation::Try);
    assert_eq!(call.options.id_reuse, IdReuse::Allow);
    assert_eq!((call.options.run_timeout, call.options.execution_timeout), (Some(SECOND), Some(SECOND * 2)));
    assert_eq!((call.options.retry.is_some(), call.options.delay), (true, Some(SECOND * 3)));
    assert_eq!(call.memo.get("note").unwrap().begin(), "\"heavy\"");
    assert_eq!(call.attributes.to_json(), "{\"customer\":\"Zo\\u00eb\"}");
    check(order, "> start\nchild #1 weigh - \"a stone\"\n> child 1 started\n> child 1 ok 70\ncompleted 70");
}

#[test]
fn a_child_that_cannot_be_called_fails_by_itself() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<Vec<String>, Exit> {
        let wrong = [
            ctx.child(ship, 1).id("").await,
            ctx.child(ship, 2).queue("").await,
            ctx.child(ship, 3).attribute("a b", 1).await,
            ctx.child_named::<_, _, String>("", &1).await,
            ctx.child_named("large", &"x".repeat(LIMITS.payload_max)).await,
        ];
        ctx.run(charge, 1).await?;
        Ok(wrong.into_iter().map(|ended: Result<String, CallError<String>>| ended.unwrap_err().to_string()).collect())
    }
    let mut play = Play::new(&registry(order), Mode::Cut);
    assert_eq!(play.line("start"), ["child #5 large - null", "ChildFailed #5", "run #6 charge 1"]);
    let transition = play.line("activity 6 ok 1");
    assert!(transition[0].starts_with("completed [\"payload does not fit: the workflow id is empty"), "{transition:?}");
}

#[test]
fn a_detached_child_that_is_too_large_is_answered_although_nobody_waits() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<(), Exit> {
        let large = "x".repeat(LIMITS.payload_max);
        ctx.child_named::<_, (), String>("large", &large).into_future().detach();
        ctx.workflow("stock").signal("large", &large).detach();
        Ok(())
    }
    check(
        order,
        "> start
         child #1 large - null
         signal #2 large null to stock
         ChildFailed #1
         ExternalRefused #2: too large: the argument of signal large has 1002 bytes, this server's limit for a payload is 1000; pass a reference to the data instead
         completed null",
    );
}

#[test]
fn another_child_in_its_place_does_not_match_the_history() {
    #[workflow(name = "order")]
    async fn before(ctx: Ctx) -> Result<String, Exit> {
        Ok(ctx.child(ship, 5).id("parcel-5").await?)
    }
    #[workflow(name = "order")]
    async fn after(ctx: Ctx) -> Result<String, Exit> {
        Ok(ctx.child(ship, 5).id("parcel-6").await?)
    }
    let failure = replay(&registry(after), &history(before, &["start"])).expect_err("another id").failure;
    assert!(failure.message.contains("on record: ChildScheduled #1 ship parcel-5"), "{failure}");
    assert!(failure.message.contains("issued ChildScheduled #1 ship parcel-6"), "{failure}");
}

#[test]
fn the_run_of_a_child_is_the_same_at_every_replay_and_its_op_stays_open_until_it_ends() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<(), Exit> {
        let calls = (0..3).map(|n| ctx.child(ship, n));
        try_join_all(calls).await?;
        Ok(())
    }
    let runs = |history: &[crate::play::Piece]| -> Vec<_> {
        let mut open = OpenOperations::default();
        history[0].events.iter().for_each(|event| open.apply(event, Timestamp::ZERO));
        open.children.values().map(|child| child.call.run).collect()
    };
    let (first, second) = (runs(&history(order, &["start"])), runs(&history(order, &["start"])));
    assert_eq!(first, second);
    assert_ne!(first[0], first[1]);
}
