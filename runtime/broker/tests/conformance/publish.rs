//! Storing, reading single messages, and taking messages away.

use bytes::Bytes;
use futures_util::{
    StreamExt,
    future::{join_all, try_join_all},
};
use highwater_broker::{ErrorKind, PlainMessage, Publish, Stream};
use highwater_protocol::{Headers, QueueName, TypeName, subject::Verb};

use crate::{World, key, message, within};

fn queue() -> QueueName {
    QueueName::new("main").unwrap()
}

pub(crate) async fn a_message_is_read_back_as_it_was_stored(world: World) {
    let subject = world.one.subjects().history(&key("a"));
    let headers = Headers::new().with("Hw-Run", "7").with("traceparent", "00-1-2-01");
    let stored = Publish { headers: headers.clone(), ..message(subject.clone(), "body") };
    let ack = world.one.publish(stored).await.unwrap();
    assert!(!ack.duplicate);

    let found = [
        world.two.get(Stream::History, ack.seq).await,
        world.two.get_from_leader(Stream::History, ack.seq).await,
        world.two.last(Stream::History, subject.clone()).await,
        world.two.last_from_leader(Stream::History, subject.clone()).await,
    ];
    let first = found[0].clone().unwrap().unwrap();
    assert_eq!((first.subject.as_str(), &first.payload[..], first.seq), (subject.as_str(), &b"body"[..], ack.seq));
    for found in found {
        let found = found.unwrap().unwrap();
        for (name, value) in headers.iter() {
            assert_eq!(found.headers.get(name), Some(value));
        }
        assert_eq!(found.headers.iter().count(), 2, "{:?}", found.headers);
        assert_eq!((found.time, found.payload), (first.time, first.payload.clone()));
    }
}

pub(crate) async fn a_message_that_is_offered_is_stored_once_by_its_id(world: World) {
    let subject = world.one.subjects().public(Verb::Cancel, &queue(), None, &key("a"));
    let offered = Publish { id: Some("first".into()), ..message(subject, "body") };
    if let Some(ack) = world.one.offer(offered.clone()).await.unwrap() {
        assert!(!ack.duplicate);
    }
    // What one connection sends arrives in order.
    let again = world.one.publish(offered).await.unwrap();
    assert!(again.duplicate, "it was there already");
    let stored = world.one.get_from_leader(Stream::Inbox, again.seq).await.unwrap().unwrap();
    assert_eq!((&stored.payload[..], world.one.last_seq(Stream::Inbox).await.unwrap()), (&b"body"[..], again.seq));
}

pub(crate) async fn only_one_of_two_writers_at_one_place_wins(world: World) {
    let subject = world.one.subjects().history(&key("a"));
    let first = world.one.publish(message(subject.clone(), "1")).await.unwrap().seq;
    for _ in 0..20 {
        let expected = world.one.last(Stream::History, subject.clone()).await.unwrap().unwrap().seq;
        assert!(expected >= first);
        let write = || Publish { expect_last: Some(expected), ..message(subject.clone(), "2") };
        let (one, two) = tokio::join!(world.one.publish(write()), world.two.publish(write()));
        let loser = match (one, two) {
            (Ok(_), Err(loser)) | (Err(loser), Ok(_)) => loser,
            other => panic!("{other:?}"),
        };
        assert_eq!(loser.kind, ErrorKind::Conflict, "{loser}");
    }
}

pub(crate) async fn expecting_no_message_holds_for_one_only(world: World) {
    let subject = world.one.subjects().history(&key("a"));
    let write = || Publish { expect_last: Some(0), ..message(subject.clone(), "1") };
    let results = join_all((0..20).map(|_| world.one.publish(write()))).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert!(results.iter().filter_map(|result| result.as_ref().err()).all(|error| error.kind == ErrorKind::Conflict));
}

pub(crate) async fn messages_with_one_id_are_stored_once(world: World) {
    let subjects = world.one.subjects();
    let subject = subjects.public(Verb::Cancel, &queue(), None, &key("a"));
    let write = |subject: &str, id: &str| Publish { id: Some(id.into()), ..message(subject, "x") };
    let first = world.one.publish(write(&subject, "1")).await.unwrap();
    let second = world.two.publish(write(&subject, "1")).await.unwrap();
    let third = world.one.publish(write(&subject, "2")).await.unwrap();
    assert_eq!((first.duplicate, second.duplicate, third.duplicate), (false, true, false));
    assert_eq!((second.seq, third.seq), (first.seq, first.seq + 1));
    let stored = world.one.get(Stream::Inbox, first.seq).await.unwrap().unwrap();
    assert!(stored.headers.is_empty(), "a message that is passed on must not repeat its id: {:?}", stored.headers);
}

