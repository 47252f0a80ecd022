//! Starting runs.

use std::{collections::HashSet, future::IntoFuture, time::Duration};

use crate::support::{DEADLINE, Fixture, first, key, next, started, status};
use futures_util::future::join_all;
use highwater_broker::{Broker, Stream};
use highwater_client::{IdConflict, IdReuse, StartError};
use highwater_protocol::{
    Event, Failure, Headers, OpId, Payload, RunId, Status, TypeName,
    event::{Sender, Signal, Trace},
    header,
    record::{Mark, Marks},
    subject::Verb,
};

const INPUT: &str = "{\"amount\":5}";

fn completed() -> Event {
    Event::Completed { result: Payload::json("1") }
}

#[tokio::test]
async fn without_a_worker_the_client_records_the_run_itself() {
    let fixture = Fixture::new().await;
    let trace = Trace { parent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into(), state: None };
    let handle = fixture
        .client
        .start_by_name("order", Payload::json(INPUT))
        .id("o 1")
        .queue("shop")
        .run_timeout(Duration::from_secs(9))
        .trace(trace.clone())
        .await
        .unwrap();

    let last = fixture.last("o 1").await.unwrap();
    let request = fixture.broker.get_from_leader(Stream::Inbox, fixture.inbox_len().await).await.unwrap().unwrap();
    assert_eq!(Some(last.frame.run), handle.run_id());
    assert_eq!((last.frame.ordinal, last.frame.first_event, last.frame.closed), (0, 1, false));
    let own = Mark { seq: request.seq, time: request.time };
    assert_eq!(last.frame.marks, Marks { inbox: own, fires: Mark::default() });
    assert_eq!(last.frame.time, request.time);
    assert_eq!(status(&last), Status::Running);
    assert_eq!(last.headers.get(header::TRACEPARENT), Some(trace.parent.as_str()));
    assert_eq!(request.headers.get(header::EXPECT), Some("0"));

    let body = last.body().unwrap();
    let [Event::Started(started)] = body.events.as_slice() else { panic!("{body:?}") };
    assert_eq!(started.workflow_id.as_str(), "o 1");
    assert_eq!((started.workflow_type.as_str(), started.queue.as_str()), ("order", "shop"));
    assert_eq!(started.input, Payload::json(INPUT));
    assert_eq!(started.run_timeout, Some(Duration::from_secs(9)));
    assert_eq!(started.reply.as_deref(), request.headers.get(header::REPLY));
    assert_eq!((started.prior, &started.trace), (None, &Some(trace)));
}

