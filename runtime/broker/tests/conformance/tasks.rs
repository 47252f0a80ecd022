//! Taking tasks.

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::try_join_all;
use highwater_broker::{Broker, Stream, Task};
use highwater_protocol::{QueueName, RunId, event::OpId};
use tokio::time::Instant;

use crate::{World, message, within};

/// Longer than any test waits for a task.
const LONG: Duration = Duration::from_secs(20);
/// Long enough for what is there already.
const SHORT: Duration = Duration::from_millis(300);

fn queue() -> QueueName {
    QueueName::new("main").unwrap()
}

async fn publish(broker: &dyn Broker, queue: &QueueName, count: u32) {
    let subject = |op| broker.subjects().task(queue, RunId(uuid::Uuid::from_u128(1)), OpId(op), 1);
    try_join_all((0..count).map(|op| broker.publish(message(subject(op.into()), "do")))).await.unwrap();
}

async fn take_one(broker: &dyn Broker) -> Task {
    let mut tasks = within(broker.take_tasks(queue(), 1, LONG)).await.unwrap();
    assert_eq!(tasks.len(), 1);
    tasks.remove(0)
}

pub(crate) async fn a_task_that_is_done_is_gone(world: World) {
    publish(&*world.one, &queue(), 1).await;
    let task = take_one(&*world.one).await;
    assert_eq!((task.delivered, task.message.seq, &task.message.payload[..]), (1, 1, &b"do"[..]));
    task.ack.done().await.unwrap();
    assert_eq!(world.one.get_from_leader(Stream::Tasks, 1).await.unwrap(), None);
}

pub(crate) async fn a_task_that_is_let_go_of_is_gone_soon(world: World) {
    publish(&*world.one, &queue(), 1).await;
    take_one(&*world.one).await.ack.let_go().await.unwrap();
    let gone = async { while world.one.get_from_leader(Stream::Tasks, 1).await.unwrap().is_some() {} };
    within(gone).await;
}

pub(crate) async fn a_task_that_comes_while_a_call_waits_is_delivered_at_once(world: World) {
    assert!(world.one.take_tasks(queue(), 1, SHORT).await.unwrap().is_empty());
    let mut slowest = Duration::ZERO;
    for op in 0..5 {
        let waiting = tokio::spawn(world.one.take_tasks(queue(), 8, LONG));
        tokio::task::yield_now().await;
        let subject = world.one.subjects().task(&queue(), RunId(uuid::Uuid::from_u128(1)), OpId(op), 1);
        let start = Instant::now();
        world.two.publish(message(subject, "do")).await.unwrap();
        let tasks = within(waiting).await.unwrap().unwrap();
        slowest = slowest.max(start.elapsed());
        assert_eq!(tasks.len(), 1);
        tasks[0].ack.done().await.unwrap();
    }
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
}

pub(crate) async fn no_task_within_the_wait_is_no_error(world: World) {
    let start = Instant::now();
    assert!(world.one.take_tasks(queue(), 5, SHORT).await.unwrap().is_empty());
    assert!(start.elapsed() >= SHORT);
    assert!(world.one.take_tasks(queue(), 0, LONG).await.unwrap().is_empty());
}

pub(crate) async fn a_call_takes_no_more_than_it_asked_for(world: World) {
    publish(&*world.one, &queue(), 10).await;
    let mut seqs = Vec::new();
    while seqs.len() < 10 {
        let tasks = within(world.one.take_tasks(queue(), 3, LONG)).await.unwrap();
        assert!((1..=3).contains(&tasks.len()));
        for task in tasks {
            task.ack.done().await.unwrap();
            seqs.push(task.message.seq);
        }
    }
    assert_eq!(seqs, (1..=10).collect::<Vec<_>>());
}