pub(crate) async fn the_order_of_calls_is_the_order_in_the_stream(world: World) {
    let subject = world.one.subjects().history(&key("a"));
    let calls: Vec<_> = (0..5_000).map(|_| world.one.publish(message(subject.clone(), "x"))).collect();
    let seqs: Vec<_> = try_join_all(calls).await.unwrap().into_iter().map(|ack| ack.seq).collect();
    assert_eq!(seqs, (1..=5_000).collect::<Vec<_>>());
}

pub(crate) async fn a_message_that_is_too_large_is_refused_and_the_others_go_on(world: World) {
    let history = |id| world.one.subjects().history(&key(id));
    let sized = |id, size| Publish { payload: Bytes::from(vec![0; size]), ..message(history(id), "") };
    let max = world.one.payload_max();
    let with_headers = Publish { headers: Headers::new().with("Hw-Reason", "x".repeat(40)), ..sized("b", max - 30) };
    let (before, large, larger, after) = tokio::join!(
        world.one.publish(sized("a", 10)),
        world.one.publish(sized("b", max + 1)),
        world.one.publish(with_headers),
        world.one.publish(sized("c", 10)),
    );
    assert_eq!(large.unwrap_err().kind, ErrorKind::TooLarge);
    assert_eq!(larger.unwrap_err().kind, ErrorKind::TooLarge);
    assert_eq!((before.unwrap().seq, after.unwrap().seq), (1, 2));
    world.one.publish(sized("d", max)).await.unwrap();
}

pub(crate) async fn a_subject_that_cannot_be_sent_to_is_an_error(world: World) {
    let root = world.one.subjects().history(&key("a"));
    for bad in ["*", ">", "a b", "a\r\nPUB x 0", "a\0b", ""] {
        let error = world.one.publish(message(format!("{root}.{bad}"), "x")).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Other, "{bad:?}: {error}");
    }
    let long = world.one.publish(message(format!("{root}.{}", "x".repeat(5_000)), "x")).await.unwrap_err();
    assert_eq!(long.kind, ErrorKind::Other, "{long}");
    let name = Publish { headers: Headers::new().with("a\r\nb", "c"), ..message(root.clone(), "x") };
    assert_eq!(world.one.publish(name).await.unwrap_err().kind, ErrorKind::Other);
    world.one.publish(message(root, "x")).await.unwrap();
}

pub(crate) async fn the_servers_partition_is_the_one_that_the_engine_computes(world: World) {
    let subjects = world.one.subjects();
    let name = TypeName::new("ship it").unwrap();
    let ids = (0..300).map(|i| match i % 4 {
        0 => format!("order-{i}"),
        1 => format!("customer.{i}/ä"),
        2 => format!("{i}={i} *>"),
        _ => format!("\u{65e5}\u{672c}{i}\r\n"),
    });
    let keys: Vec<_> = ids.map(|id| key(&id)).collect();
    let stored = try_join_all(keys.iter().map(|key| {
        let subject = subjects.public(Verb::Start, &queue(), Some(&name), key);
        world.one.publish(message(subject, "x"))
    }));
    for (key, ack) in keys.iter().zip(stored.await.unwrap()) {
        let found = world.one.get(Stream::Inbox, ack.seq).await.unwrap().unwrap();
        assert_eq!(found.subject, subjects.inbox_public(Verb::Start, &queue(), Some(&name), key));
    }
    let partitions: std::collections::BTreeSet<_> = keys.iter().map(|key| key.partition(64)).collect();
    assert!(partitions.len() > 60, "the keys reach only {} partitions", partitions.len());
}

pub(crate) async fn what_no_transform_matches_is_stored_under_its_own_subject(world: World) {
    let subject = world.one.subjects().public_all().replace('>', "start.too.short");
    let seq = world.one.publish(message(subject.clone(), "x")).await.unwrap().seq;
    assert_eq!(world.one.get(Stream::Inbox, seq).await.unwrap().unwrap().subject, subject);
}

pub(crate) async fn a_purge_takes_a_subject_up_to_a_sequence_and_nothing_else(world: World) {
    let subjects = world.one.subjects();
    let cancel = |id: &str| message(subjects.public(Verb::Cancel, &queue(), None, &key(id)), "x");
    let other = QueueName::new("other").unwrap();
    let elsewhere = message(subjects.public(Verb::Cancel, &other, None, &key("a")), "x");
    let partition = key("a").partition(64);
    let mut seqs = Vec::new();
    for stored in [cancel("a"), elsewhere, cancel("a"), cancel("a")] {
        seqs.push(world.one.publish(stored).await.unwrap().seq);
    }
    let filter = subjects.inbox_of(partition, &queue());
    assert_eq!(world.one.purge(Stream::Inbox, filter.clone(), 0).await.unwrap(), 0, "nothing is at or below zero");
    assert_eq!(world.one.purge(Stream::Inbox, filter.clone(), seqs[2]).await.unwrap(), 2);
    let left = join_all(seqs.iter().map(|seq| world.one.get_from_leader(Stream::Inbox, *seq))).await;
    let left: Vec<_> = left.into_iter().map(|found| found.unwrap().is_some()).collect();
    assert_eq!(left, [false, true, false, true]);
    assert_eq!(world.one.last_seq(Stream::Inbox).await.unwrap(), seqs[3]);
}

