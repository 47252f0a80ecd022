//! Parts of a run that are cancelled by themselves.

use std::time::Duration;

use highwater_core::{CallError, Ctx, Exit};
use highwater_macros::{activity, join, workflow};

use crate::play::check;

const SECOND: Duration = Duration::from_secs(1);

#[activity]
async fn charge(cents: u32) -> Result<u32, String> {
    Ok(cents)
}

#[test]
fn a_scope_is_cancelled_without_the_rest_of_the_run() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<Vec<String>, Exit> {
        let scope = ctx.scope();
        let inner = scope.ctx().scope();
        let part = async {
            let charged = scope.ctx().run(charge, 1).await;
            let waited = inner.ctx().wait_until(|()| false).await;
            // Clean-up that belongs to nothing that was cancelled.
            let refunded = scope.ctx().shielded().run(charge, 2).await;
            vec![format!("{charged:?} {waited:?} {refunded:?} {:?}", inner.ctx().cancel_reason())]
        };
        let rest = async {
            ctx.sleep(SECOND).await?;
            scope.cancel("too slow");
            scope.cancel("again");
            assert!(inner.is_cancelled() && !ctx.is_cancelled());
            Ok::<_, Exit>(ctx.run(charge, 3).await?)
        };
        let (mut log, rest) = join!(part, rest);
        log.push(rest?.to_string());
        Ok(log)
    }
    check(
        order,
        "> start
         run #1 charge 1
         sleep #2 until 1002
         > fire 2
         cancel activity #1
         run #3 charge 3
         run #4 charge 2
         > activity 3 ok 3
         > activity 4 ok 2
         completed [\"Err(Cancelled) Err(Cancelled) Ok(2) Some(\\\"too slow\\\")\",\"3\"]",
    );
}

#[test]
fn a_cancelled_run_cancels_its_scopes_but_not_those_of_a_shielded_part() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<(), Exit> {
        let (scope, shielded) = (ctx.scope(), ctx.shielded().scope());
        let (cancelled, kept) = join!(scope.ctx().run(charge, 1), shielded.ctx().run(charge, 2));
        assert_eq!((cancelled, kept), (Err(CallError::Cancelled), Ok(2)));
        assert_eq!(scope.ctx().cancel_reason().as_deref(), Some("why"));
        shielded.cancel("done");
        assert_eq!(shielded.ctx().run(charge, 3).await, Err(CallError::Cancelled));
        Ok(())
    }
    check(
        order,
        "> start
         run #1 charge 1
         run #2 charge 2
         > cancel why
         cancel activity #1
         > activity 2 ok 2
         completed null",
    );
}

#[test]
fn waiting_for_the_cancellation_of_a_scope_ends_with_it() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<String, Exit> {
        let scope = ctx.scope();
        let watcher = async {
            scope.ctx().cancelled().await;
            scope.ctx().cancel_reason().unwrap_or_default()
        };
        let canceller = async {
            ctx.sleep(SECOND).await?;
            scope.cancel("enough");
            Ok::<_, Exit>(())
        };
        let (reason, cancelled) = join!(watcher, canceller);
        cancelled?;
        Ok(reason)
    }
    check(
        order,
        "> start
         sleep #1 until 1002
         > fire 1
         completed \"enough\"",
    );
}
