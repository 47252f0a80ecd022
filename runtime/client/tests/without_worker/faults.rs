//! What the client does when something goes wrong on the way.

use std::{
    future::IntoFuture,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use highwater_broker::{
    Broker, ErrorKind, PlainMessage, Publish, Stream,
    history::{self, Freshness},
    memory::MemoryOptions,
};
use highwater_client::{Client, Delivered, SignalError, StartError};
use highwater_devserver::DevServer;
use highwater_protocol::{Event, Namespace, Payload, RunId, Status, header, reply::Reply};
use tokio::{
    task::yield_now,
    time::{Instant, timeout},
};

use crate::{
    faulty::{Fault, Faulty},
    support::{DEADLINE, Fixture, key, queue, status},
};

fn is_history(message: &Publish) -> bool {
    message.expect_last.is_some()
}

#[tokio::test]
async fn a_lost_acknowledgement_neither_loses_nor_doubles_a_run() {
    let fixture = Fixture::new().await;
    let lost = AtomicU32::new(0);
    // The first acknowledgement of the request, and that of the record.
    let broker = Faulty::new(fixture.broker.clone(), move |message| {
        match (lost.fetch_add(1, Ordering::Relaxed), is_history(message)) {
            (0, false) | (_, true) => Fault::AckLost,
            _ => Fault::None,
        }
    });
    let handle = Client::new(broker).start_by_name("order", Payload::null()).id("o").await.unwrap();
    let last = fixture.last("o").await.unwrap();
    assert_eq!(Some(last.frame.run), handle.run_id());
    assert_eq!((fixture.inbox_len().await, last.frame.marks.inbox.seq), (1, 1));
}

#[tokio::test]
async fn a_start_that_loses_to_another_run_says_which() {
    let fixture = Fixture::new().await;
    let other = Arc::new(Mutex::new(None));
    let broker = Faulty::new(fixture.broker.clone(), {
        let (fixture, other) = (fixture.again(), other.clone());
        move |message| {
            if !is_history(message) || other.lock().unwrap().is_some() {
                return Fault::None;
            }
            let (fixture, other) = (fixture.again(), other.clone());
            Fault::After(Box::pin(async move {
                let first = fixture.begin("o").await;
                *other.lock().unwrap() = Some(first.frame.run);
            }))
        }
    });
    let error = Client::new(broker).start_by_name("order", Payload::null()).id("o").await.unwrap_err();
    let other = other.lock().unwrap().unwrap();
    assert!(matches!(&error, StartError::AlreadyRunning { run, .. } if *run == other), "{error}");
}

#[tokio::test]
async fn a_start_that_loses_to_a_run_that_ends_is_a_new_request() {
    let fixture = Fixture::new().await;
    let done = Arc::new(AtomicBool::new(false));
    let broker = Faulty::new(fixture.broker.clone(), {
        let fixture = fixture.again();
        move |message| {
            if !is_history(message) || done.swap(true, Ordering::Relaxed) {
                return Fault::None;
            }
            let fixture = fixture.again();
            Fault::After(Box::pin(async move {
                let first = fixture.begin("o").await;
                fixture.append_behind("o", &first, vec![Event::Completed { result: Payload::null() }]).await;
            }))
        }
    });
    let start = Client::new(broker).start_by_name("order", Payload::null()).id("o");
    let handle = start.id_reuse(highwater_client::IdReuse::Allow).await.unwrap();
    let last = fixture.last("o").await.unwrap();
    assert_eq!(Some(last.frame.run), handle.run_id());
    assert_eq!((fixture.inbox_len().await, last.frame.marks.inbox.seq), (2, 2), "the second request is another one");
}

#[tokio::test]
async fn a_termination_that_loses_a_race_goes_behind_the_winner() {
    let fixture = Fixture::new().await;
    fixture.begin("o").await;
    let races = AtomicU32::new(0);
    let broker = Faulty::new(fixture.broker.clone(), {
        let fixture = fixture.again();
        move |message| {
            if !is_history(message) || races.fetch_add(1, Ordering::Relaxed) >= 3 {
                return Fault::None;
            }
            let fixture = fixture.again();
            Fault::After(Box::pin(async move {
                let last = fixture.last("o").await.unwrap();
                fixture
                    .append_behind("o", &last, vec![Event::CancelRequested { reason: String::new(), from: None }])
                    .await;
            }))
        }
    });
    let handle = Client::new(broker).handle_by_name("o").unwrap();
    assert_eq!(handle.terminate("enough").await.unwrap(), Delivered::Accepted);
    let last = fixture.last("o").await.unwrap();
    assert_eq!((status(&last), last.frame.ordinal, last.frame.first_event), (Status::Terminated, 4, 5));
}

/// How long a start takes to give up, on the test's clock, and with what, when every publish fails. With `sent` the
/// server may have been sent it before, without an acknowledgement.
async fn give_up(kind: ErrorKind, sent: bool) -> (Duration, StartError) {
    let fixture = Fixture::new().await;
    let ids = Arc::new(Mutex::new(Vec::new()));
    let failing = Arc::new(Mutex::new(kind));
    let broker = Faulty::new(fixture.broker.clone(), {
        let (ids, failing) = (ids.clone(), failing.clone());
        move |message| {
            ids.lock().unwrap().push(message.id.clone());
            Fault::Fails(*failing.lock().unwrap())
        }
    });
    let client = Client::new(broker.clone());
    // The subscription to the answers is there after this, so that nothing below needs the network.
    fixture.begin("warm").await;
    *failing.lock().unwrap() = ErrorKind::Denied;
    assert!(client.handle_by_name("warm").unwrap().cancel("").await.is_err());
    *failing.lock().unwrap() = kind;
    ids.lock().unwrap().clear();
    broker.loses_offers.store(sent, Ordering::Relaxed);
    tokio::time::pause();
    let begun = Instant::now();
    let error = client.start_by_name("order", Payload::null()).id("o").await.unwrap_err();
    let took = begun.elapsed();
    tokio::time::resume();
    let ids = ids.lock().unwrap();
    assert!(ids[0].is_some() && ids.iter().all(|id| *id == ids[0]), "a repeat is the same message: {ids:?}");
    (took, error)
}

#[tokio::test]
async fn a_start_without_acknowledgement_is_repeated_for_half_the_window_and_then_unknown() {
    let (took, error) = give_up(ErrorKind::Unavailable, false).await;
    assert!(matches!(error, StartError::OutcomeUnknown { .. }) && !error.is_retryable(), "{error}");
    assert!((Duration::from_secs(13)..=Duration::from_secs(15)).contains(&took), "{took:?}");
    assert!(error.to_string().contains("describe it"), "{error}");
}

#[tokio::test]
async fn a_start_that_certainly_was_not_stored_is_no_mystery() {
    for kind in [ErrorKind::NoResponders, ErrorKind::Full] {
        let (_, error) = give_up(kind, false).await;
        assert!(matches!(error, StartError::Broker { .. }) && error.is_retryable(), "{error}");
    }
    let (took, error) = give_up(ErrorKind::Denied, false).await;
    assert!(matches!(error, StartError::Broker { .. }) && !error.is_retryable(), "{error}");
    assert!(took < Duration::from_secs(1));
}

#[tokio::test]
async fn a_start_that_was_sent_before_no_stream_took_it_may_be_stored() {
    for kind in [ErrorKind::NoResponders, ErrorKind::Full] {
        let (_, error) = give_up(kind, true).await;
        assert!(matches!(error, StartError::OutcomeUnknown { .. }), "{error}");
    }
    // A stream that refuses it does not know its id.
    let (_, error) = give_up(ErrorKind::Denied, true).await;
    assert!(matches!(error, StartError::Broker { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_start_that_is_stored_is_recorded_though_the_leader_is_gone_for_twice_as_long_as_an_answer_may_take() {
    let memory: Arc<dyn Broker> = Arc::new(MemoryOptions::new(Namespace::new("test").unwrap()).build());
    let broker = Faulty::new(memory.clone(), |_| Fault::None);
    broker.lost_gets.store(2, Ordering::Relaxed);
    let handle = Client::new(broker).start_by_name("order", Payload::null()).id("o").await.unwrap();
    let last = history::last(&*memory, &key("o"), Freshness::Leader).await.unwrap().unwrap();
    assert_eq!(Some(last.frame.run), handle.run_id());
}

#[tokio::test]
async fn an_owner_that_answers_while_the_leader_does_not_is_heard() {
    let fixture = Fixture::new().await;
    let broker = Faulty::new(fixture.broker.clone(), |_| Fault::None);
    broker.lost_gets.store(usize::MAX, Ordering::Relaxed);
    let start = Client::new(broker.clone()).start_by_name("order", Payload::null()).id("o").into_future();
    let owner = answer_once_lost(&fixture, &broker.lost_gets);
    let (handle, run) = timeout(DEADLINE, async { tokio::join!(start, owner) }).await.unwrap();
    assert_eq!(handle.unwrap().run_id(), Some(run));
    assert!(fixture.last("o").await.is_none(), "the record is the owner's to make");
}

#[tokio::test]
async fn an_owner_that_answers_a_start_with_an_update_while_the_leader_does_not_is_heard() {
    let fixture = Fixture::new().await;
    let broker = Faulty::new(fixture.broker.clone(), |_| Fault::None);
    let start = Client::new(broker.clone()).start_by_name("order", Payload::null()).id("o");
    let start = start.with_update_named::<_, u32, String>("add", &1).into_future();
    let owner = async {
        // The client looks before it asks, too.
        while fixture.inbox_len().await == 0 {
            yield_now().await;
        }
        broker.lost_looks.store(usize::MAX, Ordering::Relaxed);
        answer_once_lost(&fixture, &broker.lost_looks).await
    };
    let (started, run) = timeout(DEADLINE, async { tokio::join!(start, owner) }).await.unwrap();
    assert_eq!(started.unwrap().0.run_id(), Some(run));
}

/// Accepts the start in the inbox once the client has begun to look, and will get no answer.
async fn answer_once_lost(fixture: &Fixture, left: &AtomicUsize) -> RunId {
    while left.load(Ordering::Relaxed) == usize::MAX {
        yield_now().await;
    }
    let request = fixture.broker.get_from_leader(Stream::Inbox, 1).await.unwrap().unwrap();
    let run = request.headers.get(header::RUN).unwrap().parse().unwrap();
    let (headers, payload) = Reply::Accepted { run }.encode();
    let subject = request.headers.get(header::REPLY).unwrap().to_owned();
    fixture.broker.send(PlainMessage { subject, reply: None, headers, payload: payload.data }).await.unwrap();
    run
}

#[tokio::test]
async fn a_signal_is_not_retried_behind_the_callers_back_as_another_one() {
    let fixture = Fixture::new().await;
    fixture.begin("o").await;
    let first = AtomicBool::new(true);
    let broker = Faulty::new(fixture.broker.clone(), move |_| {
        if first.swap(false, Ordering::Relaxed) { Fault::AckLost } else { Fault::None }
    });
    let handle = Client::new(broker).handle_by_name("o").unwrap();
    assert_eq!(handle.signal("paid", &1).await.unwrap(), Delivered::Durable);
    assert_eq!(fixture.inbox_len().await, 1);

    let first = AtomicBool::new(true);
    let denied_later = Faulty::new(fixture.broker.clone(), move |_| {
        Fault::Fails(if first.swap(false, Ordering::Relaxed) { ErrorKind::Unavailable } else { ErrorKind::Denied })
    });
    let error = Client::new(denied_later).handle_by_name("o").unwrap().signal("paid", &1).await.unwrap_err();
    assert!(matches!(error, SignalError::OutcomeUnknown { .. }), "{error}");

    let denied = Faulty::new(fixture.broker.clone(), |_| Fault::Fails(ErrorKind::Denied));
    let error = Client::new(denied).handle_by_name("o").unwrap().signal("paid", &1).await.unwrap_err();
    assert!(matches!(error, SignalError::Broker { .. }), "{error}");
}

#[tokio::test]
async fn a_result_is_waited_for_through_a_restart_of_nats() {
    let server = DevServer::builder().start().await.unwrap();
    let fixture = Fixture::on(server.url()).await;
    let first = fixture.begin("o").await;
    let waiting = tokio::spawn(fixture.client.handle_by_name("o").unwrap().result().into_future());
    server.kill().await.unwrap();
    server.restart().await.unwrap();
    let deadline = Instant::now() + DEADLINE;
    while fixture.broker.server_time().await.is_err() {
        assert!(Instant::now() < deadline, "the connection never came back");
        tokio::task::yield_now().await;
    }
    fixture.append_behind("o", &first, vec![Event::Completed { result: Payload::json("7") }]).await;
    let result = timeout(DEADLINE, waiting).await.unwrap().unwrap();
    assert_eq!(result.unwrap(), Payload::json("7"));
    assert_eq!(fixture.last("o").await.unwrap().queue(), Some(queue()));
    server.stop().await.unwrap();
}
