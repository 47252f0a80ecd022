//! Small values.

use std::time::Duration;

use highwater_broker::{Bucket, Entry, ErrorKind, KvEvent};
use tokio::time::Instant;

use crate::{World, next_event};

fn put(key: &str, value: &'static str, revision: u64) -> KvEvent {
    KvEvent::Put { key: key.into(), entry: Entry { value: value.into(), revision } }
}

fn gone(key: &str) -> KvEvent {
    KvEvent::Gone { key: key.into() }
}

pub(crate) async fn a_value_is_read_back(world: World) {
    assert_eq!(world.one.kv_get(Bucket::Offsets, "0.1.q=2E".into()).await.unwrap(), None);
    let revision = world.one.kv_put(Bucket::Offsets, "0.1.q=2E".into(), "v".into(), None).await.unwrap();
    let found = world.two.kv_get(Bucket::Offsets, "0.1.q=2E".into()).await.unwrap();
    assert_eq!(found, Some(Entry { value: "v".into(), revision }));
    assert_eq!(world.two.kv_get(Bucket::Offsets, "0.1".into()).await.unwrap(), None);
}

pub(crate) async fn a_write_with_an_old_revision_is_refused(world: World) {
    let put = |value: &'static str, revision| world.one.kv_put(Bucket::Offsets, "k".into(), value.into(), revision);
    let first = put("1", None).await.unwrap();
    let second = put("2", Some(first)).await.unwrap();
    for old in [first, second + 1, 0] {
        assert_eq!(put("3", Some(old)).await.unwrap_err().kind, ErrorKind::Conflict);
    }
    assert_eq!(world.two.kv_get(Bucket::Offsets, "k".into()).await.unwrap().unwrap().value, "2");
    put("3", Some(second)).await.unwrap();
}