#[tokio::test]
async fn the_same_start_a_hundred_times_at_once_is_one_run() {
    let fixture = Fixture::new().await;
    let starts = (0..100).map(|_| fixture.client.start_by_name("order", Payload::null()).id("o").into_future());
    let mut runs = HashSet::new();
    let mut refused = 0;
    for outcome in join_all(starts).await {
        match outcome {
            Ok(handle) => {
                runs.insert(handle.run_id().unwrap());
            }
            Err(StartError::AlreadyRunning { run, .. }) => {
                refused += 1;
                runs.insert(run);
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!((runs.len(), refused), (1, 99));
    let last = fixture.last("o").await.unwrap();
    assert_eq!(Some(&last.frame.run), runs.iter().next());
    assert_eq!(last.frame.ordinal, 0);
}

#[tokio::test]
async fn a_hundred_starts_that_use_the_existing_run_all_get_it() {
    let fixture = Fixture::new().await;
    let starts = (0..100).map(|_| {
        let start = fixture.client.start_by_name("order", Payload::null()).id("o");
        start.id_conflict(IdConflict::UseExisting).into_future()
    });
    let runs: HashSet<_> = join_all(starts).await.into_iter().map(|handle| handle.unwrap().run_id().unwrap()).collect();
    assert_eq!(runs, HashSet::from([fixture.last("o").await.unwrap().frame.run]));
}

#[tokio::test]
async fn a_run_that_the_client_records_knows_what_other_runs_said_to_the_one_before() {
    let fixture = Fixture::new().await;
    let sender = |op| Sender { run: RunId::generate(), op: OpId(op) };
    let (signaled, cancelled) = (sender(1), sender(2));
    let first = fixture.begin("o").await;
    let signal = Signal { from: Some(signaled), ..Signal::new(TypeName::new("go").unwrap(), Payload::null()) };
    let told = vec![Event::Signaled(signal), Event::CancelRequested { reason: String::new(), from: Some(cancelled) }];
    let second = fixture.append_behind("o", &first, told).await;
    fixture.append_behind("o", &second, vec![completed()]).await;

    fixture.client.start_by_name("order", Payload::null()).id("o").id_reuse(IdReuse::Allow).await.unwrap();
    let body = fixture.last("o").await.unwrap().body().unwrap();
    let [Event::Started(started)] = body.events.as_slice() else { panic!("{body:?}") };
    assert_eq!((started.taken.as_slice(), started.taken_cancels.as_slice()), (&[signaled][..], &[cancelled][..]));
}

#[tokio::test]
async fn an_id_is_used_once_unless_the_policy_says_otherwise() {
    let fixture = Fixture::new().await;
    let start = || fixture.client.start_by_name("order", Payload::null()).id("o");
    let first = fixture.begin("o").await;
    let error = start().await.unwrap_err();
    assert!(matches!(&error, StartError::AlreadyRunning { run, .. } if *run == first.frame.run), "{error}");

    let closed = fixture.append_behind("o", &first, vec![completed()]).await;
    for policy in [IdReuse::Reject, IdReuse::AllowIfFailed] {
        let error = start().id_reuse(policy).await.unwrap_err();
        let StartError::AlreadyUsed { run, status, .. } = &error else { panic!("{error}") };
        assert_eq!((*run, *status), (first.frame.run, Status::Completed));
        assert!(!error.is_retryable());
    }

    let second = start().id_reuse(IdReuse::Allow).await.unwrap();
    let last = fixture.last("o").await.unwrap();
    assert_eq!(Some(last.frame.run), second.run_id());
    let body = last.body().unwrap();
    let [Event::Started(started)] = body.events.as_slice() else { panic!("{body:?}") };
    assert_eq!(started.prior, Some(closed.seq));

    let failed = Event::Failed { failure: Failure::application("no"), next: None };
    fixture.append_behind("o", &last, vec![failed]).await;
    start().id_reuse(IdReuse::AllowIfFailed).await.unwrap();
}

#[tokio::test]
async fn the_marks_of_the_run_before_are_carried_on() {
    let fixture = Fixture::new().await;
    let first = fixture.begin("o").await;
    let mut frame = next(&first);
    let ahead = |seq| Mark { seq, time: highwater_protocol::Timestamp(7) };
    frame.marks = Marks { inbox: ahead(1_000_000), fires: ahead(3) };
    let body = highwater_protocol::record::Body { events: vec![completed()], previous: None };
    fixture.append("o", frame, body, first.seq).await;

    fixture.client.start_by_name("order", Payload::null()).id("o").id_reuse(IdReuse::Allow).await.unwrap();
    let last = fixture.last("o").await.unwrap();
    assert_eq!(last.frame.marks, Marks { inbox: ahead(1_000_000), fires: ahead(3) });
}

#[tokio::test]
async fn terminate_existing_ends_the_run_and_takes_its_place() {
    let fixture = Fixture::new().await;
    let first = fixture.begin("o").await;
    let start = fixture.client.start_by_name("order", Payload::null()).id("o");
    let handle = start.id_conflict(IdConflict::TerminateExisting).await.unwrap();
    let last = fixture.last("o").await.unwrap();
    assert_eq!(Some(last.frame.run), handle.run_id());
    let earlier = fixture.client.handle_by_name("o").unwrap().pinned_to(first.frame.run);
    let history = earlier.history().await.unwrap();
    assert!(matches!(history.last().unwrap().event, Event::Terminated { .. }), "{history:?}");
    let request = fixture.broker.get_from_leader(Stream::Inbox, fixture.inbox_len().await).await.unwrap().unwrap();
    assert_eq!(request.headers.get(header::ID_CONFLICT), None, "no owner may end a run that this start never saw");
    assert_eq!(request.headers.get(header::EXPECT), Some((last.seq - 1).to_string().as_str()));
}

#[tokio::test]
async fn a_worker_that_took_the_request_first_wins() {
    let fixture = Fixture::new().await;
    let starting = tokio::spawn(fixture.client.start_by_name("order", Payload::null()).id("o").into_future());
    // As an owner would that reads the request, records it and dies before it answers.
    let deadline = tokio::time::Instant::now() + DEADLINE;
    let request = loop {
        assert!(tokio::time::Instant::now() < deadline, "the request never came");
        let found =
            fixture.broker.last_from_leader(Stream::Inbox, fixture.broker.subjects().inbox_all()).await.unwrap();
        if let Some(found) = found {
            break found;
        }
        tokio::task::yield_now().await;
    };
    let run = request.headers.get(header::RUN).unwrap().parse().unwrap();
    let body = highwater_protocol::record::Body { events: vec![started("o", None)], previous: None };
    fixture.append("o", first(run), body, 0).await;
    let handle = starting.await.unwrap().unwrap();
    assert_eq!(handle.run_id(), Some(run));
    assert_eq!(fixture.last("o").await.unwrap().frame.ordinal, 0);
}

#[tokio::test]
async fn a_plain_published_start_does_not_stand_in_the_way() {
    let fixture = Fixture::new().await;
    fixture.publish(Verb::Start, Some("order"), "o", Headers::new(), "5").await;
    let handle = fixture.client.start_by_name("order", Payload::null()).id("o").queue("shop").await.unwrap();
    assert_eq!(Some(fixture.last("o").await.unwrap().frame.run), handle.run_id());
}

#[tokio::test]
async fn what_cannot_be_a_start_is_refused_before_anything_is_sent() {
    let fixture = Fixture::new().await;
    let start = |id: &str| fixture.client.start_by_name("order", Payload::null()).id(id);
    assert!(matches!(start("").await, Err(StartError::Name(_))));
    assert!(matches!(start(&"x".repeat(513)).await, Err(StartError::Name(_))));
    assert!(matches!(start("o").queue("").await, Err(StartError::Name(_))));
    let large = Payload::json(vec![b' '; fixture.broker.payload_max()]);
    let error = fixture.client.start_by_name("order", large).id("o").await.unwrap_err();
    assert!(matches!(error, StartError::TooLarge { .. }), "{error}");
    assert_eq!(fixture.inbox_len().await, 0);
}

#[tokio::test]
async fn hostile_ids_are_ids_like_any_other() {
    let fixture = Fixture::new().await;
    let ids = ["a.b", "*", ">", "a b\r\nHw-Run: x", "=41", "naïve-日本"];
    let starts =
        ids.map(|id| fixture.client.start_by_name("or.der >", Payload::null()).id(id).queue("q *").into_future());
    for (id, handle) in ids.iter().zip(join_all(starts).await) {
        let handle = handle.unwrap();
        assert_eq!(handle.id().as_str(), *id);
        assert_eq!(fixture.last(id).await.unwrap().frame.run, handle.run_id().unwrap());
        assert_eq!(handle.describe().await.unwrap().workflow_type.as_str(), "or.der >");
    }
    assert_eq!(key("a.b").as_str(), "a=2Eb");
}
