//! Channel, lock and semaphore of the tasks of a run, some operations at a time, and random numbers.

use std::{cell::RefCell, rc::Rc, time::Duration};

use highwater_core::{
    CallError, Ctx, Exit,
    join::{buffered, for_each_concurrent, join_all},
    sync::{Closed, Mutex, Semaphore, channel},
};
use highwater_macros::{activity, select, workflow};

use crate::play::check;

const SECOND: Duration = Duration::from_secs(1);

#[activity]
async fn charge(cents: u32) -> Result<u32, String> {
    Ok(cents)
}

#[test]
fn what_is_sent_comes_out_in_that_order_and_the_end_is_told() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<Vec<u32>, Exit> {
        let (sender, mut receiver) = channel();
        for n in [1, 2] {
            let (ctx, sender) = (ctx.clone(), sender.clone());
            ctx.clone()
                .spawn(async move {
                    let value = ctx.run(charge, n).await.unwrap_or(0);
                    sender.send(value).ok();
                    sender.send(value + 1).ok();
                })
                .detach();
        }
        drop(sender);
        let mut got = Vec::new();
        while let Some(value) = receiver.recv().await {
            got.push(value);
        }
        assert_eq!(receiver.try_recv(), None);
        Ok(got)
    }
    check(
        order,
        "> start
         run #1 charge 1
         run #2 charge 2
         > activity 2 ok 20
         > activity 1 ok 10
         completed [20,21,10,11]",
    );
}

#[test]
fn a_value_that_nobody_will_receive_comes_back() {
    let (sender, receiver) = channel();
    let other = sender.clone();
    sender.send(1).expect("the receiver is there");
    drop(receiver);
    assert!(sender.is_closed());
    assert_eq!(other.send(2), Err(Closed(2)));
}

#[test]
fn a_lock_is_had_by_one_at_a_time_in_the_order_of_asking() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<Vec<u32>, Exit> {
        let log = Rc::new(Mutex::new(Vec::new()));
        let tasks = (1..=3).map(|n| {
            let (inner, log) = (ctx.clone(), Rc::clone(&log));
            ctx.spawn(async move {
                let mut log = log.lock().await;
                log.push(inner.run(charge, n).await?);
                Ok::<_, CallError<String>>(())
            })
        });
        let mut tasks: Vec<_> = tasks.collect();
        ctx.sleep(SECOND).await?;
        // The second gives up while it waits, and the third has its turn after the first.
        drop(tasks.remove(1));
        assert!(log.try_lock().is_none());
        for ended in join_all(tasks).await {
            ended?;
        }
        Ok(Rc::try_unwrap(log).map_err(|_| "a task holds the log".to_owned())?.into_inner())
    }
    check(
        order,
        "> start
         sleep #1 until 1002
         run #2 charge 1
         > fire 1
         > activity 2 ok 1
         run #3 charge 3
         > activity 3 ok 3
         completed [1,3]",
    );
}

#[test]
fn a_permit_that_was_put_aside_for_somebody_who_is_gone_is_given_to_the_next() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<usize, Exit> {
        let semaphore = Semaphore::new(1);
        let held = semaphore.acquire().await;
        let mut gone = Box::pin(semaphore.acquire());
        let mut next = Box::pin(semaphore.acquire());
        select! {
            _ = &mut gone => return Err("there is one permit only".to_owned().into()),
            _ = &mut next => return Err("there is one permit only".to_owned().into()),
            slept = ctx.sleep(SECOND) => slept?,
        }
        drop(held);
        assert!(semaphore.try_acquire().is_none(), "it is put aside for the first");
        drop(gone);
        let permit = next.await;
        assert_eq!(semaphore.available(), 0);
        drop(permit);
        Ok(semaphore.available())
    }
    check(
        order,
        "> start
         sleep #1 until 1002
         > fire 1
         completed 1",
    );
}

#[test]
fn so_many_operations_are_under_way_at_a_time_and_keep_their_order() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<Vec<u32>, Exit> {
        Ok(buffered(2, (1..=4).map(|n| ctx.run(charge, n))).try_collect().await?)
    }
    check(
        order,
        "> start
         run #1 charge 1
         run #2 charge 2
         > activity 2 ok 20
         run #3 charge 3
         > activity 3 ok 30 + activity 1 ok 10
         run #4 charge 4
         > activity 4 ok 40
         completed [10,20,30,40]",
    );
    check(
        order,
        "> start
         run #1 charge 1
         run #2 charge 2
         > activity 1 error \"declined\"
         cancel activity #2
         failed declined",
    );
}

#[test]
fn code_is_run_for_every_item_and_so_many_at_a_time() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<Vec<u32>, Exit> {
        let log = RefCell::new(Vec::new());
        // The limit counts as one.
        for_each_concurrent(0, 1..=2, async |n| {
            if let Ok(value) = ctx.run(charge, n).await {
                log.borrow_mut().push(value);
            }
        })
        .await;
        for_each_concurrent(8, 3..3, async |_| log.borrow_mut().push(99)).await;
        Ok(log.into_inner())
    }
    check(
        order,
        "> start
         run #1 charge 1
         > activity 1 ok 10
         run #2 charge 2
         > activity 2 ok 20
         completed [10,20]",
    );
}

#[test]
fn random_numbers_are_the_same_at_every_replay_and_others_at_every_call() {
    #[workflow]
    async fn order(ctx: Ctx) -> Result<(), Exit> {
        let (mut first, mut second) = (ctx.random(), ctx.random());
        assert_ne!(first.next_u64(), second.next_u64());
        ctx.sleep(Duration::from_secs(first.below(1_000))).await?;
        ctx.run(charge, second.below(1_000) as u32).await?;
        Ok(())
    }
    // The numbers come from the run's id, which is the same in all these tests.
    check(
        order,
        "> start
         sleep #1 until 1872
         > fire 1
         run #2 charge 775
         > activity 2 ok 1
         completed null",
    );
}
