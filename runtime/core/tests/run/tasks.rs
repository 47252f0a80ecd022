//! What runs beside the workflow: spawned tasks, handlers of signals.

use std::{cell::Cell, rc::Rc, sync::Mutex, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use highwater_core::{CallError, Ctx, Exit, join::try_join_all};
use highwater_macros::{activity, workflow};
use highwater_protocol::{
    Payload, TypeName,
    query::{UNHANDLED_SIGNALS, UnhandledSignals},
};

use crate::play::{Mode, Play, check, history, parse, registry, replay};

const SECOND: Duration = Duration::from_secs(1);

#[activity]
async fn charge(cents: u32) -> Result<u32, String> {
    Ok(cents)
}

#[test]
fn a_spawned_task_runs_beside_the_code_and_gives_its_value() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<u32, Exit> {
        let inner = ctx.clone();
        let task = ctx.spawn(async move { Ok::<_, CallError<String>>(inner.run(charge, 1).await? + 1) });
        let first = ctx.run(charge, 2).await?;
        Ok(first + task.await?)
    }
    check(
        order,
        "> start
         run #1 charge 2
         run #2 charge 1
         > activity 2 ok 10
         > activity 1 ok 20
         completed 31",
    );
}

#[test]
fn dropping_a_task_cancels_what_it_waits_for_and_detaching_does_not() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<(), Exit> {
        let task = |cents| {
            let ctx = ctx.clone();
            async move {
                let _ = ctx.run(charge, cents).await;
                let _ = ctx.run(charge, cents + 10).await;
            }
        };
        let dropped = ctx.spawn(task(1));
        ctx.spawn(task(2)).detach();
        ctx.sleep(SECOND).await?;
        drop(dropped);
        ctx.sleep(SECOND).await?;
        Ok(())
    }
    check(
        order,
        "> start
         sleep #1 until 1002
         run #2 charge 1
         run #3 charge 2
         > fire 1
         cancel activity #2
         sleep #4 until 1003
         > activity 3 ok 5
         run #5 charge 12
         > fire 4
         completed null",
    );
}

#[test]
fn a_task_that_was_dropped_before_it_began_never_begins() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<(), Exit> {
        let inner = ctx.clone();
        drop(ctx.spawn(async move { inner.sleep(SECOND).await }));
        ctx.sleep(SECOND).await?;
        Ok(())
    }
    check(
        order,
        "> start
         sleep #1 until 1002
         > fire 1
         completed null",
    );
}

#[test]
fn a_panic_in_a_task_fails_the_workflow_task() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<(), Exit> {
        ctx.spawn(async { panic!("ouch") }).await
    }
    let answers = Play::new(&registry(order), Mode::Kept).line("start");
    assert!(answers[0].starts_with("task failed: panicked: ouch (at "), "{answers:?}");
}

#[test]
fn a_task_that_wakes_itself_for_ever_is_stuck() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<(), Exit> {
        let never: std::future::PollFn<_> = std::future::poll_fn(|cx: &mut std::task::Context<'_>| {
            cx.waker().wake_by_ref();
            std::task::Poll::<()>::Pending
        });
        ctx.spawn(never).detach();
        ctx.sleep(SECOND).await?;
        Ok(())
    }
    let answers = Play::new(&registry(order), Mode::Kept).line("start");
    assert!(answers[0].starts_with("task failed: stuck: "), "{answers:?}");
}

#[test]
fn a_task_that_drops_itself_is_gone_when_it_waits() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<(), Exit> {
        let slot = Rc::new(Cell::new(None));
        let (inner, own) = (ctx.clone(), Rc::clone(&slot));
        let task = ctx.spawn(async move {
            let timer = inner.sleep(SECOND);
            drop(own.take());
            let _ = timer.await;
        });
        slot.set(Some(task));
        ctx.sleep(SECOND).await?;
        Ok(())
    }
    check(
        order,
        "> start
         sleep #1 until 1002
         sleep #2 until 1002
         cancel timer #2
         > fire 1
         completed null",
    );
}