pub(crate) async fn after_a_purge_a_subject_is_as_if_it_was_never_used(world: World) {
    let subject = world.one.subjects().history(&key("a"));
    let write = || Publish { expect_last: Some(0), ..message(subject.clone(), "1") };
    let first = world.one.publish(write()).await.unwrap().seq;
    world.one.purge(Stream::History, subject.clone(), first).await.unwrap();
    assert_eq!(world.one.publish(write()).await.unwrap().seq, first + 1);
}

pub(crate) async fn deleting_what_is_not_there_is_no_error(world: World) {
    let subject = world.one.subjects().history(&key("a"));
    let seq = world.one.publish(message(subject.clone(), "1")).await.unwrap().seq;
    let kept = world.one.publish(message(subject, "2")).await.unwrap().seq;
    for _ in 0..2 {
        world.one.delete(Stream::History, seq).await.unwrap();
    }
    world.one.delete(Stream::History, 1_000).await.unwrap();
    assert_eq!(world.one.get_from_leader(Stream::History, seq).await.unwrap(), None);
    assert!(world.one.get_from_leader(Stream::History, kept).await.unwrap().is_some());
}

pub(crate) async fn what_is_not_there_is_none(world: World) {
    let subject = world.one.subjects().history(&key("a"));
    assert_eq!(world.one.get(Stream::History, 1).await.unwrap(), None);
    assert_eq!(world.one.get_from_leader(Stream::History, 1).await.unwrap(), None);
    assert_eq!(world.one.last(Stream::History, subject.clone()).await.unwrap(), None);
    assert_eq!(world.one.last_from_leader(Stream::History, subject).await.unwrap(), None);
    assert_eq!(world.one.last_seq(Stream::History).await.unwrap(), 0);
}

pub(crate) async fn the_last_message_below_a_wildcard_is_found(world: World) {
    let subjects = world.one.subjects();
    for (id, body) in [("a", "1"), ("b", "2"), ("a", "3")] {
        world.one.publish(message(subjects.public(Verb::Cancel, &queue(), None, &key(id)), body)).await.unwrap();
    }
    let filter = subjects.inbox_of_queue(&queue());
    let last = world.one.last(Stream::Inbox, filter.clone()).await.unwrap().unwrap();
    assert_eq!((last.seq, &last.payload[..]), (3, &b"3"[..]));
    assert_eq!(world.one.last_from_leader(Stream::Inbox, filter).await.unwrap(), Some(last));
}

pub(crate) async fn hundreds_of_reads_at_a_time_work(world: World) {
    let subjects = world.one.subjects();
    let writes = (0..500).map(|i| world.one.publish(message(subjects.history(&key(&i.to_string())), "x")));
    try_join_all(writes).await.unwrap();
    let direct = try_join_all((1..=500).map(|seq| world.one.get(Stream::History, seq))).await.unwrap();
    let leader = try_join_all((1..=500).map(|seq| world.one.get_from_leader(Stream::History, seq))).await.unwrap();
    assert!(direct.iter().zip(1..).all(|(found, seq)| found.as_ref().is_some_and(|found| found.seq == seq)));
    assert_eq!(direct, leader);
}

pub(crate) async fn reads_of_many_are_answered_in_their_order_and_with_those_that_are_not_there(world: World) {
    let subject = world.one.subjects().history(&key("a"));
    for body in 1..=64 {
        let numbered = Publish { payload: body.to_string().into(), ..message(subject.clone(), "") };
        world.one.publish(numbered).await.unwrap();
    }
    world.one.delete(Stream::History, 7).await.unwrap();
    let seqs: Vec<u64> = (1..=70).rev().collect();
    let mut found = within(world.two.get_each(Stream::History, &seqs).collect::<Vec<_>>()).await.into_iter();
    for seq in seqs {
        let found = found.next().unwrap().unwrap();
        let body = found.as_ref().map(|found| (found.seq, str::from_utf8(&found.payload).unwrap().to_owned()));
        assert_eq!(body, (seq != 7 && seq <= 64).then(|| (seq, seq.to_string())));
    }
    assert!(found.next().is_none());
    assert_eq!(world.two.get_each(Stream::History, &[]).count().await, 0);
}

