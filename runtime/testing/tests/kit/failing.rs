//! Tests that should fail do, and say why.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use highwater::{prelude::*, testing::TestEnv};

use crate::{Shop, approval, order, panic_of};

#[workflow]
async fn greeting(ctx: Ctx) -> Result<String, Exit> {
    Ok(ctx.run(Shop::greet, "ann".into()).await?)
}

#[test]
fn a_test_that_waits_in_vain_is_told_what_its_runs_wait_for() {
    let text = panic_of(|| async {
        let env = TestEnv::builder().workflow(approval).start().await;
        let run = env.client().start(approval, ()).id("a-1").await.unwrap();
        run.result().await.unwrap();
    });
    assert!(text.contains("nothing can run and no timer is armed"), "{text}");
    assert!(text.contains("\"a-1\" waits for signal approve"), "{text}");
}

#[test]
fn a_test_whose_runs_go_on_for_ever_ends() {
    #[workflow]
    async fn forever(ctx: Ctx) -> Result<(), Exit> {
        loop {
            ctx.sleep(Duration::from_hours(40 * 365 * 24)).await?;
        }
    }
    let text = panic_of(|| async {
        let env = TestEnv::builder().workflow(forever).start().await;
        env.client().start(forever, ()).id("f").await.unwrap().result().await.unwrap();
    });
    assert!(text.contains("100 years have passed"), "{text}");
}

#[test]
fn a_run_whose_history_grows_without_end_ends_the_test() {
    #[workflow]
    async fn restless(ctx: Ctx) -> Result<(), Exit> {
        loop {
            ctx.sleep(Duration::from_secs(1)).await?;
        }
    }
    let text = panic_of(|| async {
        let env = TestEnv::builder().workflow(restless).keep_runs().start().await;
        env.client().start(restless, ()).id("r").await.unwrap().result().await.unwrap();
    });
    assert!(text.contains("10000 records and goes on"), "{text}");
}

#[test]
fn an_activity_that_fails_for_ever_ends_the_test() {
    let text = panic_of(|| async {
        let env = TestEnv::builder()
            .workflow(greeting)
            .mock(Shop::greet, |_| async { Err("the line is dead".into()) })
            .start()
            .await;
        env.client().start(greeting, ()).id("g-1").await.unwrap().result().await.unwrap();
    });
    assert!(text.contains("activity greet of \"g-1\"") && text.contains("the line is dead"), "{text}");
}

#[test]
fn code_that_panics_fails_the_test() {
    #[workflow]
    async fn broken(_ctx: Ctx) -> Result<(), Exit> {
        panic!("a hole in the plan")
    }
    let text = panic_of(|| async {
        let env = TestEnv::builder().workflow(broken).start().await;
        env.client().start(broken, ()).id("b").await.unwrap().result().await.unwrap();
    });
    assert!(text.contains("cannot go on") && text.contains("a hole in the plan"), "{text}");
}

#[tokio::test]
async fn a_failed_task_can_be_meant() {
    static MENDED: AtomicBool = AtomicBool::new(false);
    #[workflow]
    async fn fragile(ctx: Ctx) -> Result<(), Exit> {
        ctx.sleep(Duration::from_secs(1)).await?;
        assert!(MENDED.load(Ordering::Relaxed), "not yet");
        Ok(())
    }
    let env = TestEnv::builder().workflow(fragile).allow_task_failures().start().await;
    let run = env.client().start(fragile, ()).id("f").await.unwrap();
    env.sleep(Duration::from_mins(1)).await;
    MENDED.store(true, Ordering::Relaxed);
    run.result().await.unwrap();
    env.finish().await;
}

