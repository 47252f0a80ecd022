//! Results of runs.

use std::{future::IntoFuture, time::Duration};

use highwater_broker::{Broker, PlainMessage};
use highwater_client::ResultError;
use highwater_protocol::{
    Event, Failure, FailureKind, Headers, Payload, RunId, Status, TimeoutKind,
    record::{Body, PreviousRun},
    reply::{Closed, Reply},
    subject::Verb,
};
use tokio::time::timeout;

use crate::support::{DEADLINE, Fixture, first, key, next, started};

fn completed(result: &'static str) -> Event {
    Event::Completed { result: Payload::json(result) }
}

/// Appends the record with which a run continues as another one.
async fn continue_as_new(fixture: &Fixture, id: &str) -> RunId {
    let last = fixture.last(id).await.unwrap();
    let run = RunId::generate();
    let end = next(&last);
    let previous = PreviousRun {
        run: last.frame.run,
        ordinal: end.ordinal,
        first_event: end.first_event,
        back: end.back,
        events: vec![Event::ContinuedAsNew { run }],
    };
    let Event::Started(mut start) = started(id, None) else { unreachable!() };
    start.continued_from = Some(last.frame.run);
    let body = Body { events: vec![Event::Started(start)], previous: Some(Box::new(previous)) };
    fixture.append(id, first(run), body, last.seq).await;
    run
}

#[tokio::test]
async fn every_way_to_end_has_its_own_outcome() {
    let fixture = Fixture::new().await;
    let failure = |kind| Failure::new(kind, "because");
    let ends = [
        ("completed", completed("7")),
        ("failed", Event::Failed { failure: Failure::application("because"), next: None }),
        ("cancelled", Event::Cancelled { failure: failure(FailureKind::Cancelled) }),
        ("terminated", Event::Terminated { reason: "because".into() }),
        ("timed-out", Event::TimedOut { failure: failure(FailureKind::Timeout(TimeoutKind::Run)), next: None }),
    ];
    for (id, end) in ends {
        let first = fixture.begin(id).await;
        fixture.append_behind(id, &first, vec![end]).await;
        let result = fixture.client.handle_by_name(id).unwrap().result().await;
        let right = match (id, &result) {
            ("completed", Ok(value)) => value.decode::<u32>().unwrap() == 7,
            ("failed", Err(ResultError::Failed(failure))) => failure.message == "because",
            ("terminated", Err(ResultError::Terminated(reason))) => reason == "because",
            ("cancelled", Err(ResultError::Cancelled)) | ("timed-out", Err(ResultError::TimedOut)) => true,
            _ => false,
        };
        assert!(right, "{id}: {result:?}");
    }
}

#[tokio::test]
async fn an_unknown_id_has_no_result() {
    let fixture = Fixture::new().await;
    let handle = fixture.client.handle_by_name("nobody").unwrap();
    assert!(matches!(handle.result().await, Err(ResultError::NotFound { .. })));
    fixture.begin("o").await;
    let other = fixture.client.handle_by_name("o").unwrap().pinned_to(RunId::generate());
    assert!(matches!(other.result().await, Err(ResultError::NotFound { .. })));
}

#[tokio::test]
async fn a_run_that_goes_on_keeps_the_caller_waiting_until_his_timeout() {
    let fixture = Fixture::new().await;
    fixture.begin("o").await;
    fixture.publish(Verb::Start, Some("order"), "pending", Headers::new(), "5").await;
    for id in ["o", "pending"] {
        let handle = fixture.client.handle_by_name(id).unwrap();
        let error = handle.result().timeout(Duration::from_millis(300)).await.unwrap_err();
        assert!(matches!(error, ResultError::StillRunning { .. }) && error.is_retryable(), "{error}");
    }
}

#[tokio::test]
async fn an_end_that_nobody_tells_is_read_from_the_history() {
    let fixture = Fixture::new().await;
    let first = fixture.begin("o").await;
    let waiting = tokio::spawn(fixture.client.handle_by_name("o").unwrap().result().into_future());
    fixture.append_behind("o", &first, vec![completed("7")]).await;
    let result = timeout(DEADLINE, waiting).await.unwrap().unwrap();
    assert_eq!(result.unwrap(), Payload::json("7"));
}