pub(crate) async fn the_servers_time_is_that_of_its_messages(world: World) {
    let before = world.one.server_time().await.unwrap();
    let seq = world.one.publish(message(world.one.subjects().history(&key("a")), "x")).await.unwrap().seq;
    let stored = world.one.get(Stream::History, seq).await.unwrap().unwrap().time;
    let after = world.one.server_time().await.unwrap();
    assert!(before <= stored && stored <= after, "{before} {stored} {after}");
}

pub(crate) async fn an_id_outlives_its_message(world: World) {
    let subjects = world.one.subjects();
    let subject = subjects.public(Verb::Cancel, &queue(), None, &key("a"));
    let write = |id: &str| Publish { id: Some(id.into()), ..message(subject.clone(), "x") };
    let purged = world.one.publish(write("1")).await.unwrap().seq;
    let filter = subjects.inbox_of(key("a").partition(64), &queue());
    world.one.purge(Stream::Inbox, filter, purged).await.unwrap();
    let deleted = world.one.publish(write("2")).await.unwrap().seq;
    world.one.delete(Stream::Inbox, deleted).await.unwrap();
    for (id, seq) in [("1", purged), ("2", deleted)] {
        let again = world.one.publish(write(id)).await.unwrap();
        assert_eq!((again.seq, again.duplicate), (seq, true));
    }
}

pub(crate) async fn the_place_of_a_repeat_is_checked_first(world: World) {
    let subject = world.one.subjects().history(&key("a"));
    let write =
        |expected| Publish { id: Some("1".into()), expect_last: Some(expected), ..message(subject.clone(), "x") };
    let first = world.one.publish(write(0)).await.unwrap().seq;
    assert_eq!(world.one.publish(write(0)).await.unwrap_err().kind, ErrorKind::Conflict);
    let again = world.one.publish(write(first)).await.unwrap();
    assert_eq!((again.seq, again.duplicate), (first, true));
}

pub(crate) async fn without_its_last_message_a_subject_is_where_it_was_before(world: World) {
    let subject = world.one.subjects().history(&key("a"));
    let first = world.one.publish(message(subject.clone(), "1")).await.unwrap().seq;
    let second = world.one.publish(message(subject.clone(), "2")).await.unwrap().seq;
    world.one.delete(Stream::History, second).await.unwrap();
    let last = world.one.last_from_leader(Stream::History, subject.clone()).await.unwrap().unwrap();
    assert_eq!(last.seq, first);
    let write = |expected| Publish { expect_last: Some(expected), ..message(subject.clone(), "3") };
    assert_eq!(world.one.publish(write(second)).await.unwrap_err().kind, ErrorKind::Conflict);
    assert_eq!(world.one.publish(write(first)).await.unwrap().seq, second + 1);
}

pub(crate) async fn a_subject_that_no_stream_takes_has_nobody_to_answer(world: World) {
    let error = world.one.publish(message(world.one.subjects().closed(&key("a")), "x")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NoResponders);
}

pub(crate) async fn the_servers_headers_are_not_for_callers_to_set(world: World) {
    let subject = world.one.subjects().history(&key("a"));
    for name in ["Nats-Rollup", "nats-msg-id"] {
        let write = Publish { headers: Headers::new().with(name, "x"), ..message(subject.clone(), "x") };
        assert_eq!(world.one.publish(write).await.unwrap_err().kind, ErrorKind::Other, "{name}");
    }
}

pub(crate) async fn what_is_sent_to_a_stream_is_stored_and_heard(world: World) {
    let subjects = world.one.subjects();
    let subject = subjects.public(Verb::Cancel, &queue(), None, &key("a"));
    let mut heard = world.two.subscribe(subject.clone()).await.unwrap();
    let headers = Headers::new().with("Hw-Kind", "x");
    let plain =
        PlainMessage { subject: subject.clone(), reply: None, headers: headers.clone(), payload: "plain".into() };
    world.one.send(plain).await.unwrap();
    world.one.flush().await.unwrap();
    world.one.publish(message(subject.clone(), "stored")).await.unwrap();
    let stored = world.one.get_from_leader(Stream::Inbox, 1).await.unwrap().unwrap();
    let inbox = subjects.inbox_public(Verb::Cancel, &queue(), None, &key("a"));
    assert_eq!((stored.subject, stored.headers, &stored.payload[..]), (inbox, headers, &b"plain"[..]));
    for body in ["plain", "stored"] {
        let told = within(heard.next()).await.unwrap();
        assert_eq!((told.subject.as_str(), &told.payload[..]), (subject.as_str(), body.as_bytes()));
    }
}
