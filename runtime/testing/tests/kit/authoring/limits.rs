//! Histories that become long: code is told, and a run that does not follow ends.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use highwater::{
    HistoryLimits, ParentClose, RetryPolicy,
    client::{ResultError, SignalError},
    prelude::*,
    testing::TestEnv,
};
use highwater_protocol::{Event, FailureKind};

use crate::days;

const MIB: u64 = 1 << 20;

/// Limits after a few events.
fn short() -> HistoryLimits {
    HistoryLimits::default().warn_at(10, MIB).suggest_at(20, 2 * MIB).fail_at(40, 4 * MIB)
}

/// Takes steps, ten at a time, until it is time to go on with an empty history; gives the sizes of those before.
#[workflow]
async fn walker(ctx: Ctx, mut before: Vec<u64>) -> Result<Vec<u64>, Exit> {
    loop {
        let step = |n: u64| ctx.step("walk", async move |_| Ok::<_, String>(n));
        try_join_all((0..10).map(step)).await?;
        if ctx.continue_as_new_suggested() {
            before.push(ctx.info().history_events);
            return Err(ctx.continue_as_new::<walker>(before));
        }
        if before.len() == 2 {
            return Ok(before);
        }
    }
}

#[tokio::test]
async fn a_run_that_is_told_so_continues_as_new_and_begins_to_count_anew() {
    let env = TestEnv::builder().workflow(walker).worker(|worker| worker.history_limits(short())).start().await;
    let run = env.client().start(walker, vec![]).id("walker").await.unwrap();
    let sizes = run.result().await.unwrap();
    assert!(sizes.iter().all(|size| (20..40).contains(size)), "{sizes:?}");
    let first = run.clone().pinned_to(run.run_id().unwrap());
    let history = first.history().await.unwrap();
    let told: Vec<_> = history.iter().filter(|e| e.event.name() == "ContinueAsNewSuggested").collect();
    let [told] = told.as_slice() else { panic!("it is told once: {told:?}") };
    let Event::ContinueAsNewSuggested { events, bytes } = told.event else { unreachable!("that is its name") };
    assert!(events >= 20 && events + 1 == told.number && bytes > 20 * 100, "{told:?}");
    env.finish().await;
}

#[tokio::test]
async fn a_heavy_history_counts_by_its_bytes() {
    #[workflow]
    async fn reader(ctx: Ctx, pages: u64) -> Result<u64, Exit> {
        let mut texts = ctx.signals::<String>("page");
        while !ctx.continue_as_new_suggested() {
            texts.recv().await?;
        }
        Ok(pages)
    }
    let env = TestEnv::builder().workflow(reader).worker(|worker| worker.history_limits(short())).start().await;
    let run = env.client().start(reader, 0).id("reader").await.unwrap();
    let page = "x".repeat(900 * 1024);
    for _ in 0..2 {
        run.signal("page", &page).await.unwrap();
    }
    env.settle().await;
    assert_eq!(run.describe().await.unwrap().progress.to_string(), "running");
    // With the third the history is long, and the next one is given to the code with the word that it is.
    run.signal("page", &page).await.unwrap();
    run.signal("page", "last").await.unwrap();
    assert_eq!(run.result().await.unwrap(), 0);
    env.finish().await;
}

/// Waits for ever.
#[workflow]
async fn endless(ctx: Ctx) -> Result<(), Exit> {
    Ok(ctx.sleep(days(1_000)).await?)
}

/// Takes signals and listens to nobody.
#[workflow]
async fn stubborn(ctx: Ctx) -> Result<(), Exit> {
    ctx.on_update(
        "later",
        |(), (): &()| Ok::<_, String>(()),
        async |ctx: Ctx, (): ()| {
            ctx.sleep(days(1)).await?;
            Ok::<_, Exit>(())
        },
    );
    ctx.child(endless, ()).id("endless").parent_close(ParentClose::Terminate).start().await?.detach();
    loop {
        ctx.signals::<u32>("n").recv().await?;
    }
}

/// What comes of a stubborn child.
#[workflow]
async fn parent(ctx: Ctx) -> Result<String, Exit> {
    match ctx.child(stubborn, ()).id("stubborn").retry(RetryPolicy::default()).await {
        Err(CallError::Other(failure)) if failure.kind == FailureKind::HistoryTooLong => Ok(failure.message),
        other => Ok(format!("{other:?}")),
    }
}

