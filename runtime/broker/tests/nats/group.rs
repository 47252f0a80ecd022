//! Group commit: the setting, the batches, and what a server does to them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use async_nats::HeaderMap;
use futures_util::{StreamExt, future::join_all};
use highwater_broker::{Broker, Delivered, Error, NamespaceError, PubAck, Publish, Stream, nats::NatsBroker};
use highwater_devserver::DevServer;
use highwater_protocol::namespace::Settings;

use crate::{connect, shop, within};

const HISTORY: &str = "HW_shop_HISTORY_0";

async fn careful_server() -> DevServer {
    DevServer::builder().sync_always(true).start().await.unwrap()
}

async fn grouped(server: &DevServer) -> NatsBroker {
    let settings = Settings { group_commit: true, ..Settings::default() };
    connect(server).await.create_namespace(&shop(), settings).await.unwrap()
}

async fn raw(server: &DevServer) -> (async_nats::Client, async_nats::jetstream::Context) {
    let client = async_nats::connect(server.url()).await.unwrap();
    (client.clone(), async_nats::jetstream::new(client))
}

/// The first message of a history.
fn first(number: usize) -> Publish {
    let payload = number.to_string().into();
    Publish { subject: format!("hw.shop.h.0.{number}"), payload, expect_last: Some(0), ..Publish::default() }
}

async fn store(broker: &dyn Broker, numbers: std::ops::Range<usize>) -> Vec<Result<PubAck, Error>> {
    within(join_all(numbers.map(|number| broker.publish(first(number))))).await
}

