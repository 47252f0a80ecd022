//! Histories and descriptions.

use highwater_broker::{Broker, Bucket};
use highwater_client::{DescribeError, ReadHistoryError, describe::Progress};
use highwater_protocol::{
    Event, Failure, FailureKind, Headers, OpId, Payload, QueueName, Status, Timestamp, TypeName, WorkerId,
    event::{ActivityOptions, ActivityScheduled},
    header,
    subject::Verb,
    wire,
    worker::{Announcement, ServedQueue},
};

use crate::support::{Fixture, queue};

fn scheduled(op: u64) -> Event {
    Event::ActivityScheduled(Box::new(ActivityScheduled {
        op: OpId(op),
        name: TypeName::new("charge").unwrap(),
        queue: QueueName::new("bank").unwrap(),
        input: Payload::null(),
        options: ActivityOptions::default(),
        headers: highwater_protocol::Payloads::default(),
    }))
}

#[tokio::test]
async fn a_history_of_many_records_is_read_in_order() {
    let fixture = Fixture::new().await;
    let mut last = fixture.begin("long").await;
    for n in 0..250 {
        let events =
            vec![Event::CancelRequested { reason: n.to_string(), from: None }, Event::TimerFired { op: OpId(n) }];
        last = fixture.append_behind("long", &last, events).await;
    }
    let history = fixture.client.handle_by_name("long").unwrap().history().await.unwrap();
    assert_eq!(history.len(), 501);
    assert!(history.iter().zip(1..).all(|(event, number)| event.number == number));
    assert!(history.is_sorted_by_key(|event| event.record));
    let reasons = history.iter().filter_map(|event| match &event.event {
        Event::CancelRequested { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    assert!(reasons.eq((0..250).map(|n| n.to_string())));
}

#[tokio::test]
async fn a_description_tells_what_the_run_waits_for() {
    let fixture = Fixture::new().await;
    let first = fixture.begin("o").await;
    let timer = Event::TimerStarted { op: OpId(3), fire_at: Timestamp(9) };
    let last = fixture.append_behind("o", &first, vec![scheduled(1), scheduled(2), timer]).await;
    let cancelled = Event::ActivityCancelRequested { op: OpId(1) };
    fixture.append_behind("o", &last, vec![cancelled]).await;

    let handle = fixture.client.handle_by_name("o").unwrap();
    let description = handle.describe().await.unwrap();
    assert_eq!(description.progress, Progress::Begun(Status::Running));
    assert_eq!((description.run, description.events), (Some(first.frame.run), 5));
    assert_eq!(description.pending_activities.iter().map(|a| a.op.0).collect::<Vec<_>>(), [2]);
    assert_eq!(description.pending_activities[0].queue.as_str(), "bank");
    assert_eq!(description.pending_timers.iter().map(|t| (t.op.0, t.fire_at.0)).collect::<Vec<_>>(), [(3, 9)]);
    assert!(description.history_bytes > 0 && description.workers.is_empty() && description.closed_at.is_none());

    handle.terminate("enough").await.unwrap();
    let description = handle.describe().await.unwrap();
    assert_eq!(description.progress, Progress::Begun(Status::Terminated));
    assert!(description.pending_activities.is_empty() && description.closed_at.is_some());
    assert_eq!(description.failure.unwrap().message, "enough");
}

#[tokio::test]
async fn a_blocked_run_tells_why_and_who_might_help() {
    let fixture = Fixture::new().await;
    let first = fixture.begin("o").await;
    let failure = Failure::new(FailureKind::Unknown, "this worker knows no workflow type order; it knows: ship");
    let failed = Event::WorkflowTaskFailed { failure: failure.clone(), attempt: 2, retry_at: Timestamp(5) };
    fixture.append_behind("o", &first, vec![failed]).await;
    let worker = WorkerId::generate();
    let types = vec![TypeName::new("ship").unwrap()];
    let queues = vec![ServedQueue { queue: queue(), types }];
    let announcement = Announcement { worker, name: "host:1".into(), queues };
    let value = wire::encode(&announcement);
    fixture.broker.kv_put(Bucket::Workers, worker.to_string(), value, None).await.unwrap();

    let description = fixture.client.handle_by_name("o").unwrap().describe().await.unwrap();
    assert_eq!(description.progress, Progress::Begun(Status::Blocked));
    let blocked = description.blocked.unwrap();
    assert_eq!((blocked.failure, blocked.attempt, blocked.retry_at), (failure, 2, Timestamp(5)));
    let workers: Vec<_> = description.workers.iter().map(|w| (w.name.as_str(), w.knows_type)).collect();
    assert_eq!(workers, [("host:1", false)]);
}

#[tokio::test]
async fn a_start_that_waits_is_shown_as_pending() {
    let fixture = Fixture::new().await;
    let handle = fixture.client.handle_by_name("o").unwrap();
    assert!(matches!(handle.describe().await, Err(DescribeError::NotFound { .. })));
    assert!(matches!(handle.history().await, Err(ReadHistoryError::NotFound { .. })));
    let run = highwater_protocol::RunId::generate();
    let headers = Headers::new().with(header::RUN, run.to_string());
    fixture.publish(Verb::Start, Some("order"), "o", headers, "5").await;
    let description = handle.describe().await.unwrap();
    assert_eq!(description.progress.to_string(), "pending");
    assert_eq!((description.run, description.queue, description.events), (Some(run), queue(), 0));
    let error = handle.history().await.unwrap_err();
    assert!(matches!(error, ReadHistoryError::Pending { .. }) && error.is_retryable(), "{error}");
}
