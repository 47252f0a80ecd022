//! Children: what becomes of them when their parent is cancelled, and children by name.

use highwater::{ChildCancellation, ParentClose, prelude::*, testing::TestEnv};

use crate::days;

/// Takes ten days, or, when it is asked to cancel, two more to clean up.
#[workflow]
async fn thorough(ctx: Ctx) -> Result<String, Exit> {
    if ctx.sleep(days(10)).await.is_ok() {
        return Ok("undisturbed".into());
    }
    ctx.shielded().sleep(days(2)).await?;
    Ok("cleaned up".into())
}

/// What it hears of its child, and after how many days.
#[workflow]
async fn parent(ctx: Ctx, how: String) -> Result<(String, u64), Exit> {
    let cancellation = match how.as_str() {
        "wait-completed" => ChildCancellation::WaitCompleted,
        "wait-requested" => ChildCancellation::WaitRequested,
        "try" => ChildCancellation::Try,
        _ => ChildCancellation::Abandon,
    };
    let child = ctx.child(thorough, ()).id(&format!("child-{how}")).parent_close(ParentClose::Abandon);
    let heard = match child.cancellation(cancellation).await {
        Ok(told) => told,
        Err(CallError::Cancelled) => "cancelled".into(),
        Err(other) => return Err(other.into()),
    };
    Ok((heard, ctx.now().since(ctx.info().started_at).as_secs() / days(1).as_secs()))
}

#[tokio::test]
async fn a_cancelled_run_treats_its_child_as_it_was_said() {
    let env = TestEnv::builder().workflow(parent).workflow(thorough).start().await;
    // With each: what the parent hears and when, what the child becomes, and whether the parent has it on record that
    // the child was asked before it ends itself.
    for (how, heard, day, became, asked) in [
        ("wait-completed", "cleaned up", 3, "cleaned up", true),
        ("wait-requested", "cancelled", 1, "cleaned up", true),
        ("try", "cancelled", 1, "cleaned up", false),
        ("abandon", "cancelled", 1, "undisturbed", false),
    ] {
        let run = env.client().start(parent, how.into()).id(how).await.unwrap();
        env.sleep(days(1)).await;
        run.cancel("not needed").await.unwrap();
        assert_eq!(run.result().await.unwrap(), (heard.to_owned(), day), "{how}");
        let child = env.client().handle_of(thorough, format!("child-{how}")).unwrap();
        assert_eq!(child.result().await.unwrap(), became, "{how}");
        let history = run.history().await.unwrap();
        let delivered = history.iter().any(|event| event.event.name() == "ExternalAccepted");
        assert_eq!(delivered, asked, "{how}: {history:?}");
    }
    env.finish().await;
}

#[tokio::test]
async fn a_child_is_started_by_its_name() {
    #[workflow(name = "shop/doubling")]
    async fn doubling(_ctx: Ctx, number: u32) -> Result<u32, Exit> {
        if number == 0 { Err("nothing to double".to_owned().into()) } else { Ok(2 * number) }
    }
    #[workflow]
    async fn asking(ctx: Ctx, number: u32) -> Result<String, Exit> {
        let doubled = ctx.child_named::<_, u32, String>("shop/doubling", &number).await;
        let wrong = ctx.child_named::<_, u32, String>("shop/doubling", "four").await;
        let Err(CallError::Other(wrong)) = wrong else { panic!("{wrong:?}") };
        Ok(match doubled {
            Ok(number) => format!("{number}, {}", wrong.message.contains("does not fit")),
            Err(CallError::Failed(text)) => text,
            Err(other) => return Err(other.into()),
        })
    }
    let env = TestEnv::builder().workflow(asking).workflow(doubling).start().await;
    for (number, told) in [(4, "8, true"), (0, "nothing to double")] {
        let run = env.client().start(asking, number).await.unwrap();
        assert_eq!(run.result().await.unwrap(), told);
    }
    env.finish().await;
}

#[tokio::test]
async fn what_a_run_says_to_its_child_last_arrives_however_the_run_ends() {
    /// Gives its child up and ends, or makes place for the next run, which has nothing to do with the child.
    #[workflow]
    async fn hasty(ctx: Ctx, (round, rounds): (u32, u32)) -> Result<(), Exit> {
        if round > 1 {
            return Ok(());
        }
        let child = ctx.child(thorough, ()).id(&format!("child-of-{}", ctx.workflow_id()));
        let child = child.parent_close(ParentClose::Abandon).cancellation(ChildCancellation::Try).start().await?;
        ctx.sleep(days(1)).await?;
        child.cancel("not needed");
        if rounds == 1 { Ok(()) } else { Err(ctx.continue_as_new::<hasty>((2, rounds))) }
    }
    let env = TestEnv::builder().workflow(hasty).workflow(thorough).start().await;
    for (rounds, crash) in [(1, false), (2, false), (1, true), (2, true)] {
        let id = format!("hasty-{rounds}-{crash}");
        let run = env.client().start(hasty, (1, rounds)).id(&id).await.unwrap();
        let child = env.client().handle_of(thorough, format!("child-of-{id}")).unwrap();
        if crash {
            // The owner ends before it can say anything; the next one has to.
            env.faults().fail_publishes("hw.test.in.*.*.*.engine.cancel.>", u32::MAX);
            env.sleep(days(1)).await;
            let heard = child.history().await.unwrap();
            assert!(!heard.iter().any(|event| event.event.name() == "CancelRequested"), "{heard:?}");
            env.restart_worker().await;
            env.faults().clear();
        }
        run.result().await.unwrap();
        assert_eq!(child.result().await.unwrap(), "cleaned up", "{rounds} rounds, crash: {crash}");
    }
    env.finish().await;
}