/// The batches in a stream, each with how many messages it has; those that are in none under the empty name.
async fn batches(js: &async_nats::jetstream::Context, stream: &str) -> BTreeMap<String, usize> {
    let stream = js.get_stream(stream).await.unwrap();
    let mut batches = BTreeMap::new();
    for seq in 1..=stream.cached_info().state.last_sequence {
        let message = stream.get_raw_message(seq).await.unwrap();
        let id = message.headers.get("Nats-Batch-Id").map(ToString::to_string).unwrap_or_default();
        *batches.entry(id).or_default() += 1;
    }
    batches
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_at_once_is_stored_in_batches_and_what_comes_alone_is_not() {
    let server = careful_server().await;
    let broker = grouped(&server).await;
    let (_client, js) = raw(&server).await;
    for number in 0..3 {
        broker.publish(first(number)).await.unwrap();
    }
    assert_eq!(batches(&js, HISTORY).await, BTreeMap::from([(String::new(), 3)]));
    let stored = store(&broker, 3..1_003).await;
    assert!(stored.iter().all(Result::is_ok));
    let batches = batches(&js, HISTORY).await;
    assert!(batches.len() < 20, "1,000 messages at once are few batches: {batches:?}");
    assert!(batches[""] < 50, "nearly all are in batches: {batches:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_can_be_changed_to_group_commit_and_back() {
    let server = careful_server().await;
    let connection = connect(&server).await;
    let plain = connection.create_namespace(&shop(), Settings::default()).await.unwrap();
    let (_client, js) = raw(&server).await;
    let allows = async || js.get_stream(HISTORY).await.unwrap().cached_info().config.allow_atomic_publish;
    // What an operator set stays.
    let mut config = js.get_stream(HISTORY).await.unwrap().cached_info().config.clone();
    config.max_bytes = 1 << 30;
    js.update_stream(&config).await.unwrap();

    let changed = connection.set_group_commit(&shop(), true).await.unwrap();
    assert!(changed.settings().group_commit && allows().await);
    assert!(connection.open_namespace(&shop()).await.unwrap().settings().group_commit);
    assert_eq!(js.get_stream(HISTORY).await.unwrap().cached_info().config.max_bytes, 1 << 30);
    assert!(store(&changed, 0..200).await.iter().all(Result::is_ok));
    // A process that had it open before goes on.
    assert!(store(&plain, 200..300).await.iter().all(Result::is_ok));

    assert!(!connection.set_group_commit(&shop(), false).await.unwrap().settings().group_commit);
    assert!(!allows().await);
    // So does one that knows it with group commit, message by message.
    assert!(store(&changed, 300..500).await.iter().all(Result::is_ok));
    let all = batches(&js, HISTORY).await;
    assert!(all[""] >= 300 && all.values().sum::<usize>() == 500, "{all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_lost_the_permission_is_named_and_gets_it_back() {
    let server = careful_server().await;
    grouped(&server).await;
    let (_client, js) = raw(&server).await;
    let mut config = js.get_stream(HISTORY).await.unwrap().cached_info().config.clone();
    config.allow_atomic_publish = false;
    js.update_stream(&config).await.unwrap();
    let connection = connect(&server).await;
    match connection.open_namespace(&shop()).await {
        Err(NamespaceError::Stream { stream, difference, .. }) => {
            assert_eq!((stream.as_str(), difference.as_str()), (HISTORY, "allow_atomic is false and must be true"));
        }
        other => panic!("{other:?}"),
    }
    connection.set_group_commit(&shop(), true).await.unwrap();
    connection.open_namespace(&shop()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_places_for_batches_are_taken_messages_go_singly() {
    let server = careful_server().await;
    let broker = grouped(&server).await;
    let (client, js) = raw(&server).await;
    // Fifty batches that nobody ends; the server keeps them for ten seconds.
    for number in 0..50 {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Batch-Id", format!("open{number}").as_str());
        headers.insert("Nats-Batch-Sequence", "1");
        let subject = format!("hw.shop.h.0.open{number}");
        let taken = client.request_with_headers(subject, headers, "x".into()).await.unwrap();
        assert!(taken.payload.is_empty(), "{taken:?}");
    }
    let stored = store(&broker, 0..200).await;
    assert!(stored.iter().all(Result::is_ok), "{stored:?}");
    assert_eq!(batches(&js, HISTORY).await, BTreeMap::from([(String::new(), 200)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_was_acknowledged_is_lost_and_nothing_is_stored_twice_when_the_server_is_killed() {
    let server = careful_server().await;
    let broker = Arc::new(grouped(&server).await);
    let writers = (0..200_usize).map(|writer| {
        let broker = broker.clone();
        // Each writes the first messages of histories of its own, and each of them until it hears that it is there.
        tokio::spawn(async move {
            let mut acked = Vec::new();
            for round in 0..10 {
                let number = round * 1_000 + writer;
                loop {
                    match broker.publish(first(number)).await {
                        Ok(ack) => break acked.push((number, Some(ack.seq))),
                        // The one before was stored, and its answer was lost.
                        Err(error) if error.kind == highwater_broker::ErrorKind::Conflict => {
                            break acked.push((number, None));
                        }
                        Err(error) => assert!(error.is_retryable(), "{error}"),
                    }
                    tokio::task::yield_now().await;
                }
            }
            acked
        })
    });
    let writers: Vec<_> = writers.collect();
    for stored in [400, 900, 1_400] {
        within(async {
            while broker.last_seq(Stream::History).await.is_ok_and(|seq| seq < stored) {
                tokio::task::yield_now().await;
            }
        })
        .await;
        server.kill().await.unwrap();
        server.restart().await.unwrap();
    }
    let mut acked = Vec::new();
    for writer in writers {
        acked.extend(within(writer).await.unwrap());
    }
    let mut reading = broker.read(Stream::History, Vec::new(), 1).await.unwrap();
    let mut stored = BTreeMap::new();
    while let Delivered::Message(message) = within(reading.next()).await.unwrap().unwrap() {
        let twice = stored.insert(message.subject.clone(), message.seq);
        assert_eq!(twice, None, "{} is stored twice", message.subject);
    }
    assert_eq!((acked.len(), stored.len()), (2_000, 2_000));
    for (number, seq) in acked {
        let at = stored[&first(number).subject];
        assert!(seq.is_none_or(|seq| seq == at), "{number} was told to be at {seq:?} and is at {at}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_makes_sure_that_a_batch_is_on_the_disk_before_it_hands_it_out() {
    let server = careful_server().await;
    let broker = grouped(&server).await;
    let (client, js) = raw(&server).await;
    let mut asked = client.subscribe(format!("$JS.API.STREAM.MSG.GET.{HISTORY}")).await.unwrap();
    client.flush().await.unwrap();
    assert!(store(&broker, 0..500).await.iter().all(Result::is_ok));
    let mut reading = broker.read(Stream::History, Vec::new(), 1).await.unwrap();
    let mut handed_out = 0;
    while let Delivered::Message(_) = within(reading.next()).await.unwrap().unwrap() {
        handed_out += 1;
    }
    assert_eq!(handed_out, 500);
    // What the broker asked before this was for the reader.
    broker.get_from_leader(Stream::History, 999_999).await.unwrap();
    let mut looks = BTreeSet::new();
    loop {
        let question: serde_json::Value = serde_json::from_slice(&within(asked.next()).await.unwrap().payload).unwrap();
        match question["seq"].as_u64().unwrap() {
            999_999 => break,
            seq => assert!(looks.insert(seq)),
        }
    }
    let batches = batches(&js, HISTORY).await.into_keys().filter(|id| !id.is_empty()).count();
    assert_eq!(looks.len(), batches, "one look at every batch: {looks:?}");
}