pub(crate) async fn a_key_can_be_made_once(world: World) {
    let make = |broker: &std::sync::Arc<dyn highwater_broker::Broker>| {
        broker.kv_put(Bucket::Offsets, "k".into(), "v".into(), Some(0))
    };
    let (one, two) = tokio::join!(make(&world.one), make(&world.two));
    match (one, two) {
        (Ok(_), Err(loser)) | (Err(loser), Ok(_)) => assert_eq!(loser.kind, ErrorKind::Conflict),
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn a_deleted_key_can_be_made_again(world: World) {
    let key = || "k".to_owned();
    let first = world.one.kv_put(Bucket::Offsets, key(), "1".into(), Some(0)).await.unwrap();
    world.one.kv_delete(Bucket::Offsets, key()).await.unwrap();
    assert_eq!(world.one.kv_get(Bucket::Offsets, key()).await.unwrap(), None);
    let old = world.one.kv_put(Bucket::Offsets, key(), "2".into(), Some(first)).await;
    assert_eq!(old.unwrap_err().kind, ErrorKind::Conflict);
    world.one.kv_put(Bucket::Offsets, key(), "2".into(), Some(0)).await.unwrap();
    let again = world.one.kv_put(Bucket::Offsets, key(), "3".into(), Some(0)).await;
    assert_eq!(again.unwrap_err().kind, ErrorKind::Conflict);
    world.one.kv_delete(Bucket::Offsets, "never".into()).await.unwrap();
}

pub(crate) async fn a_watcher_tells_values_then_changes(world: World) {
    let mut early = world.one.kv_watch(Bucket::Offsets).await.unwrap();
    assert_eq!(next_event(&mut early).await, KvEvent::CaughtUp);
    for (key, value) in [("a", "1"), ("b", "1"), ("c", "1"), ("a", "2")] {
        world.two.kv_put(Bucket::Offsets, key.into(), value.into(), None).await.unwrap();
    }
    world.two.kv_delete(Bucket::Offsets, "c".into()).await.unwrap();
    for event in [put("a", "1", 1), put("b", "1", 2), put("c", "1", 3), put("a", "2", 4), gone("c")] {
        assert_eq!(next_event(&mut early).await, event);
    }

    let mut late = world.one.kv_watch(Bucket::Offsets).await.unwrap();
    for event in [put("b", "1", 2), put("a", "2", 4), KvEvent::CaughtUp] {
        assert_eq!(next_event(&mut late).await, event);
    }
    // What was gone before is no news, neither is deleting it again.
    world.two.kv_delete(Bucket::Offsets, "c".into()).await.unwrap();
    world.two.kv_put(Bucket::Offsets, "c".into(), "2".into(), None).await.unwrap();
    assert_eq!(next_event(&mut late).await, put("c", "2", 7));
    assert_eq!(next_event(&mut early).await, put("c", "2", 7));
}

pub(crate) async fn an_expired_entry_is_told_as_gone(world: World) {
    let ttl = world.one.kv_ttl(Bucket::Workers).expect("workers expire");
    assert_eq!(world.one.kv_ttl(Bucket::Offsets), None);
    let mut watcher = world.one.kv_watch(Bucket::Workers).await.unwrap();
    assert_eq!(next_event(&mut watcher).await, KvEvent::CaughtUp);
    let start = Instant::now();
    let first = world.one.kv_put(Bucket::Workers, "dies".into(), "1".into(), None).await.unwrap();
    assert_eq!(next_event(&mut watcher).await, put("dies", "1", first));
    // One that renews its entry in the meantime lives.
    let mut beat = tokio::time::interval(ttl / 3);
    loop {
        tokio::select! {
            _ = beat.tick() => {
                world.one.kv_put(Bucket::Workers, "lives".into(), "2".into(), None).await.unwrap();
            }
            event = next_event(&mut watcher) => match event {
                KvEvent::Put { key, .. } => assert_eq!(key, "lives"),
                event => {
                    assert_eq!(event, gone("dies"));
                    break;
                }
            },
        }
    }
    assert!(start.elapsed() >= ttl, "{:?}", start.elapsed());
    assert!(start.elapsed() < ttl + Duration::from_secs(4), "told late: {:?}", start.elapsed());
    assert_eq!(world.one.kv_get(Bucket::Workers, "dies".into()).await.unwrap(), None);
    let keys: Vec<_> = world.one.kv_list(Bucket::Workers).await.unwrap().into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["lives"]);
    // An expired key can be made anew.
    world.one.kv_put(Bucket::Workers, "dies".into(), "3".into(), Some(0)).await.unwrap();
}

pub(crate) async fn a_list_has_every_value_and_nothing_deleted(world: World) {
    assert!(world.one.kv_list(Bucket::Offsets).await.unwrap().is_empty());
    for i in 0..200 {
        world.one.kv_put(Bucket::Offsets, format!("0.{i}.q"), format!("{i}").into(), None).await.unwrap();
    }
    world.one.kv_delete(Bucket::Offsets, "0.7.q".into()).await.unwrap();
    let mut list = world.two.kv_list(Bucket::Offsets).await.unwrap();
    list.sort_by_key(|(_, entry)| entry.revision);
    let expected: Vec<_> = (0..200u64)
        .filter(|i| *i != 7)
        .map(|i| (format!("0.{i}.q"), Entry { value: i.to_string().into(), revision: i + 1 }))
        .collect();
    assert_eq!(list, expected);
}

pub(crate) async fn an_impossible_key_is_an_error(world: World) {
    for bad in ["", ".", "a.", ".a", "a b", "*", ">", "a.*", "é", "a\r\n"] {
        let error = world.one.kv_put(Bucket::Offsets, bad.into(), "x".into(), None).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Other, "{bad:?}");
        assert!(world.one.kv_get(Bucket::Offsets, bad.into()).await.is_err(), "{bad:?}");
    }
}

pub(crate) async fn an_unconditional_write_brings_a_deleted_key_back(world: World) {
    let put = |value: &'static str, revision| world.one.kv_put(Bucket::Offsets, "k".into(), value.into(), revision);
    let first = put("1", None).await.unwrap();
    world.one.kv_delete(Bucket::Offsets, "k".into()).await.unwrap();
    let second = put("2", None).await.unwrap();
    assert_eq!(second, first + 2, "a deletion takes a revision");
    assert_eq!(put("3", Some(0)).await.unwrap_err().kind, ErrorKind::Conflict);
    let found = world.two.kv_get(Bucket::Offsets, "k".into()).await.unwrap();
    assert_eq!(found, Some(Entry { value: "2".into(), revision: second }));
}
