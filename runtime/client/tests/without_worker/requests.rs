//! Signals, cancellations and queries.

use std::sync::atomic::Ordering;

use futures_util::StreamExt;
use highwater_broker::{Broker, PlainMessage, Stream};
use highwater_client::{CancelError, Client, Delivered, QueryError, SignalError};
use highwater_protocol::{
    Event, Headers, Payload, Status, TypeName, header,
    query::QueryRejected,
    rejection::{Code, Rejection},
    reply::Reply,
    request::{Ask, Meant, Request, parse},
    subject::Verb,
};
use tokio::time::timeout;

use crate::{
    faulty::{Fault, Faulty},
    support::{DEADLINE, Fixture, queue},
};

/// The request at a sequence of the inbox, as an owner reads it.
async fn request(fixture: &Fixture, seq: u64) -> Request {
    let message = fixture.broker.get_from_leader(Stream::Inbox, seq).await.unwrap().unwrap();
    parse(fixture.broker.subjects(), &message.subject, &message.headers, message.payload).unwrap()
}

/// Answers the next request that comes to the inbox, as an owner would.
fn answer_next(fixture: &Fixture, reply: Reply) -> tokio::task::JoinHandle<()> {
    let broker = fixture.broker.clone();
    tokio::spawn(async move {
        let everything = vec![broker.subjects().inbox_all()];
        let mut inbox = broker.read(Stream::Inbox, everything, 1).await.unwrap();
        let message = loop {
            match inbox.next().await.unwrap().unwrap() {
                highwater_broker::Delivered::Message(message) => break message,
                highwater_broker::Delivered::CaughtUp => {}
            }
        };
        let subject = message.headers.get(header::REPLY).unwrap().to_owned();
        let (headers, body) = reply.encode();
        broker.send(PlainMessage { subject, reply: None, headers, payload: body.data }).await.unwrap();
    })
}

#[tokio::test]
async fn a_signal_to_an_unknown_id_is_not_found() {
    let fixture = Fixture::new().await;
    let handle = fixture.client.handle_by_name("nobody").unwrap();
    let error = handle.signal("paid", &true).await.unwrap_err();
    assert!(matches!(error, SignalError::NotFound { .. }), "{error}");
    assert!(error.to_string().contains("nobody") && !error.is_retryable());
    assert!(matches!(handle.cancel("why").await, Err(CancelError::NotFound { .. })));
    assert_eq!(fixture.inbox_len().await, 0);
}

#[tokio::test]
async fn a_signal_to_a_pending_start_is_durable() {
    let fixture = Fixture::new().await;
    fixture.publish(Verb::Start, Some("order"), "o", Headers::new(), "5").await;
    let handle = fixture.client.handle_by_name("o").unwrap();
    assert_eq!(handle.signal("paid", &true).await.unwrap(), Delivered::Durable);
    let request = request(&fixture, fixture.inbox_len().await).await;
    assert_eq!(request.queue, queue());
    let Ask::Signal { meant: None, signal } = request.ask else { panic!("{request:?}") };
    assert_eq!((signal.name.as_str(), signal.input), ("paid", Payload::json("true")));
}