#[test]
fn tasks_are_polled_in_the_order_in_which_they_were_made_however_they_are_woken() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<(), Exit> {
        for n in 0..40 {
            let inner = ctx.clone();
            let task = async move {
                let _ = inner.sleep(SECOND).await;
                let _ = inner.run(charge, n).await;
            };
            ctx.spawn(task).detach();
        }
        ctx.wait_until(|()| false).await?;
        Ok(())
    }
    let mut play = Play::new(&registry(order), Mode::Cut);
    play.line("start");
    let fired = (1..=40).rev().map(|op| format!("fire {op}")).collect::<Vec<_>>().join(" + ");
    let expected: Vec<String> = (0..40).map(|n| format!("run #{} charge {n}", n + 41)).collect();
    assert_eq!(play.line(&fired), expected);
}

/// Handlers that are tasks, registered by the code.
#[workflow(name = "stock")]
async fn stock(ctx: Ctx) -> Result<u32, Exit> {
    let total = Rc::new(Cell::new(0));
    let adding = Rc::clone(&total);
    ctx.run(charge, 0).await?;
    ctx.on_signal("restock", move |ctx, item: u32| {
        let total = Rc::clone(&adding);
        async move {
            let paid = ctx.run(charge, item).await.unwrap_or_default();
            total.set(total.get() + paid);
        }
    });
    ctx.signals::<()>("close").recv().await?;
    Ok(total.get())
}

#[test]
fn a_handler_takes_what_came_before_it_and_the_run_waits_for_it() {
    check(
        stock,
        "> start
         run #1 charge 0
         > signal restock 1 + signal restock \"x\" + signal restock 2
         > activity 1 ok 0
         run #2 charge 1
         run #3 charge 2
         > activity 3 ok 5
         > signal close
         > signal restock 4
         run #4 charge 4
         > activity 4 ok 1
         > activity 2 ok 7
         completed 5",
    );
}

#[test]
fn an_operator_hears_which_handlers_a_run_waits_for_and_which_signals_nothing_takes() {
    let mut play = Play::new(&registry(stock), Mode::Evicted);
    for line in ["start", "activity 1 ok 0", "signal restock 1", "signal restock \"x\"", "signal other", "signal close"]
    {
        play.line(line);
    }
    let waits_for = play.run.waits_for();
    assert!(waits_for[0].starts_with("activity charge (#2, at "), "{waits_for:?}");
    assert_eq!(waits_for[1..], ["handler of signal restock"]);
    let unhandled = play.run.unhandled_signals();
    let names: Vec<&str> = unhandled.iter().map(|one| one.signal.name.as_str()).collect();
    assert_eq!(names, ["restock", "other"]);
    assert!(unhandled[0].problem.as_ref().is_some_and(|problem| problem.contains("not a u32")), "{unhandled:?}");
    assert_eq!(unhandled[1].problem, None);
    let name = TypeName::new(UNHANDLED_SIGNALS).unwrap();
    let told: UnhandledSignals = play.run.query(&name, &Payload::null()).unwrap().decode().unwrap();
    let told = told.signals.into_iter().map(|one| (one.name.to_string(), one.problem)).collect::<Vec<_>>();
    assert_eq!(told, [("restock".to_owned(), unhandled[0].problem.clone()), ("other".to_owned(), None)]);
}

#[test]
fn a_handler_that_may_be_abandoned_ends_with_the_run() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<(), Exit> {
        ctx.on_signal("poke", |ctx, (): ()| async move {
            let _ = ctx.run(charge, 1).await;
        })
        .abandon();
        ctx.signals::<()>("close").recv().await?;
        Ok(())
    }
    check(
        order,
        "> start
         > signal poke
         run #1 charge 1
         > signal close
         completed null
         > activity 1 ok 1
         ignored",
    );
}

#[test]
fn handlers_of_any_name_leave_alone_what_has_a_handler_or_a_receiver() {
    #[workflow]
    async fn dynamic(ctx: Ctx) -> Result<(), Exit> {
        let log = Rc::new(Mutex::new(Vec::new()));
        let noting = |log: &Rc<Mutex<Vec<String>>>| {
            let log = Rc::clone(log);
            move |text: String| log.lock().unwrap().push(text)
        };
        let (note, read) = (noting(&log), Rc::clone(&log));
        let mut received = ctx.signals::<u32>("received");
        ctx.on_signal("named", {
            let note = noting(&log);
            move |_, n: u32| {
                note(format!("named {n}"));
                async {}
            }
        });
        ctx.on_any_signal(move |_, name: TypeName, input: Payload| {
            note(format!("{name} {}", input.begin()));
            async {}
        });
        ctx.on_any_query(move |name, _| format!("{name}: {}", read.lock().unwrap().join(", ")));
        ctx.on_any_update(|ctx, name, input| async move {
            ctx.sleep(SECOND).await?;
            Ok::<_, Exit>(format!("{name} {}", input.begin()))
        });
        received.recv().await?;
        Ok(())
    }
    check(
        dynamic,
        "> start
         > signal other 1 + signal named 2 + signal another {}
         > query log
         \"log: other 1, named 2, another {}\"
         > update what u-1 5
         sleep #1 until 1004
         > signal received 3
         > fire 1
         updated u-1 \"what 5\"
         completed null",
    );
}

