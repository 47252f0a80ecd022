//! Messages that are published later.

use std::time::Duration;

use highwater_broker::{ErrorKind, Publish, Schedule, Stream};
use highwater_protocol::{Headers, QueueName, RunId, Timestamp, event::OpId};

use crate::{World, caught_up, key, message, next_message, within};

fn queue() -> QueueName {
    QueueName::new("main").unwrap()
}

fn timer(world: &World, id: &str, at: Timestamp, body: &'static str) -> Publish {
    let subjects = world.one.subjects();
    // One subject per timer.
    let subject = subjects.timer_all().replace('>', &format!("0.{id}.run.1"));
    let target = subjects.fire(key(id).partition(subjects.partitions()), &queue());
    Publish { expect_last: Some(0), schedule: Some(Schedule { at, target }), ..message(subject, body) }
}

pub(crate) async fn a_schedule_fires_at_its_target_and_not_early(world: World) {
    let mut reader =
        world.one.read(Stream::Timers, vec![world.one.subjects().fire_of_queue(&queue())], 1).await.unwrap();
    caught_up(&mut reader).await;
    let now = world.one.server_time().await.unwrap();
    let dues = [700, 300, 1_100].map(|millis| now.after(Duration::from_millis(millis)));
    for (due, id) in dues.iter().zip(["a", "b", "c"]) {
        world.one.publish(timer(&world, id, *due, "due")).await.unwrap();
    }
    for (due, id) in [(dues[1], "b"), (dues[0], "a"), (dues[2], "c")] {
        let fired = next_message(&mut reader).await;
        let target = world.one.subjects().fire(key(id).partition(64), &queue());
        assert_eq!((fired.subject.as_str(), &fired.payload[..]), (target.as_str(), &b"due"[..]));
        assert!(fired.time >= due, "due at {due}, fired at {}", fired.time);
        assert!(fired.headers.is_empty(), "{:?}", fired.headers);
    }
    // What has fired is no longer armed.
    let armed = world.one.last_from_leader(Stream::Timers, world.one.subjects().timer_all()).await.unwrap();
    assert_eq!(armed, None);
}

pub(crate) async fn a_schedule_of_the_past_fires_at_once(world: World) {
    let mut reader = world.one.read(Stream::Timers, vec![world.one.subjects().fire_all()], 1).await.unwrap();
    caught_up(&mut reader).await;
    let armed = world.one.publish(timer(&world, "a", Timestamp::from_millis(1_000), "x")).await.unwrap();
    let fired = next_message(&mut reader).await;
    assert!(fired.seq > armed.seq);
}

pub(crate) async fn a_deleted_schedule_does_not_fire(world: World) {
    let mut reader = world.one.read(Stream::Timers, vec![world.one.subjects().fire_all()], 1).await.unwrap();
    caught_up(&mut reader).await;
    let now = world.one.server_time().await.unwrap();
    let first = timer(&world, "a", now.after(Duration::from_millis(500)), "first");
    let second = timer(&world, "b", now.after(Duration::from_millis(1_100)), "second");
    let first = world.one.publish(first).await.unwrap().seq;
    world.one.publish(second).await.unwrap();
    world.one.delete(Stream::Timers, first).await.unwrap();
    assert_eq!(next_message(&mut reader).await.payload, "second");
}

pub(crate) async fn a_later_attempt_becomes_a_task_and_its_schedule_is_none(world: World) {
    let subjects = world.one.subjects();
    let (run, op) = (RunId(uuid::Uuid::from_u128(1)), OpId(3));
    // The consumer is there before the schedule.
    assert!(world.one.take_tasks(queue(), 1, Duration::from_millis(100)).await.unwrap().is_empty());
    let at = world.one.server_time().await.unwrap().after(Duration::from_millis(800));
    let target = subjects.task(&queue(), run, op, 2);
    let later = Publish {
        expect_last: Some(0),
        schedule: Some(Schedule { at, target: target.clone() }),
        ..message(subjects.task_later(&queue(), run, op, 2), "again")
    };
    world.one.publish(later.clone()).await.unwrap();
    assert!(world.one.publish(later).await.is_err(), "a schedule cannot be made twice");
    let armed = world.one.last_from_leader(Stream::Tasks, subjects.task_any(&queue(), run, op)).await.unwrap().unwrap();
    assert_eq!(armed.subject, subjects.task_later(&queue(), run, op, 2));

    let tasks = within(world.one.take_tasks(queue(), 10, Duration::from_secs(20))).await.unwrap();
    let [task] = &tasks[..] else { panic!("{tasks:?}") };
    assert_eq!((task.message.subject.as_str(), &task.message.payload[..]), (target.as_str(), &b"again"[..]));
    assert!(task.message.time >= at, "due at {at}, fired at {}", task.message.time);
    task.ack.done().await.unwrap();
    let left = world.one.last_from_leader(Stream::Tasks, subjects.task_all()).await.unwrap();
    assert_eq!(left, None, "nothing is left of it");
}

pub(crate) async fn a_schedule_fires_with_the_headers_of_its_message(world: World) {
    let mut reader = world.one.read(Stream::Timers, vec![world.one.subjects().fire_all()], 1).await.unwrap();
    caught_up(&mut reader).await;
    let headers = Headers::new().with("Hw-Run", "7");
    let armed = Publish {
        headers: headers.clone(),
        id: Some("1".into()),
        ..timer(&world, "a", Timestamp::from_millis(1_000), "x")
    };
    world.one.publish(armed).await.unwrap();
    assert_eq!(next_message(&mut reader).await.headers, headers);
}

pub(crate) async fn a_schedule_is_for_streams_that_take_them_and_for_their_own_subjects(world: World) {
    let subjects = world.one.subjects();
    let at = Timestamp::from_millis(1_000);
    let history = Publish {
        schedule: Some(Schedule { at, target: subjects.history(&key("b")) }),
        ..message(subjects.history(&key("a")), "x")
    };
    let elsewhere =
        Publish { schedule: Some(Schedule { at, target: subjects.history(&key("b")) }), ..timer(&world, "a", at, "x") };
    let wild = Publish { schedule: Some(Schedule { at, target: subjects.fire_all() }), ..timer(&world, "a", at, "x") };
    for refused in [history, elsewhere, wild] {
        let subject = refused.subject.clone();
        assert_eq!(world.one.publish(refused).await.unwrap_err().kind, ErrorKind::Other, "{subject}");
    }
}