#[tokio::test]
async fn a_signal_is_accepted_when_the_owner_says_so() {
    let fixture = Fixture::new().await;
    let run = fixture.begin("o").await.frame.run;
    let owner = answer_next(&fixture, Reply::Accepted { run });
    let handle = fixture.client.handle_by_name("o").unwrap();
    assert_eq!(handle.signal("paid", "yes").await.unwrap(), Delivered::Accepted);
    timeout(DEADLINE, owner).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_signal_behind_one_that_was_accepted_is_sent_without_a_look() {
    let fixture = Fixture::new().await;
    let run = fixture.begin("o").await.frame.run;
    let broker = Faulty::new(fixture.broker.clone(), |_| Fault::None);
    let handle = Client::new(broker.clone()).handle_by_name("o").unwrap();
    let mut looks = Vec::new();
    for answer in [Reply::Accepted { run }, Reply::Rejected(Rejection::new(Code::TooLarge, "full"))] {
        let owner = answer_next(&fixture, answer);
        let _ = handle.signal("paid", "yes").await;
        looks.push(broker.looks.load(Ordering::Relaxed));
        timeout(DEADLINE, owner).await.unwrap().unwrap();
    }
    assert_eq!(looks, [1, 1], "the second knows where the first was accepted");
    assert_eq!(handle.signal("paid", "yes").await.unwrap(), Delivered::Durable);
    assert_eq!(broker.looks.load(Ordering::Relaxed), 2, "the third one looks, as the second was not accepted");
}

#[tokio::test]
async fn a_request_whose_first_sending_is_lost_is_stored_once_and_accepted() {
    let fixture = Fixture::new().await;
    let run = fixture.begin("o").await.frame.run;
    let broker = Faulty::new(fixture.broker.clone(), |_| Fault::None);
    broker.loses_offers.store(true, Ordering::Relaxed);
    let handle = Client::new(broker).handle_by_name("o").unwrap();
    let owner = answer_next(&fixture, Reply::Accepted { run });
    assert_eq!(handle.signal("paid", "yes").await.unwrap(), Delivered::Accepted);
    timeout(DEADLINE, owner).await.unwrap().unwrap();
    assert_eq!(fixture.inbox_len().await, 1);
}

#[tokio::test]
async fn a_rejection_is_the_senders_error() {
    let fixture = Fixture::new().await;
    fixture.begin("o").await;
    let owner = answer_next(&fixture, Reply::Rejected(Rejection::new(Code::TooLarge, "the record is full")));
    let handle = fixture.client.handle_by_name("o").unwrap();
    let error = handle.signal("paid", "yes").await.unwrap_err();
    assert!(matches!(&error, SignalError::Rejected { rejection, .. } if rejection.code == Code::TooLarge), "{error}");
    timeout(DEADLINE, owner).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_closed_run_takes_neither_signal_nor_cancellation() {
    let fixture = Fixture::new().await;
    let first = fixture.begin("o").await;
    fixture.append_behind("o", &first, vec![Event::Completed { result: Payload::null() }]).await;
    let handle = fixture.client.handle_by_name("o").unwrap();
    let error = handle.signal("paid", &1).await.unwrap_err();
    assert!(matches!(error, SignalError::Closed { status: Status::Completed, .. }), "{error}");
    assert!(matches!(handle.cancel("").await, Err(CancelError::Closed { status: Status::Completed, .. })));
    assert_eq!(fixture.inbox_len().await, 0);
}

#[tokio::test]
async fn a_pinned_handle_does_not_reach_a_later_run() {
    let fixture = Fixture::new().await;
    let first = fixture.begin("o").await;
    fixture.append_behind("o", &first, vec![Event::Completed { result: Payload::null() }]).await;
    let second = fixture.begin("o").await;
    let handle = fixture.client.handle_by_name("o").unwrap();
    let error = handle.clone().pinned_to(first.frame.run).signal("paid", &1).await.unwrap_err();
    assert!(matches!(error, SignalError::Closed { .. }), "{error}");
    handle.pinned_to(second.frame.run).signal("paid", &1).await.unwrap();
    let request = request(&fixture, 1).await;
    assert!(
        matches!(request.ask, Ask::Signal { meant: Some(Meant::Run(run)), .. } if run == second.frame.run),
        "{request:?}"
    );
}

#[tokio::test]
async fn a_cancellation_waits_for_the_next_worker() {
    let fixture = Fixture::new().await;
    fixture.begin("o").await;
    let handle = fixture.client.handle_by_name("o").unwrap();
    assert_eq!(handle.cancel("line one\r\nHw-Run: x").await.unwrap(), Delivered::Durable);
    let request = request(&fixture, 1).await;
    let Ask::Cancel { meant: None, reason } = request.ask else { panic!("{request:?}") };
    assert_eq!(reason, "line one  Hw-Run: x");
}

#[tokio::test]
async fn what_cannot_be_a_signal_is_refused_before_anything_is_sent() {
    let fixture = Fixture::new().await;
    fixture.begin("o").await;
    let handle = fixture.client.handle_by_name("o").unwrap();
    assert!(matches!(handle.signal("", &1).await, Err(SignalError::Name(_))));
    let large = "x".repeat(fixture.broker.payload_max());
    assert!(matches!(handle.signal("paid", &large).await, Err(SignalError::TooLarge { .. })));
    assert!(fixture.client.handle_by_name("").is_err());
    assert_eq!(fixture.inbox_len().await, 0);
}

#[tokio::test]
async fn a_query_says_when_no_worker_serves_the_queue() {
    let fixture = Fixture::new().await;
    fixture.begin("o").await;
    let handle = fixture.client.handle_by_name("o").unwrap();
    let error = handle.query::<_, u32>("total", &()).await.unwrap_err();
    assert!(matches!(&error, QueryError::NoWorker { queue: q, .. } if *q == queue()), "{error}");
    assert!(error.is_retryable());
    let nobody = fixture.client.handle_by_name("nobody").unwrap();
    assert!(matches!(nobody.query::<_, u32>("total", &()).await, Err(QueryError::NotFound { .. })));
}

#[tokio::test]
async fn a_query_is_answered_or_rejected_by_the_owner() {
    let fixture = Fixture::new().await;
    fixture.begin("o").await;
    let filter = fixture.broker.subjects().query_filter_of_queue(&queue());
    let mut queries = fixture.broker.subscribe(filter).await.unwrap();
    let broker = fixture.broker.clone();
    let owner = tokio::spawn(async move {
        while let Some(query) = queries.next().await {
            let (_, name, _) = broker.subjects().parse_query(&query.subject).unwrap();
            let known = name == TypeName::new("total").unwrap().to_key().as_str();
            let rejected = QueryRejected { code: "unknown-query".into(), reason: "it has: total".into() };
            let (headers, payload) =
                if known { (Headers::new(), query.payload) } else { (rejected.headers(), "".into()) };
            let answer = PlainMessage { subject: query.reply.unwrap(), reply: None, headers, payload };
            broker.send(answer).await.unwrap();
        }
    });
    let handle = fixture.client.handle_by_name("o").unwrap();
    assert_eq!(handle.query::<_, u32>("total", &7).await.unwrap(), 7);
    assert!(matches!(handle.query::<_, String>("total", &7).await, Err(QueryError::Decode { .. })));
    let error = handle.query::<_, u32>("other", &7).await.unwrap_err();
    assert!(error.to_string().contains("it has: total"), "{error}");
    owner.abort();
}

#[tokio::test]
async fn a_query_that_meets_no_owner_is_asked_again() {
    let fixture = Fixture::new().await;
    fixture.begin("o").await;
    let filter = fixture.broker.subjects().query_filter_of_queue(&queue());
    let mut queries = fixture.broker.subscribe(filter).await.unwrap();
    let broker = fixture.broker.clone();
    let owner = tokio::spawn(async move {
        // The first one finds the run between two owners.
        queries.next().await.unwrap();
        let query = queries.next().await.unwrap();
        let (subject, payload) = (query.reply.unwrap(), query.payload);
        broker.send(PlainMessage { subject, reply: None, headers: Headers::new(), payload }).await.unwrap();
    });
    let asked = std::time::Instant::now();
    let handle = fixture.client.handle_by_name("o").unwrap();
    assert_eq!(handle.query::<_, u32>("total", &7).await.unwrap(), 7);
    assert!(asked.elapsed() < highwater_client::query::QUERY_WAIT / 2, "{:?}", asked.elapsed());
    owner.await.unwrap();
}
