//! Hundreds of messages at a time, of which some fail: a broker that stores them together must not let one see the
//! others.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use futures_util::{
    FutureExt,
    future::{join_all, try_join_all},
};
use highwater_broker::{Bucket, Error, ErrorKind, PubAck, Publish, Schedule, Stream};
use highwater_protocol::{QueueName, subject::Verb};

use crate::{World, caught_up, key, message, next_message, within};

fn queue() -> QueueName {
    QueueName::new("main").unwrap()
}

fn history(world: &World, number: usize) -> String {
    world.one.subjects().history(&key(&number.to_string()))
}

/// The first message of a history, with its number for a body.
fn first(world: &World, number: usize) -> Publish {
    let payload = Bytes::from(number.to_string());
    Publish { subject: history(world, number), payload, expect_last: Some(0), ..Publish::default() }
}

/// Stores the first messages of histories.
async fn store_firsts(world: &World, numbers: impl Iterator<Item = usize>) -> Vec<Result<PubAck, Error>> {
    within(join_all(numbers.map(|number| world.one.publish(first(world, number))))).await
}

/// Checks that of the first messages all were stored at the sequences that were told, but those that failed, and once.
async fn check_firsts(world: &World, results: &[Result<PubAck, Error>]) {
    let stored: Vec<_> =
        results.iter().enumerate().filter_map(|(i, result)| Some((i, result.as_ref().ok()?))).collect();
    let seqs: BTreeSet<_> = stored.iter().map(|(_, ack)| ack.seq).collect();
    assert_eq!(seqs.len(), stored.len(), "every message has a sequence of its own");
    let read = stored.iter().map(|(number, ack)| async move {
        let found = world.two.get_from_leader(Stream::History, ack.seq).await.unwrap().unwrap();
        assert_eq!(found.subject, history(world, *number));
        assert_eq!(found.payload, number.to_string().as_bytes());
        assert!(found.headers.is_empty(), "{:?}", found.headers);
    });
    within(join_all(read)).await;
}

fn kinds(results: &[Result<PubAck, Error>]) -> Vec<(usize, ErrorKind)> {
    results.iter().enumerate().filter_map(|(i, result)| Some((i, result.as_ref().err()?.kind))).collect()
}

pub(crate) async fn hundreds_at_once_have_the_sequences_that_they_are_stored_at(world: World) {
    let results = store_firsts(&world, 0..600).await;
    assert_eq!(kinds(&results), []);
    check_firsts(&world, &results).await;
    assert_eq!(world.one.last_seq(Stream::History).await.unwrap(), 600);
}

pub(crate) async fn one_conflict_among_hundreds_fails_alone(world: World) {
    let taken = world.two.publish(first(&world, 333)).await.unwrap();
    let results = store_firsts(&world, 0..500).await;
    assert_eq!(kinds(&results), [(333, ErrorKind::Conflict)]);
    check_firsts(&world, &results).await;
    assert_eq!(world.one.last_seq(Stream::History).await.unwrap(), 500, "nothing is stored twice");
    let still = world.one.last_from_leader(Stream::History, history(&world, 333)).await.unwrap().unwrap();
    assert_eq!(still.seq, taken.seq);
}

pub(crate) async fn many_conflicts_among_hundreds_fail_alone(world: World) {
    // As when an owner that takes over sends again what is there already.
    let there = store_firsts(&world, (0..300).filter(|number| number % 3 != 0)).await;
    assert_eq!(kinds(&there), []);
    let results = store_firsts(&world, 0..300).await;
    let lost: Vec<_> = kinds(&results);
    assert!(lost.iter().all(|(number, kind)| number % 3 != 0 && *kind == ErrorKind::Conflict), "{lost:?}");
    assert_eq!(lost.len(), 200);
    check_firsts(&world, &results).await;
    assert_eq!(world.one.last_seq(Stream::History).await.unwrap(), 300);
}

pub(crate) async fn one_that_is_too_large_among_hundreds_fails_alone(world: World) {
    let large = Bytes::from(vec![0; world.one.payload_max() + 1]);
    let publish = |number| {
        let message = first(&world, number);
        world.one.publish(if number == 250 { Publish { payload: large.clone(), ..message } } else { message })
    };
    let results = within(join_all((0..500).map(publish))).await;
    assert_eq!(kinds(&results), [(250, ErrorKind::TooLarge)]);
    check_firsts(&world, &results).await;
}

pub(crate) async fn repeats_among_hundreds_are_told_as_such(world: World) {
    let publish = |number: usize| {
        let subject = world.one.subjects().public(Verb::Cancel, &queue(), None, &key(&number.to_string()));
        // Every tenth has the id of the one before it, and one the id of a message that was there before.
        let id = if number % 10 == 9 { number - 1 } else { number };
        world.one.publish(Publish { id: Some(id.to_string()), ..message(subject, "x") })
    };
    let before = publish(100).await.unwrap();
    let acks = within(try_join_all((0..200).map(publish))).await.unwrap();
    for (number, ack) in acks.iter().enumerate() {
        match number % 10 {
            // Which of the two is stored first is nobody's concern: they are for different subjects.
            8 => {}
            9 => {
                let other = acks[number - 1];
                assert_eq!((ack.seq, ack.duplicate), (other.seq, !other.duplicate), "{number}: {ack:?}, {other:?}");
            }
            _ => assert_eq!(ack.duplicate, number == 100, "{number}: {ack:?}"),
        }
    }
    assert_eq!(acks[100].seq, before.seq);
    assert_eq!(world.one.last_seq(Stream::Inbox).await.unwrap(), 180, "what is stored: 200 less 20 repeats");
}

