//! Making, opening and checking namespaces.

use futures_util::future::{join_all, try_join_all};
use highwater_broker::{Broker, ErrorKind, NamespaceError, Publish, Stream};
use highwater_protocol::{Namespace, namespace::Settings};

use crate::{connect, server, shop, within};

/// A raw client, to do what Highwater would not.
async fn raw(server: &highwater_devserver::DevServer) -> async_nats::jetstream::Context {
    async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_is_made_once_and_opened_after() {
    let server = server("").await;
    let connection = connect(&server).await;
    assert!(matches!(connection.open_namespace(&shop()).await, Err(NamespaceError::NotFound(name)) if name == "shop"));
    let settings = Settings { partitions: 16, ..Settings::default() };
    let made = connection.create_namespace(&shop(), settings.clone()).await.unwrap();
    assert_eq!((made.settings(), made.subjects().partitions()), (&settings, 16));
    connection.create_namespace(&shop(), settings.clone()).await.unwrap();
    for opened in [connection.open_namespace(&shop()).await, connection.open_or_create(&shop()).await] {
        assert_eq!(opened.unwrap().settings(), &settings);
    }
    let other = Settings { partitions: 32, ..Settings::default() };
    match connection.create_namespace(&shop(), other.clone()).await {
        Err(NamespaceError::Different { name, found, wanted }) => {
            assert_eq!((name.as_str(), found, wanted), ("shop", settings, other));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_use_makes_a_namespace_with_the_default_settings() {
    let server = server("").await;
    let opened = connect(&server).await.open_or_create(&Namespace::default()).await.unwrap();
    assert_eq!(opened.settings(), &Settings::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn several_processes_can_make_a_namespace_at_once() {
    let server = server("").await;
    let connections = join_all((0..8).map(|_| connect(&server))).await;
    let (shop, default) = (shop(), Namespace::default());
    let made = connections.iter().map(|connection| connection.create_namespace(&shop, Settings::default()));
    try_join_all(made).await.unwrap();
    let opened = connections.iter().map(|connection| connection.open_or_create(&default));
    try_join_all(opened).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_different_wishes_at_once_one_wins_and_the_others_hear_of_it() {
    let server = server("").await;
    let connections = join_all((0..8).map(|_| connect(&server))).await;
    for round in 0..4 {
        let namespace = Namespace::new(format!("n{round}")).unwrap();
        let made = join_all(connections.iter().zip(1..).map(|(connection, partitions)| {
            connection.create_namespace(&namespace, Settings { partitions, ..Settings::default() })
        }))
        .await;
        let winners: Vec<_> = made.iter().flatten().map(|broker| broker.settings().partitions).collect();
        let [winner] = winners[..] else { panic!("{winners:?}") };
        for loser in made.into_iter().filter_map(Result::err) {
            assert!(matches!(&loser, NamespaceError::Different { found, .. } if found.partitions == winner), "{loser}");
        }
        assert_eq!(connections[0].open_namespace(&namespace).await.unwrap().settings().partitions, winner);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_half_made_is_completed_by_whoever_comes() {
    let server = server("").await;
    let connection = connect(&server).await;
    let js = raw(&server).await;
    let settings = Settings { partitions: 8, ..Settings::default() };
    // With the last key away it looks as after an interruption; with streams away too, as after an earlier one.
    let gone: [&[&str]; 3] = [&[], &["HW_shop_INBOX_0", "KV_HW_shop_offsets"], &["HW_shop_HISTORY_0"]];
    for missing in gone {
        connection.create_namespace(&shop(), settings.clone()).await.unwrap();
        js.get_key_value("HW_shop_config").await.unwrap().purge("namespace").await.unwrap();
        for stream in missing {
            js.delete_stream(stream).await.unwrap();
        }
        let opened = connection.open_namespace(&shop()).await.unwrap();
        assert_eq!(opened.settings(), &settings);
        opened.publish(Publish { subject: "hw.shop.h.0.a".into(), ..Publish::default() }).await.unwrap();
        connection.create_namespace(&shop(), settings.clone()).await.unwrap();
    }
    // A bucket without a claim is nobody's yet.
    js.get_key_value("HW_shop_config").await.unwrap().purge("namespace").await.unwrap();
    js.get_key_value("HW_shop_config").await.unwrap().purge("creating").await.unwrap();
    assert!(matches!(connection.open_namespace(&shop()).await, Err(NamespaceError::NotFound(_))));
    connection.create_namespace(&shop(), settings).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_was_changed_or_taken_away_is_named() {
    let server = server("").await;
    let connection = connect(&server).await;
    connection.open_or_create(&shop()).await.unwrap();
    let js = raw(&server).await;
    let changed = async |name: &str| match connection.open_namespace(&shop()).await {
        Err(NamespaceError::Stream { stream, difference, .. }) => {
            assert_eq!(stream, name);
            difference
        }
        other => panic!("{other:?}"),
    };
    let mut config = js.get_stream("HW_shop_HISTORY_0").await.unwrap().cached_info().config.clone();
    config.max_age = std::time::Duration::from_hours(1);
    js.update_stream(&config).await.unwrap();
    assert!(changed("HW_shop_HISTORY_0").await.starts_with("max_age"));
    config.max_age = std::time::Duration::ZERO;
    // An operator may bound what refuses new messages.
    config.max_bytes = 1 << 30;
    js.update_stream(&config).await.unwrap();
    connection.open_namespace(&shop()).await.unwrap();

    js.delete_stream("HW_shop_TIMERS_0").await.unwrap();
    assert_eq!(changed("HW_shop_TIMERS_0").await, "it is missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_stream_refuses_and_says_so() {
    let server = server("").await;
    let broker = connect(&server).await.open_or_create(&shop()).await.unwrap();
    let js = raw(&server).await;
    let mut config = js.get_stream("HW_shop_HISTORY_0").await.unwrap().cached_info().config.clone();
    config.max_messages = 2;
    js.update_stream(&config).await.unwrap();
    let publish = || broker.publish(Publish { subject: "hw.shop.h.0.a".into(), ..Publish::default() });
    publish().await.unwrap();
    publish().await.unwrap();
    assert_eq!(publish().await.unwrap_err().kind, ErrorKind::Full);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_description_tells_how_much_there_is() {
    let server = server("").await;
    let connection = connect(&server).await;
    let broker = connection.open_or_create(&shop()).await.unwrap();
    for _ in 0..3 {
        broker.publish(Publish { subject: "hw.shop.h.0.a".into(), ..Publish::default() }).await.unwrap();
    }
    broker.delete(Stream::History, 1).await.unwrap();
    let _reader = broker.read(Stream::History, Vec::new(), 1).await.unwrap();
    let status = connection.describe(&shop()).await.unwrap();
    assert_eq!(status.settings, Settings::default());
    assert_eq!(status.streams.len(), 5);
    let history = &status.streams[0];
    assert_eq!((history.stream, history.name.as_str()), (Stream::History, "HW_shop_HISTORY_0"));
    assert_eq!((history.messages, history.first_seq, history.last_seq, history.consumers), (2, 2, 3, 1));
    assert!(history.bytes > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_cannot_be_are_refused() {
    let server = server("").await;
    let connection = connect(&server).await;
    let refuse = async |settings| within(connection.create_namespace(&shop(), settings)).await.unwrap_err();
    let two = refuse(Settings { replicas: 2, ..Settings::default() }).await;
    assert!(matches!(two, NamespaceError::Settings(_)), "{two}");
    // One server cannot hold three replicas.
    let three = refuse(Settings { replicas: 3, ..Settings::default() }).await;
    assert!(three.to_string().contains("replicas"), "{three}");
    connection.create_namespace(&shop(), Settings::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_jetstream_is_told() {
    // An account for which it is off.
    let server = server("accounts { A { jetstream: disabled, users: [ { user: a, password: a } ] } }").await;
    let options = highwater_broker::nats::ConnectOptions::new(server.url()).user("a", "a");
    let connection = highwater_broker::nats::NatsConnection::connect(options).await.unwrap();
    for refused in [
        within(connection.create_namespace(&shop(), Settings::default())).await,
        within(connection.open_namespace(&shop())).await,
        within(connection.open_or_create(&shop())).await,
    ] {
        assert!(matches!(refused, Err(NamespaceError::NoJetStream)), "{refused:?}");
    }
}
