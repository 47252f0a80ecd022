//! Messages to other workflows.

use highwater_core::{CallError, Ctx, Exit, context::ExternalError};
use highwater_macros::{activity, join, workflow};
use highwater_protocol::{
    Event, OpId,
    event::{ExternalRequest, Sender},
};

use crate::play::{CHILD, RUN, check, history};

#[activity]
async fn charge(cents: u32) -> Result<u32, String> {
    Ok(cents)
}

#[test]
fn a_message_is_on_its_way_before_anybody_waits_for_it() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<(), Exit> {
        let stock = ctx.workflow("stock");
        let signal = stock.signal("restock", &17);
        let cancel = stock.cancel("sold out");
        ctx.run(charge, 1).await?;
        let (signal, cancel) = join!(signal, cancel);
        signal?;
        cancel?;
        Ok(())
    }
    check(
        order,
        "> start
         signal #1 restock 17 to stock
         cancel workflow #2 stock: sold out
         run #3 charge 1
         > activity 3 ok 1 + sent 2
         > sent 1
         completed null
         > sent 1
         ignored",
    );
}

#[test]
fn why_a_message_did_not_arrive_is_told_apart() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<String, Exit> {
        Ok(match ctx.workflow("stock").signal("restock", &17).await {
            Ok(()) => "sent",
            Err(ExternalError::NotFound(_)) => "not found",
            Err(ExternalError::Closed(_)) => "closed",
            Err(ExternalError::Refused(_)) => "refused",
            Err(_) => "cancelled",
        }
        .to_owned())
    }
    for (word, told) in [("", "sent"), (" not-found", "not found"), (" closed", "closed"), (" refused", "refused")] {
        check(order, &format!("> start\nsignal #1 restock 17 to stock\n> sent 1{word}\ncompleted \"{told}\""));
    }
    // What was sent is sent, but nobody waits for it any more.
    check(order, "> start\nsignal #1 restock 17 to stock\n> cancel why\ncompleted \"cancelled\"");
}

#[test]
fn dropping_the_future_does_not_call_the_message_back() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<(), Exit> {
        drop(ctx.workflow("stock").signal("restock", &17));
        ctx.run(charge, 1).await?;
        Ok(())
    }
    check(
        order,
        "> start
         signal #1 restock 17 to stock
         run #2 charge 1
         > sent 1
         > activity 2 ok 1
         completed null",
    );
}

#[test]
fn a_message_that_nobody_can_get_fails_before_it_is_sent() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<(), Exit> {
        assert!(matches!(ctx.workflow("").signal("a", &1).await, Err(ExternalError::NotFound(_))));
        assert!(matches!(ctx.workflow("").queue("x").cancel("why").await, Err(ExternalError::NotFound(_))));
        assert!(matches!(ctx.workflow("stock").queue("").cancel("why").await, Err(ExternalError::NotFound(_))));
        assert!(matches!(ctx.workflow("stock").signal("", &1).await, Err(ExternalError::Refused(_))));
        ctx.workflow("stock").signal("a", &1).await?;
        Ok(())
    }
    check(order, "> start\nsignal #5 a 1 to stock\n> sent 5 not-found\nfailed not found: by the script");
}

#[test]
fn a_message_names_its_sender_its_target_and_the_queue() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<(), Exit> {
        ctx.workflow("stock").run(CHILD).queue("shelves").signal("restock", &17).await?;
        Ok(())
    }
    let history = history(order, &["start"]);
    let Event::ExternalScheduled(call) = &history[0].events[1] else { panic!("{history:?}") };
    assert_eq!((call.target.run, call.target.queue.as_str()), (Some(CHILD), "shelves"));
    let ExternalRequest::Signal(signal) = &call.request else { panic!("{call:?}") };
    assert_eq!(signal.from, Some(Sender { run: RUN, op: OpId(1) }));
}

#[test]
fn a_shielded_handle_reports_to_others_after_a_cancel() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<(), Exit> {
        assert_eq!(ctx.run(charge, 1).await, Err(CallError::Cancelled));
        assert_eq!(ctx.workflow("stock").signal("lost", &1).await, Err(ExternalError::Cancelled));
        ctx.shielded().workflow("stock").signal("told", &1).await?;
        Err(Exit::Cancelled)
    }
    check(
        order,
        "> start
         run #1 charge 1
         > cancel why
         cancel activity #1
         signal #3 told 1 to stock
         > sent 3
         cancelled",
    );
}
