//! Servers that go away and come back.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures_util::{FutureExt, StreamExt, future::join_all};
use highwater_broker::{Broker, Bucket, Delivered, ErrorKind, KvEvent, PlainMessage, Publish, Stream};
use highwater_protocol::{Headers, QueueName};
use tokio::time::Instant;

use crate::{broker, connect, server, shop, within};

fn history(body: String) -> Publish {
    Publish { subject: "hw.shop.h.0.a".into(), payload: body.into(), ..Publish::default() }
}

/// Publishes for as long as it takes.
async fn insist(broker: &dyn Broker, message: Publish) -> u64 {
    within(async {
        loop {
            match broker.publish(message.clone()).await {
                Ok(ack) => return ack.seq,
                Err(error) => assert!(error.is_retryable(), "{error}"),
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_tells_everything_once_and_in_order_across_restarts() {
    let server = server("").await;
    let writer: Arc<dyn Broker> = Arc::new(broker(&server).await);
    let reader = broker(&server).await;
    let mut reading = reader.read(Stream::History, vec!["hw.shop.h.>".into()], 1).await.unwrap();
    let mut writing = tokio::spawn(async move {
        let mut last = 0;
        for i in 0..3_000 {
            last = insist(&*writer, history(i.to_string())).await;
        }
        last
    });
    let mut told = Vec::new();
    let mut caught_up = 0;
    let mut restarts = 0;
    let mut last = None;
    while last.is_none_or(|last| told.last() != Some(&last)) {
        tokio::select! {
            written = &mut writing, if last.is_none() => last = Some(written.unwrap()),
            item = within(reading.next()) => match item.unwrap().unwrap() {
                Delivered::Message(message) => told.push(message.seq),
                Delivered::CaughtUp => caught_up += 1,
            },
        }
        if told.len() > (restarts + 1) * 700 && restarts < 3 {
            restarts += 1;
            server.kill().await.unwrap();
            server.restart().await.unwrap();
        }
    }
    assert_eq!(restarts, 3);
    assert_eq!(told, (1..=*told.last().unwrap()).collect::<Vec<_>>());
    assert_eq!(caught_up, 1, "it is told once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_finds_out_when_its_connection_is_stuck() {
    let server = server("").await;
    let reader = broker(&server).await;
    let mut reading = reader.read(Stream::History, Vec::new(), 1).await.unwrap();
    assert_eq!(within(reading.next()).await.unwrap().unwrap(), Delivered::CaughtUp);
    server.pause().await.unwrap();
    // Longer than the silence that it takes for a sign of trouble.
    let silence = tokio::time::timeout(Duration::from_secs(4), reading.next()).await;
    assert!(silence.is_err(), "{silence:?}");
    server.resume().await.unwrap();
    let seq = insist(&reader, history("x".into())).await;
    match within(reading.next()).await.unwrap().unwrap() {
        Delivered::Message(message) => assert_eq!(message.seq, seq),
        Delivered::CaughtUp => panic!("it is told once"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_lost_messages_is_told_by_its_reader() {
    let server = server("").await;
    let reader = broker(&server).await;
    for i in 0..5 {
        insist(&reader, history(i.to_string())).await;
    }
    for fewer in [true, false] {
        let mut reading = reader.read(Stream::History, Vec::new(), 1).await.unwrap();
        let mut last = None;
        while let Delivered::Message(message) = within(reading.next()).await.unwrap().unwrap() {
            last = Some(message);
        }
        let last = last.unwrap().seq;
        // What a disk that forgot its last writes looks like: the stream again, with fewer messages or with others.
        let js = async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap());
        let config = js.get_stream("HW_shop_HISTORY_0").await.unwrap().cached_info().config.clone();
        js.delete_stream("HW_shop_HISTORY_0").await.unwrap();
        js.create_stream(config).await.unwrap();
        for i in 0..if fewer { last - 1 } else { last } {
            insist(&reader, history(i.to_string())).await;
        }
        let error = within(reading.next()).await.unwrap().unwrap_err();
        assert_eq!(error.kind, ErrorKind::Other);
        assert!(error.to_string().contains("went backwards"), "{error}");
        assert!(within(reading.next()).await.is_none(), "and it ends there");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_a_stream_that_is_deleted_ends_with_an_error() {
    let server = server("").await;
    let reader = broker(&server).await;
    let mut reading = reader.read(Stream::Rejected, Vec::new(), 1).await.unwrap();
    assert_eq!(within(reading.next()).await.unwrap().unwrap(), Delivered::CaughtUp);
    let js = async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap());
    js.delete_stream("HW_shop_REJECTED").await.unwrap();
    assert_eq!(within(reading.next()).await.unwrap().unwrap_err().kind, ErrorKind::NotFound);
    assert!(within(reading.next()).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_tells_everything_again_after_an_interruption() {
    let server = server("").await;
    let broker = broker(&server).await;
    let put = |key: &str, value: &'static str| broker.kv_put(Bucket::Offsets, key.into(), value.into(), None);
    put("stays", "1").await.unwrap();
    put("goes", "1").await.unwrap();
    let mut watching = broker.kv_watch(Bucket::Offsets).await.unwrap();
    let mut keys = BTreeSet::new();
    while let KvEvent::Put { key, .. } = within(watching.next()).await.unwrap().unwrap() {
        keys.insert(key);
    }
    assert_eq!(keys, ["goes", "stays"].map(String::from).into());

    // The watcher does not look while these happen.
    server.kill().await.unwrap();
    server.restart().await.unwrap();
    let other = connect(&server).await.open_namespace(&shop()).await.unwrap();
    let js = async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap());
    js.get_stream("KV_HW_shop_offsets").await.unwrap().purge().filter("$KV.HW_shop_offsets.goes").await.unwrap();
    other.kv_put(Bucket::Offsets, "comes".into(), "1".into(), None).await.unwrap();

    let mut told = BTreeSet::new();
    let mut gone = BTreeSet::new();
    loop {
        match within(watching.next()).await.unwrap().unwrap() {
            KvEvent::Put { key, .. } => _ = told.insert(key),
            KvEvent::Gone { key } => _ = gone.insert(key),
            KvEvent::CaughtUp => break,
        }
    }
    assert_eq!(told, ["comes", "stays"].map(String::from).into());
    assert_eq!(gone, ["goes".to_owned()].into());
    other.kv_put(Bucket::Offsets, "more".into(), "1".into(), None).await.unwrap();
    assert!(matches!(within(watching.next()).await.unwrap().unwrap(), KvEvent::Put { key, .. } if key == "more"));
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_and_subscriptions_go_on_after_a_restart() {
    let server = server("").await;
    let broker = broker(&server).await;
    let queue = QueueName::new("main").unwrap();
    let mut heard = broker.subscribe("hw.shop.closed.>".into()).await.unwrap();
    assert!(broker.take_tasks(queue.clone(), 1, Duration::from_millis(200)).await.unwrap().is_empty());
    for round in 0..2 {
        server.kill().await.unwrap();
        let waiting = tokio::spawn(broker.take_tasks(queue.clone(), 1, Duration::from_secs(20)));
        server.restart().await.unwrap();
        let task = Publish { subject: format!("hw.shop.act.0.main.5.r.{round}.1"), ..Publish::default() };
        insist(&broker, task).await;
        let tasks = within(waiting).await.unwrap().unwrap();
        assert_eq!(tasks.len(), 1);
        tasks[0].ack.done().await.unwrap();

        let subject = format!("hw.shop.closed.0.a{round}");
        let closed = PlainMessage { subject, reply: None, headers: Headers::new(), payload: "x".into() };
        within(async {
            broker.flush().await.unwrap();
            broker.send(closed.clone()).await.unwrap();
            assert_eq!(heard.next().await.unwrap().subject, closed.subject);
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_somebody_deleted_is_made_again() {
    let server = server("").await;
    let broker = broker(&server).await;
    let queue = QueueName::new("main").unwrap();
    let js = async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap());
    assert!(broker.take_tasks(queue.clone(), 1, Duration::from_millis(100)).await.unwrap().is_empty());
    // Once while a pull waits, once while none does.
    for round in 0..2 {
        js.get_stream("HW_shop_TASKS_0").await.unwrap().delete_consumer("act_main").await.unwrap();
        let task = Publish { subject: format!("hw.shop.act.0.main.5.r.{round}.1"), ..Publish::default() };
        insist(&broker, task).await;
        let tasks = within(broker.take_tasks(queue.clone(), 1, Duration::from_secs(20))).await.unwrap();
        assert_eq!(tasks.len(), 1);
        tasks[0].ack.done().await.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_waited_for_for_ten_seconds() {
    let server = server("").await;
    let broker = broker(&server).await;
    insist(&broker, history("0".into())).await;
    server.pause().await.unwrap();
    let start = Instant::now();
    let results = within(join_all((0..100).map(|i| broker.publish(history(i.to_string()))))).await;
    assert!(start.elapsed() >= Duration::from_secs(10), "{:?}", start.elapsed());
    for result in results {
        let error = result.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable);
        assert!(error.to_string().contains("no answer from hw.shop.h.0."), "{error}");
    }
    server.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_in_flight_when_the_server_dies_end_at_once_and_those_after_it_in_time() {
    let server = server("").await;
    let broker = broker(&server).await;
    insist(&broker, history("0".into())).await;
    server.pause().await.unwrap();
    let mut flying = join_all((0..100).map(|i| broker.publish(history(i.to_string()))));
    // Under way before the server dies: a call that begins later waits for a connection.
    assert!(FutureExt::now_or_never(&mut flying).is_none(), "the server stands still");
    broker.publish(history("late".into())).now_or_pending().await;
    let start = Instant::now();
    server.kill().await.unwrap();
    for result in within(flying).await {
        assert_eq!(result.unwrap_err().kind, ErrorKind::Unavailable);
    }
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());

    // Without a connection a call waits for one, and gives up in the end.
    let start = Instant::now();
    assert_eq!(broker.publish(history("x".into())).await.unwrap_err().kind, ErrorKind::Unavailable);
    assert!(start.elapsed() > Duration::from_secs(5) && start.elapsed() < Duration::from_secs(15));
    // What was given up is not sent later.
    let waiting = tokio::spawn(join_all((0..50).map(|i| broker.publish(history(format!("after {i}"))))));
    server.restart().await.unwrap();
    let seqs: Vec<_> = within(waiting).await.unwrap().into_iter().map(|result| result.unwrap().seq).collect();
    assert!(seqs.is_sorted(), "in the order of their calls: {seqs:?}");
    let last = broker.last_seq(Stream::History).await.unwrap();
    let mut bodies = BTreeSet::new();
    for seq in 1..=last {
        bodies.insert(broker.get(Stream::History, seq).await.unwrap().unwrap().payload);
    }
    assert!(!bodies.contains("x".as_bytes()));
    assert_eq!(bodies.iter().filter(|body| body.starts_with(b"after")).count(), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_asked_for_when_the_server_dies_opens_when_that_is_back() {
    let server = server("").await;
    drop(broker(&server).await);
    let connection = connect(&server).await;
    server.pause().await.unwrap();
    let mut opening = Box::pin(async move { connection.open_namespace(&shop()).await });
    assert!(FutureExt::now_or_never(&mut opening).is_none(), "the server stands still");
    let opening = tokio::spawn(opening);
    server.kill().await.unwrap();
    server.restart().await.unwrap();
    within(opening).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_that_get_lost_are_asked_for_again() {
    // A cluster that changes its leader drops them without a word. Here a tenth goes to somebody who never answers.
    let asked = "$JS.API.DIRECT.GET.HW_shop_HISTORY_0";
    let lossy = format!(
        "mappings {{ \"{asked}\": [{{ destination: \"{asked}\", weight: 90% }}, {{ destination: lost, weight: 10% }}] }}"
    );
    let server = server(&lossy).await;
    let broker = broker(&server).await;
    let mut lost = broker.subscribe("lost".into()).await.unwrap();
    for body in 1..=64 {
        broker.publish(history(body.to_string())).await.unwrap();
    }
    let seqs: Vec<u64> = (1..=64).collect();
    let found =
        within(broker.get_each(Stream::History, &seqs).map(|found| found.unwrap().unwrap().seq).collect::<Vec<_>>());
    assert_eq!(found.await, seqs);
    assert!(within(lost.next()).await.is_some());
}

/// Polls a future once.
trait NowOrPending: Future + Sized {
    async fn now_or_pending(self) {
        let _ = FutureExt::now_or_never(self);
    }
}

impl<F: Future> NowOrPending for F {}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_nobody_polls_while_the_server_is_away_holds_no_other_up() {
    let server = server("").await;
    drop(broker(&server).await);
    let connection = connect(&server).await;
    let broker = connection.open_namespace(&shop()).await.unwrap();
    server.kill().await.unwrap();
    within(async {
        while connection.is_connected() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // As a stream that is not read at the moment has it: begun, and then left alone.
    let mut left = broker.publish(history("left".into()));
    assert!(futures_util::poll!(&mut left).is_pending());
    server.restart().await.unwrap();
    insist(&broker, history("goes on".into())).await;
    within(left).await.unwrap();
}
