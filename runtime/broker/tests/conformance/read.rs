//! Reading a stream.

use bytes::Bytes;
use futures_util::{StreamExt, future::try_join_all};
use highwater_broker::{Delivered, ErrorKind, Publish, Stream};
use highwater_protocol::{QueueName, subject::Verb};

use crate::{World, caught_up, key, message, next_message, within};

pub(crate) async fn an_empty_stream_is_caught_up_at_once(world: World) {
    let subject = world.one.subjects().history(&key("a"));
    let mut reader = world.one.read(Stream::History, vec![world.one.subjects().history_all()], 1).await.unwrap();
    caught_up(&mut reader).await;
    for body in ["1", "2"] {
        world.two.publish(message(subject.clone(), body)).await.unwrap();
        assert_eq!(next_message(&mut reader).await.payload, body);
    }
}

pub(crate) async fn a_reader_tells_what_there_is_then_that_it_caught_up_then_what_comes(world: World) {
    let subject = world.one.subjects().history(&key("a"));
    try_join_all((0..300).map(|_| world.one.publish(message(subject.clone(), "x")))).await.unwrap();
    let mut reader = world.one.read(Stream::History, vec![subject.clone()], 1).await.unwrap();
    for seq in 1..=300 {
        assert_eq!(next_message(&mut reader).await.seq, seq);
    }
    caught_up(&mut reader).await;
    for seq in 301..=302 {
        world.one.publish(message(subject.clone(), "x")).await.unwrap();
        let told = next_message(&mut reader).await;
        assert_eq!(world.one.get(Stream::History, seq).await.unwrap(), Some(told));
    }
}

pub(crate) async fn a_reader_begins_at_its_sequence(world: World) {
    let subject = world.one.subjects().history(&key("a"));
    try_join_all((0..10).map(|_| world.one.publish(message(subject.clone(), "x")))).await.unwrap();
    for from in [0, 1, 4, 10] {
        let mut reader = world.one.read(Stream::History, vec![subject.clone()], from).await.unwrap();
        for seq in from.max(1)..=10 {
            assert_eq!(next_message(&mut reader).await.seq, seq);
        }
        caught_up(&mut reader).await;
    }
    let mut reader = world.one.read(Stream::History, vec![subject.clone()], 11).await.unwrap();
    caught_up(&mut reader).await;
}

pub(crate) async fn a_reader_with_many_filters_reads_only_what_they_match(world: World) {
    let subjects = world.one.subjects();
    let (mine, other) = (QueueName::new("mine").unwrap(), QueueName::new("other").unwrap());
    let ids: Vec<_> = (0..200).map(|i| key(&format!("id-{i}"))).collect();
    for queue in [&mine, &other] {
        let subject = |key| subjects.public(Verb::Cancel, queue, None, key);
        try_join_all(ids.iter().map(|key| world.one.publish(message(subject(key), "x")))).await.unwrap();
    }
    // Every partition of one queue, and half of those of a second one.
    let mut filters: Vec<_> = (0..64).map(|partition| subjects.inbox_of(partition, &mine)).collect();
    filters.extend((0..32).map(|partition| subjects.inbox_of(partition, &other)));
    filters.extend((0..34).map(|i| format!("{}.x{i}.>", subjects.inbox_all().trim_end_matches(".>"))));
    assert_eq!(filters.len(), 130);
    let mut reader = world.one.read(Stream::Inbox, filters, 1).await.unwrap();
    let mut told = Vec::new();
    while let Delivered::Message(message) = within(reader.next()).await.unwrap().unwrap() {
        told.push(message.subject);
    }
    let expected = ids
        .iter()
        .map(|key| subjects.inbox_public(Verb::Cancel, &mine, None, key))
        .chain(
            ids.iter()
                .filter(|key| key.partition(64) < 32)
                .map(|key| subjects.inbox_public(Verb::Cancel, &other, None, key)),
        )
        .collect::<Vec<_>>();
    assert_eq!(told, expected);
}

pub(crate) async fn filters_that_match_nothing_are_caught_up_at_once(world: World) {
    let subjects = world.one.subjects();
    world.one.publish(message(subjects.history(&key("a")), "x")).await.unwrap();
    let mut reader = world.one.read(Stream::History, vec![subjects.history(&key("b"))], 1).await.unwrap();
    caught_up(&mut reader).await;
    world.one.publish(message(subjects.history(&key("a")), "x")).await.unwrap();
    world.one.publish(message(subjects.history(&key("b")), "y")).await.unwrap();
    assert_eq!(next_message(&mut reader).await.payload, "y");
}

pub(crate) async fn a_reader_that_is_slow_misses_nothing(world: World) {
    let subject = world.one.subjects().history(&key("a"));
    let mut reader = world.one.read(Stream::History, vec![subject.clone()], 1).await.unwrap();
    // More than any window of flow control.
    let body = Bytes::from(vec![7; 64 * 1024]);
    for _ in 0..8 {
        let write = || Publish { payload: body.clone(), ..message(subject.clone(), "") };
        try_join_all((0..100).map(|_| world.one.publish(write()))).await.unwrap();
    }
    caught_up(&mut reader).await;
    for seq in 1..=800 {
        assert_eq!(next_message(&mut reader).await.seq, seq);
    }
}

pub(crate) async fn a_stream_that_is_shorter_than_what_was_read_of_it_went_backwards(world: World) {
    let subject = world.one.subjects().history(&key("a"));
    world.one.publish(message(subject.clone(), "x")).await.unwrap();
    let Err(error) = world.one.read(Stream::History, vec![subject], 5).await else { panic!("it reads on") };
    assert_eq!(error.kind, ErrorKind::Other);
    assert!(error.to_string().contains("went backwards"), "{error}");
}

pub(crate) async fn deleted_messages_are_no_gap(world: World) {
    let subject = world.one.subjects().history(&key("a"));
    try_join_all((0..10).map(|_| world.one.publish(message(subject.clone(), "x")))).await.unwrap();
    for seq in [1, 5, 6, 10] {
        world.one.delete(Stream::History, seq).await.unwrap();
    }
    let mut reader = world.one.read(Stream::History, vec![subject.clone()], 1).await.unwrap();
    for seq in [2, 3, 4, 7, 8, 9] {
        assert_eq!(next_message(&mut reader).await.seq, seq);
    }
    caught_up(&mut reader).await;
    world.one.publish(message(subject, "x")).await.unwrap();
    assert_eq!(next_message(&mut reader).await.seq, 11);
}