pub(crate) async fn a_task_without_progress_comes_again(world: World) {
    publish(&*world.one, &queue(), 1).await;
    let first = take_one(&*world.one).await;
    let start = Instant::now();
    let second = take_one(&*world.two).await;
    assert_eq!((second.delivered, second.message), (2, first.message));
    assert!(start.elapsed() >= world.one.task_ack_wait() / 2, "{:?}", start.elapsed());
    second.ack.done().await.unwrap();
}

pub(crate) async fn progress_keeps_a_task(world: World) {
    publish(&*world.one, &queue(), 1).await;
    let task = take_one(&*world.one).await;
    let mut other = tokio::spawn(world.two.take_tasks(queue(), 1, LONG));
    let mut beat = tokio::time::interval(world.one.task_ack_wait() / 4);
    // Three times the ack wait.
    for _ in 0..12 {
        tokio::select! {
            tasks = &mut other => panic!("taken away: {tasks:?}"),
            _ = beat.tick() => task.ack.progress().await.unwrap(),
        }
    }
    // And without it, it goes.
    assert_eq!(within(other).await.unwrap().unwrap()[0].delivered, 2);
}

pub(crate) async fn a_task_can_be_put_off(world: World) {
    publish(&*world.one, &queue(), 1).await;
    let task = take_one(&*world.one).await;
    let start = Instant::now();
    let delay = world.one.task_ack_wait() * 2;
    task.ack.retry_after(delay).await.unwrap();
    let again = take_one(&*world.two).await;
    assert_eq!(again.delivered, 2);
    assert!(start.elapsed() >= delay, "{:?}", start.elapsed());
    again.ack.done().await.unwrap();
}

pub(crate) async fn two_takers_never_get_the_same_task(world: World) {
    let take_all = async |broker: &dyn Broker| {
        let mut seqs = Vec::new();
        loop {
            let tasks = broker.take_tasks(queue(), 7, Duration::from_millis(700)).await.unwrap();
            if tasks.is_empty() {
                return seqs;
            }
            for task in tasks {
                // One that waited too long for its turn here has gone back to the server in between.
                task.ack.done().await.unwrap();
                seqs.push(task.message.seq);
            }
        }
    };
    let main = queue();
    let (one, two, again, ()) = within(async {
        tokio::join!(
            take_all(&*world.one),
            take_all(&*world.two),
            take_all(&*world.one),
            publish(&*world.one, &main, 500)
        )
    })
    .await;
    let all: Vec<_> = [one, two, again].concat();
    assert_eq!(all.len(), 500);
    assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), (1..=500).collect());
}

pub(crate) async fn a_call_that_is_given_up_loses_nothing(world: World) {
    let start = Instant::now();
    let mut seqs = BTreeSet::new();
    let subject = |op| world.one.subjects().task(&queue(), RunId(uuid::Uuid::from_u128(1)), OpId(op), 1);
    for op in 0..60 {
        let stored = world.one.publish(message(subject(op), "do"));
        // Dropped at every moment of its life.
        let given_up = tokio::time::timeout(Duration::from_micros(op * 30), world.one.take_tasks(queue(), 5, LONG));
        let (stored, taken) = tokio::join!(stored, given_up);
        stored.unwrap();
        for task in taken.map(Result::unwrap).unwrap_or_default() {
            task.ack.done().await.unwrap();
            seqs.insert(task.message.seq);
        }
    }
    while seqs.len() < 60 {
        for task in within(world.two.take_tasks(queue(), 50, LONG)).await.unwrap() {
            task.ack.done().await.unwrap();
            seqs.insert(task.message.seq);
        }
    }
    // Nothing lay about until its ack wait was over: what is not taken is given back.
    assert!(start.elapsed() < world.one.task_ack_wait(), "{:?}", start.elapsed());
}

pub(crate) async fn tasks_for_a_process_that_stopped_taking_go_to_another(world: World) {
    // Its pull stays at the server for a while after this.
    assert!(world.one.take_tasks(queue(), 1, SHORT).await.unwrap().is_empty());
    let start = Instant::now();
    publish(&*world.one, &queue(), 3).await;
    let mut seqs = BTreeSet::new();
    while seqs.len() < 3 {
        for task in within(world.two.take_tasks(queue(), 5, LONG)).await.unwrap() {
            task.ack.done().await.unwrap();
            seqs.insert(task.message.seq);
        }
    }
    assert!(start.elapsed() < world.one.task_ack_wait() / 2, "{:?}", start.elapsed());
}