#[test]
fn code_that_depends_on_something_else_does_not_fit_its_history() {
    static WHICH: AtomicU64 = AtomicU64::new(0);
    #[workflow]
    async fn fickle(ctx: Ctx) -> Result<(), Exit> {
        if WHICH.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) {
            ctx.sleep(Duration::from_secs(1)).await?;
        }
        ctx.run(Shop::greet, "x".into()).await?;
        Ok(())
    }
    let text = panic_of(|| async {
        let env = TestEnv::builder().workflow(fickle).activities(Shop).start().await;
        env.client().start(fickle, ()).id("f").await.unwrap().result().await.unwrap();
    });
    assert!(text.contains("does not match its history"), "{text}");
}

#[test]
fn every_history_is_replayed_once_more_at_the_end() {
    static CHANGED: AtomicBool = AtomicBool::new(false);
    #[workflow]
    async fn changed(ctx: Ctx) -> Result<(), Exit> {
        if CHANGED.load(Ordering::Relaxed) {
            ctx.sleep(Duration::from_secs(1)).await?;
        }
        Ok(())
    }
    let test = |finish: bool| {
        CHANGED.store(false, Ordering::Relaxed);
        panic_of(move || async move {
            let env = TestEnv::builder().workflow(changed).start().await;
            env.client().start(changed, ()).id("c").await.unwrap().result().await.unwrap();
            CHANGED.store(true, Ordering::Relaxed);
            if finish {
                env.finish().await;
            }
        })
    };
    for finish in [true, false] {
        let text = test(finish);
        assert!(text.contains("once more gives something else") && text.contains("Started"), "{text}");
    }
}

#[test]
fn code_that_keeps_its_thread_is_reported_with_its_run() {
    static ENOUGH: AtomicBool = AtomicBool::new(false);
    #[workflow]
    async fn stuck(ctx: Ctx) -> Result<(), Exit> {
        ctx.run(Shop::greet, "ann".into()).await?;
        while !ENOUGH.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        Ok(())
    }
    let text = panic_of(|| async {
        let short = Duration::from_secs(1);
        let env = TestEnv::builder()
            .workflow(stuck)
            .activities(Shop)
            .worker(move |worker| worker.workflow_task_timeout(short))
            .start()
            .await;
        env.client().start(stuck, ()).id("s-1").await.unwrap().result().await.unwrap();
    });
    ENOUGH.store(true, Ordering::Relaxed);
    assert!(text.contains("s-1 kept its thread") && text.contains("greet"), "{text}");
}

/// Says to the process of a test, started by itself, that it is the one to fail.
const FAIL: &str = "KIT_FAILS_ON_PURPOSE";

fn is_to_fail() -> bool {
    std::env::var_os(FAIL).is_some()
}

/// Runs one of these tests in another process, where it fails, and returns what that prints.
fn output_of(test: &str) -> String {
    let this = std::env::current_exe().unwrap();
    let name = format!("failing::{test}");
    let run = std::process::Command::new(this).args(["--exact", &name]).env(FAIL, "1").output().unwrap();
    assert!(!run.status.success(), "{run:?}");
    String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr)
}

#[test]
fn a_test_that_fails_prints_the_histories() {
    if is_to_fail() {
        panic_of(|| async {
            let env = TestEnv::builder().workflow(order).start().await;
            env.client().start(order, 5).id("o-1").await.unwrap();
            panic!("on purpose");
        });
        panic!("to have it printed");
    }
    let text = output_of("a_test_that_fails_prints_the_histories");
    assert!(text.contains("history of order \"o-1\"") && text.contains("TimerStarted"), "{text}");
}

#[test]
fn a_test_that_awaits_something_else_in_vain_ends_its_process() {
    if is_to_fail() {
        panic_of(|| async {
            let env = TestEnv::builder().workflow(approval).start().await;
            env.client().start(approval, ()).id("a-1").await.unwrap();
            std::future::pending::<()>().await;
        });
    }
    let text = output_of("a_test_that_awaits_something_else_in_vain_ends_its_process");
    assert!(text.contains("\"a-1\" waits for signal approve") && text.contains("not of the environment"), "{text}");
}
