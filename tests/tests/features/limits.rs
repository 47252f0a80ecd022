//! Histories that become long.

use anyhow::Result;
use highwater::{
    HistoryLimits,
    client::{ResultError, SignalError},
    prelude::*,
};
use highwater_protocol::FailureKind;
use highwater_tests::{
    deadline::within,
    space::{self, Running},
};

use crate::SERVER;

/// Counts signals, and goes on with an empty history when it is `obedient` and told to.
#[workflow]
async fn counter(ctx: Ctx, (obedient, mut count): (bool, u64)) -> Result<u64, Exit> {
    let mut ticks = ctx.signals::<bool>("tick");
    loop {
        let is_last = ticks.recv().await?;
        count += 1;
        if is_last {
            return Ok(count);
        }
        if obedient && ctx.continue_as_new_suggested() {
            return Err(ctx.continue_as_new::<counter>((obedient, count)));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_run_goes_on_as_a_new_one_or_fails() -> Result<()> {
    let highwater = space::open(&SERVER, "history-limits").await;
    let limits = HistoryLimits::default().warn_at(10, 1 << 20).suggest_at(20, 1 << 20).fail_at(50, 1 << 21);
    let worker = || -> Result<Running> {
        Ok(Running::spawn(highwater.worker().workflow(counter).history_limits(limits).build()?))
    };
    let first = worker()?;
    let obedient = highwater.client().start(counter, (true, 0)).id("obedient").await?;
    let stubborn = highwater.client().start(counter, (false, 0)).id("stubborn").await?;
    for _ in 0..30 {
        within("a signal", stubborn.signal("tick", &false)).await?;
        within("a signal", obedient.signal("tick", &false)).await?;
    }
    // Another worker finds the same lengths, and that the code was told.
    first.stop().await;
    let second = worker()?;
    let mut taken = 30;
    let refused = loop {
        within("a signal", obedient.signal("tick", &false)).await?;
        match within("a signal", stubborn.signal("tick", &false)).await {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, SignalError::Closed { .. }), "{refused:?}");
    let error = within("the end", stubborn.result()).await.expect_err("its history is too long");
    assert!(matches!(&error, ResultError::FailedOtherwise(f) if f.kind == FailureKind::HistoryTooLong), "{error:?}");
    let history = stubborn.history().await?;
    let count = |name: &str| history.iter().filter(|event| event.event.name() == name).count();
    assert_eq!((count("Signaled"), count("ContinueAsNewSuggested"), count("Failed")), (taken, 1, 1));
    within("the last signal", obedient.signal("tick", &true)).await?;
    assert_eq!(within("the result", obedient.result()).await?, taken as u64 + 2);
    assert!(obedient.describe().await?.continued_from.is_some());
    second.stop().await;
    Ok(())
}
