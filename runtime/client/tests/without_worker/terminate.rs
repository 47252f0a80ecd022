//! Ending runs from outside.

use futures_util::StreamExt;
use highwater_broker::{Broker, Stream};
use highwater_client::{Delivered, TerminateError};
use highwater_protocol::{
    Event, Headers, Status, Timestamp,
    header::{self, field},
    record::{Body, Mark},
    reply::Reply,
    request::{Ask, parse},
    subject::Verb,
};
use tokio::time::timeout;

use crate::support::{DEADLINE, Fixture, key, next, status};

#[tokio::test]
async fn a_run_is_terminated_without_a_worker() {
    let fixture = Fixture::new().await;
    let first = fixture.begin("o").await;
    let mut closed = fixture.broker.subscribe(fixture.broker.subjects().closed(&key("o"))).await.unwrap();
    let handle = fixture.client.handle_by_name("o").unwrap();
    assert_eq!(handle.terminate("enough").await.unwrap(), Delivered::Accepted);

    let last = fixture.last("o").await.unwrap();
    assert!(last.frame.closed);
    assert_eq!((last.frame.run, last.frame.ordinal, last.frame.first_event), (first.frame.run, 1, 2));
    assert_eq!(last.frame.back, [first.seq]);
    assert_eq!(last.frame.marks, first.frame.marks, "what lies behind the marks has not been consumed");
    assert_eq!(last.body().unwrap().events, [Event::Terminated { reason: "enough".into() }]);
    assert_eq!(status(&last), Status::Terminated);
    assert_eq!(last.started_at(), Some(Timestamp(1)));
    let fields = last.headers.get(header::RECORD).unwrap();
    assert!(field::get(fields, field::CLOSED_AT).is_some(), "{fields}");

    let told = timeout(DEADLINE, closed.next()).await.unwrap().unwrap();
    let Some(Reply::Closed(told)) = Reply::decode(&told.headers, &told.payload) else { panic!("{told:?}") };
    assert_eq!((told.run, told.status), (first.frame.run, Status::Terminated));

    let request = fixture.broker.get_from_leader(Stream::Inbox, 1).await.unwrap().unwrap();
    let parsed = parse(fixture.broker.subjects(), &request.subject, &request.headers, request.payload).unwrap();
    assert_eq!(parsed.ask, Ask::Terminate { run: Some(first.frame.run), reason: "enough".into() });
}

#[tokio::test]
async fn a_run_is_terminated_once() {
    let fixture = Fixture::new().await;
    fixture.begin("o").await;
    let handle = fixture.client.handle_by_name("o").unwrap();
    handle.terminate("enough").await.unwrap();
    let error = handle.terminate("again").await.unwrap_err();
    assert!(matches!(error, TerminateError::Closed { status: Status::Terminated, .. }), "{error}");
    let nobody = fixture.client.handle_by_name("nobody").unwrap();
    assert!(matches!(nobody.terminate("").await, Err(TerminateError::NotFound { .. })));
}

#[tokio::test]
async fn a_start_that_no_worker_has_taken_is_told_to_end() {
    let fixture = Fixture::new().await;
    fixture.publish(Verb::Start, Some("order"), "o", Headers::new(), "5").await;
    let handle = fixture.client.handle_by_name("o").unwrap();
    assert_eq!(handle.terminate("enough").await.unwrap(), Delivered::Durable);
    assert_eq!(fixture.inbox_len().await, 2);
    assert!(fixture.last("o").await.is_none());
}

#[tokio::test]
async fn a_run_whose_history_is_from_the_future_can_be_terminated() {
    let fixture = Fixture::new().await;
    let first = fixture.begin("o").await;
    // A frame that this build can read, with a body that it cannot.
    let whole = highwater_protocol::Record { frame: next(&first), body: Body::default() }.encode();
    let mut damaged = whole.to_vec();
    damaged.push(0xc1);
    let publish = highwater_broker::Publish {
        subject: fixture.broker.subjects().history(&key("o")),
        headers: first.headers.clone(),
        payload: damaged.into(),
        expect_last: Some(first.seq),
        ..Default::default()
    };
    fixture.broker.publish(publish).await.unwrap();
    let handle = fixture.client.handle_by_name("o").unwrap();
    assert_eq!(handle.terminate("unreadable").await.unwrap(), Delivered::Accepted);
    assert!(fixture.last("o").await.unwrap().frame.closed);
    let error = handle.history().await.unwrap_err();
    assert!(error.to_string().contains("upgrade"), "{error}");
}

#[tokio::test]
async fn terminating_moves_no_mark_and_no_time_backwards() {
    let fixture = Fixture::new().await;
    let first = fixture.begin("o").await;
    let mut frame = next(&first);
    frame.time = highwater_protocol::Timestamp(i64::MAX / 2);
    frame.marks.inbox = Mark { seq: 17, time: highwater_protocol::Timestamp(3) };
    let events = vec![Event::CancelRequested { reason: String::new(), from: None }];
    fixture.append("o", frame.clone(), Body { events, previous: None }, first.seq).await;
    fixture.client.handle_by_name("o").unwrap().terminate("enough").await.unwrap();
    let last = fixture.last("o").await.unwrap();
    assert_eq!((last.frame.time, last.frame.marks), (frame.time, frame.marks));
    assert_eq!(last.frame.first_event, 3);
}