pub(crate) async fn the_messages_of_a_subject_stay_in_order_beside_conflicts(world: World) {
    store_firsts(&world, [50, 150].into_iter()).await;
    let other = world.one.subjects().history(&key("other"));
    // Messages to one subject, between those to others of which two are lost, and more of all than go out at once: the
    // later ones must not pass the earlier while those are tried again.
    let publish = |number: usize| {
        let own = world.one.publish(first(&world, number));
        let common = world.one.publish(message(other.clone(), "x"));
        async move { tokio::join!(own, common) }
    };
    let (own, common): (Vec<_>, Vec<_>) = within(join_all((0..900).map(publish))).await.into_iter().unzip();
    assert_eq!(kinds(&own), [(50, ErrorKind::Conflict), (150, ErrorKind::Conflict)]);
    let seqs: Vec<_> = common.into_iter().map(|ack| ack.unwrap().seq).collect();
    assert!(seqs.is_sorted(), "{seqs:?}");
}

pub(crate) async fn steps_of_hundreds_of_histories_follow_each_other(world: World) {
    let world = &world;
    let run = |number: usize| async move {
        let mut last = 0;
        for _ in 0..5 {
            let step = Publish { expect_last: Some(last), ..first(world, number) };
            last = world.one.publish(step).await.unwrap().seq;
        }
        last
    };
    let lasts: BTreeSet<_> = within(join_all((0..200).map(run))).await.into_iter().collect();
    assert_eq!((lasts.len(), lasts.last()), (200, Some(&1_000)));
}

pub(crate) async fn hundreds_of_schedules_at_once_fire(world: World) {
    let subjects = world.one.subjects();
    let mut reader = world.one.read(Stream::Timers, vec![subjects.fire_all()], 1).await.unwrap();
    caught_up(&mut reader).await;
    let at = world.one.server_time().await.unwrap().after(Duration::from_millis(300));
    let arm = |number: usize| {
        let subject = subjects.timer_all().replace('>', &format!("0.{number}.run.1"));
        let schedule = Some(Schedule { at, target: subjects.fire(0, &queue()) });
        let payload = Bytes::from(number.to_string());
        world.one.publish(Publish { subject, payload, schedule, expect_last: Some(0), ..Publish::default() })
    };
    within(try_join_all((0..200).map(arm))).await.unwrap();
    let again = within(join_all((0..200).map(arm))).await;
    let rearmed = again.iter().filter(|result| result.is_ok()).count();
    let mut fired = Vec::new();
    for _ in 0..200 + rearmed {
        let told = next_message(&mut reader).await;
        assert!(told.time >= at);
        fired.push(told.payload);
    }
    let distinct: BTreeSet<_> = fired.into_iter().collect();
    assert_eq!(distinct.len(), 200);
    assert!(kinds(&again).iter().all(|(_, kind)| *kind == ErrorKind::Conflict));
}

pub(crate) async fn hundreds_of_offsets_at_once_are_checked_each_for_itself(world: World) {
    let key = |number: usize| format!("0.{number}.main");
    let put = |number: usize, value: &'static str, revision: u64| {
        world.one.kv_put(Bucket::Offsets, key(number), Bytes::from_static(value.as_bytes()), Some(revision))
    };
    let made = within(try_join_all((0..200).map(|number| put(number, "1", 0)))).await.unwrap();
    let taken = world.two.kv_put(Bucket::Offsets, key(77), Bytes::from_static(b"two"), Some(made[77])).await.unwrap();
    let moved = within(join_all(made.iter().enumerate().map(|(number, revision)| put(number, "2", *revision)))).await;
    for (number, moved) in moved.into_iter().enumerate() {
        let entry = world.two.kv_get(Bucket::Offsets, key(number)).await.unwrap().unwrap();
        if number == 77 {
            assert_eq!(moved.unwrap_err().kind, ErrorKind::Conflict);
            assert_eq!((entry.revision, &entry.value[..]), (taken, &b"two"[..]));
        } else {
            assert_eq!((entry.revision, &entry.value[..]), (moved.unwrap(), &b"2"[..]));
        }
    }
}

pub(crate) async fn what_hundreds_of_callers_gave_up_does_no_harm(world: World) {
    let mut calls: Vec<_> = (0..300).map(|number| world.one.publish(first(&world, number))).collect();
    for call in &mut calls {
        // It is on its way, or there already.
        let _ = call.now_or_never();
    }
    drop(calls);
    // Who comes after them is served, whatever became of theirs.
    let results = store_firsts(&world, 300..600).await;
    assert_eq!(kinds(&results), []);
    let seqs: BTreeSet<_> = results.iter().flatten().map(|ack| ack.seq).collect();
    assert_eq!(seqs.len(), 300);
}