#[tokio::test]
async fn the_answer_to_the_start_is_enough() {
    let fixture = Fixture::new().await;
    let handle = fixture.client.start_by_name("order", Payload::null()).id("o").await.unwrap();
    let events = fixture.last("o").await.unwrap().body().unwrap().events;
    let [Event::Started(start)] = events.as_slice() else { panic!("{events:?}") };
    let closed = Closed { run: handle.run_id().unwrap(), status: Status::Completed, outcome: Ok(Payload::json("7")) };
    let (headers, body) = Reply::Closed(closed).encode();
    let subject = start.reply.clone().unwrap();
    fixture.broker.send(PlainMessage { subject, reply: None, headers, payload: body.data }).await.unwrap();
    // The history says nothing of it, so this cannot come from there.
    let result = handle.result().timeout(DEADLINE).await;
    assert_eq!(result.unwrap(), Payload::json("7"));
    assert_eq!(handle.clone().result().await.unwrap(), Payload::json("7"), "it stays known");
}

#[tokio::test]
async fn a_result_is_found_behind_later_runs_of_the_same_id() {
    let fixture = Fixture::new().await;
    let mut runs = Vec::new();
    for result in ["1", "2", "3"] {
        let mut last = fixture.begin("o").await;
        // Long enough for the first record to be out of the last one's reach.
        for _ in 0..70 {
            last = fixture
                .append_behind("o", &last, vec![Event::CancelRequested { reason: String::new(), from: None }])
                .await;
        }
        fixture.append_behind("o", &last, vec![completed(result)]).await;
        runs.push((last.frame.run, result));
    }
    for (run, result) in runs {
        let handle = fixture.client.handle_by_name("o").unwrap().pinned_to(run);
        assert_eq!(handle.result().await.unwrap(), Payload::json(result));
        assert_eq!(handle.history().await.unwrap().len(), 72);
    }
}

#[tokio::test]
async fn a_run_that_continues_is_followed_unless_the_handle_is_pinned() {
    let fixture = Fixture::new().await;
    let handle = fixture.client.start_by_name("order", Payload::null()).id("o").await.unwrap();
    let first = handle.run_id().unwrap();
    let waiting = tokio::spawn(handle.result().into_future());
    let second = continue_as_new(&fixture, "o").await;
    let third = continue_as_new(&fixture, "o").await;
    let last = fixture.last("o").await.unwrap();
    fixture.append_behind("o", &last, vec![completed("7")]).await;
    // A later run under the same id has nothing to do with it.
    fixture.begin("o").await;
    assert_eq!(timeout(DEADLINE, waiting).await.unwrap().unwrap().unwrap(), Payload::json("7"));
    assert_eq!(handle.result().await.unwrap(), Payload::json("7"));
    for (run, next) in [(first, second), (second, third)] {
        let error = handle.clone().pinned_to(run).result().await.unwrap_err();
        assert!(matches!(error, ResultError::ContinuedAsNew { next: n, .. } if n == next), "{error}");
    }
    assert_eq!(handle.clone().pinned_to(third).result().await.unwrap(), Payload::json("7"));
    let history = handle.clone().pinned_to(first).history().await.unwrap();
    assert_eq!(history.iter().map(|event| event.number).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(history[1].event, Event::ContinuedAsNew { run: second });
}

#[tokio::test]
async fn the_owners_message_ends_the_wait_before_the_next_look() {
    let fixture = Fixture::new().await;
    let run = fixture.begin("o").await.frame.run;
    let waiting = tokio::spawn(fixture.client.handle_by_name("o").unwrap().result().into_future());
    let closed = Closed { run, status: Status::Completed, outcome: Ok(Payload::json("7")) };
    let (headers, body) = Reply::Closed(closed).encode();
    let subject = fixture.broker.subjects().closed(&key("o"));
    let tell = async {
        // Nobody may be listening yet, so it is told until it has been heard.
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        loop {
            ticks.tick().await;
            let message = PlainMessage {
                subject: subject.clone(),
                reply: None,
                headers: headers.clone(),
                payload: body.data.clone(),
            };
            fixture.broker.send(message).await.unwrap();
        }
    };
    let result = tokio::select! {
        result = timeout(DEADLINE, waiting) => result,
        () = tell => unreachable!(),
    };
    assert_eq!(result.unwrap().unwrap().unwrap(), Payload::json("7"));
}