#[tokio::test]
async fn a_run_that_does_not_continue_fails_for_good_and_everybody_hears() {
    let builder = TestEnv::builder().workflow(parent).workflow(stubborn).workflow(endless);
    let env = builder.worker(|worker| worker.history_limits(short())).start().await;
    let outer = env.client().start(parent, ()).id("parent").await.unwrap();
    env.settle().await;
    let run = env.client().handle_of(stubborn, "stubborn").unwrap();
    let update = run.update::<_, (), String>("later", &()).accepted().await.unwrap();
    let mut taken = 0;
    let refused = loop {
        match run.signal("n", &taken).await {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, SignalError::Closed { .. }), "{refused:?}");
    assert!((30..40).contains(&taken), "{taken}");
    let told = outer.result().await.unwrap();
    assert!(
        told.starts_with("the history of run ") && told.contains("of workflow stubborn, of type stubborn"),
        "{told}"
    );
    assert!(told.contains("continue_as_new_suggested") && told.contains("history_limits"), "{told}");
    let error = run.result().await.unwrap_err();
    assert!(matches!(&error, ResultError::FailedOtherwise(f) if f.kind == FailureKind::HistoryTooLong), "{error:?}");
    let described = run.describe().await.unwrap();
    assert!(described.continued_as.is_none(), "it is not tried again: {described:?}");
    let history = run.history().await.unwrap();
    let signals = history.iter().filter(|event| event.event.name() == "Signaled").count();
    assert_eq!(signals, taken as usize, "what was accepted is on record");
    let error = update.result().await.unwrap_err();
    assert!(error.to_string().contains("ended"), "{error}");
    let child = env.client().handle_of(endless, "endless").unwrap();
    let error = child.result().await.unwrap_err();
    assert!(matches!(error, ResultError::Terminated(_)), "{error:?}");
    env.finish().await;
}

#[tokio::test]
async fn a_run_that_leaps_over_all_limits_is_told_before_it_fails() {
    #[workflow]
    async fn leaper(ctx: Ctx, again: bool) -> Result<bool, Exit> {
        if again {
            return Ok(true);
        }
        let mut timers: Vec<_> = (0..100).map(|_| ctx.sleep(days(1)).into_future()).collect();
        ctx.signals::<bool>("go on").recv().await?;
        timers.clear();
        if ctx.continue_as_new_suggested() {
            return Err(ctx.continue_as_new::<leaper>(true));
        }
        Ok(false)
    }
    let env = TestEnv::builder().workflow(leaper).worker(|worker| worker.history_limits(short())).start().await;
    let run = env.client().start(leaper, false).id("leaper").await.unwrap();
    env.settle().await;
    assert_eq!(run.describe().await.unwrap().progress.to_string(), "running");
    run.signal("go on", &true).await.unwrap();
    assert!(run.result().await.unwrap());
    env.finish().await;
}

#[tokio::test]
async fn a_history_that_an_earlier_worker_let_grow_is_told_once_and_then_ended() {
    static MAXIMUM: AtomicU64 = AtomicU64::new(10_000);
    let limits =
        || short().suggest_at(MAXIMUM.load(Ordering::SeqCst) / 2, MIB).fail_at(MAXIMUM.load(Ordering::SeqCst), 4 * MIB);
    let limits: Arc<dyn Fn() -> HistoryLimits + Send + Sync> = Arc::new(limits);
    let builder = TestEnv::builder().workflow(stubborn).workflow(endless);
    let env = builder.worker(move |worker| worker.history_limits(limits())).start().await;
    let run = env.client().start(stubborn, ()).id("stubborn").await.unwrap();
    for n in 0..50 {
        run.signal("n", &n).await.unwrap();
    }
    MAXIMUM.store(40, Ordering::SeqCst);
    env.restart_worker().await;
    env.sleep(days(1)).await;
    assert_eq!(run.describe().await.unwrap().progress.to_string(), "running", "nothing has come for it");
    run.signal("n", &50).await.unwrap();
    let error = run.result().await.unwrap_err();
    assert!(matches!(&error, ResultError::FailedOtherwise(f) if f.kind == FailureKind::HistoryTooLong), "{error:?}");
    let history = run.history().await.unwrap();
    let names: Vec<_> = history.iter().map(|event| event.event.name()).collect();
    assert!(names.ends_with(&["Signaled", "ContinueAsNewSuggested", "Signaled", "Failed"]), "{names:?}");
    env.finish().await;
}

#[tokio::test]
async fn a_blocked_run_does_not_grow_for_ever() {
    #[workflow]
    async fn broken(ctx: Ctx) -> Result<(), Exit> {
        ctx.sleep(days(1)).await?;
        panic!("it cannot go on");
    }
    let builder = TestEnv::builder().workflow(broken).allow_task_failures();
    let env = builder.worker(|worker| worker.history_limits(short())).start().await;
    let run = env.client().start(broken, ()).id("broken").await.unwrap();
    let error = run.result().await.unwrap_err();
    assert!(matches!(&error, ResultError::FailedOtherwise(f) if f.kind == FailureKind::HistoryTooLong), "{error:?}");
    env.finish().await;
}