pub(crate) async fn queues_are_apart(world: World) {
    let names = ["a", "a.b", "A", "=", "q w e", &"long".repeat(100), &"long".repeat(101)];
    let queues: Vec<_> = names.iter().map(|name| QueueName::new(*name).unwrap()).collect();
    for (queue, count) in queues.iter().zip(1..) {
        publish(&*world.one, queue, count).await;
    }
    for (queue, count) in queues.iter().zip(1..) {
        let mut taken = 0;
        while taken < count {
            for task in within(world.one.take_tasks(queue.clone(), 20, LONG)).await.unwrap() {
                assert!(task.message.subject.contains(&format!(".{}.", queue.to_key())));
                task.ack.done().await.unwrap();
                taken += 1;
            }
        }
        assert_eq!(taken, count);
    }
}

pub(crate) async fn the_word_of_who_lost_a_task_ends_it(world: World) {
    publish(&*world.one, &queue(), 1).await;
    let lost = take_one(&*world.one).await;
    let again = take_one(&*world.two).await;
    lost.ack.done().await.unwrap();
    assert_eq!(world.one.get_from_leader(Stream::Tasks, 1).await.unwrap(), None);
    // Whoever has it now is not told, and may say what it wants.
    again.ack.progress().await.unwrap();
    again.ack.done().await.unwrap();
    assert!(world.one.take_tasks(queue(), 1, SHORT).await.unwrap().is_empty());
}

pub(crate) async fn a_task_that_is_put_off_by_who_lost_it_comes_a_third_time(world: World) {
    publish(&*world.one, &queue(), 1).await;
    let lost = take_one(&*world.one).await;
    let second = take_one(&*world.two).await;
    assert_eq!(second.delivered, 2);
    let start = Instant::now();
    lost.ack.retry_after(Duration::ZERO).await.unwrap();
    let third = take_one(&*world.one).await;
    assert_eq!(third.delivered, 3);
    assert!(start.elapsed() < world.one.task_ack_wait() / 2, "{:?}", start.elapsed());
    second.ack.done().await.unwrap();
    assert_eq!(world.one.get_from_leader(Stream::Tasks, 1).await.unwrap(), None);
}

pub(crate) async fn a_task_that_is_given_back_comes_at_once(world: World) {
    publish(&*world.one, &queue(), 1).await;
    let start = Instant::now();
    for delivered in 1..=3 {
        let task = take_one(&*world.one).await;
        assert_eq!(task.delivered, delivered);
        task.ack.retry_after(Duration::ZERO).await.unwrap();
    }
    assert!(start.elapsed() < world.one.task_ack_wait() / 2, "{:?}", start.elapsed());
}

pub(crate) async fn a_deleted_task_is_not_delivered(world: World) {
    assert!(world.one.take_tasks(queue(), 1, SHORT).await.unwrap().is_empty());
    // The pull of that call may still be at the server, and would bring what comes next.
    let subject = |op| world.one.subjects().task(&queue(), RunId(uuid::Uuid::from_u128(1)), OpId(op), 1);
    let taken = {
        publish(&*world.one, &queue(), 1).await;
        take_one(&*world.one).await
    };
    world.one.delete(Stream::Tasks, taken.message.seq).await.unwrap();
    // Nor does one come again that was with somebody when it was deleted.
    assert!(world.two.take_tasks(queue(), 1, world.one.task_ack_wait() * 2).await.unwrap().is_empty());
    world.one.publish(message(subject(7), "next")).await.unwrap();
    let next = take_one(&*world.two).await;
    assert_eq!((next.message.seq, &next.message.payload[..]), (2, &b"next"[..]));
}