#[test]
fn a_second_handler_of_a_name_is_a_panic_that_names_both() {
    #[workflow]
    async fn twice(ctx: Ctx) -> Result<(), Exit> {
        ctx.on_signal("add", |_, (): ()| async {});
        ctx.on_signal("add", |_, (): ()| async {});
        Ok(())
    }
    let answers = Play::new(&registry(twice), Mode::Kept).line("start");
    assert!(answers[0].contains("the signal \"add\" has two handlers: the one at "), "{answers:?}");
    assert_eq!(answers[0].matches("tasks.rs:").count(), 3, "both, and where it panicked: {answers:?}");
}

#[test]
fn what_handlers_and_tasks_hold_is_dropped_with_the_run() {
    static ALIVE: Mutex<i32> = Mutex::new(0);
    struct Witness;
    impl Witness {
        fn new() -> Self {
            *ALIVE.lock().unwrap() += 1;
            Self
        }
    }
    impl Drop for Witness {
        fn drop(&mut self) {
            *ALIVE.lock().unwrap() -= 1;
        }
    }
    #[workflow]
    async fn order(ctx: Ctx) -> Result<(), Exit> {
        let holding = || (ctx.clone(), Witness::new());
        let (query, signal, update, task) = (holding(), holding(), holding(), holding());
        ctx.on_query("ask", move |(): ()| query.0.uuid());
        ctx.on_signal("poke", move |_, (): ()| {
            let _held = &signal;
            async {}
        });
        ctx.on_any_update(move |_, _, _| {
            let _held = &update;
            async { Ok::<_, String>(()) }
        });
        let task = ctx.spawn(async move { task.0.sleep(SECOND).await });
        ctx.wait_until(|()| false).await?;
        let _ = task.await;
        Ok(())
    }
    let history = history(order, &["start"]);
    assert_eq!(*ALIVE.lock().unwrap(), 0, "the run that made the history is gone");
    let replayed = replay(&registry(order), &history).unwrap();
    assert_eq!(*ALIVE.lock().unwrap(), 4);
    drop(replayed);
    assert_eq!(*ALIVE.lock().unwrap(), 0);
}

/// An activity that ends costs no more than what waits for it, or the last of these would take minutes.
#[test]
fn ten_thousand_operations_in_sets_and_tasks_cost_no_more_each_than_ten() {
    const MANY: u32 = 10_000;
    #[workflow]
    async fn joined(ctx: Ctx) -> Result<usize, Exit> {
        Ok(try_join_all((0..MANY).map(|n| ctx.run(charge, n))).await?.len())
    }
    #[workflow]
    async fn unordered(ctx: Ctx) -> Result<usize, Exit> {
        let running: FuturesUnordered<_> = (0..MANY).map(|n| ctx.run(charge, n).into_future()).collect();
        Ok(running.count().await)
    }
    #[workflow]
    async fn spawned(ctx: Ctx) -> Result<usize, Exit> {
        let tasks = (0..MANY).map(|n| {
            let inner = ctx.clone();
            ctx.spawn(async move { inner.run(charge, n).await })
        });
        Ok(try_join_all(tasks.collect::<Vec<_>>()).await?.len())
    }
    for registry in [registry(joined), registry(unordered), registry(spawned)] {
        let mut play = Play::new(&registry, Mode::Kept);
        let started = play.started("null");
        play.run.activate(play.id, vec![started], play.time).unwrap();
        for op in (1..=MANY).rev() {
            let event = parse(&mut play, &format!("activity {op} ok {op}"));
            let transition = play.run.activate(play.id, vec![event], play.time).unwrap();
            assert_eq!(transition.conclusion.is_some(), op == 1);
        }
    }
}
