//! Tasks that cannot be read.

use bytes::Bytes;
use highwater_protocol::{header, rejection::Code};

use super::*;

#[tokio::test]
async fn a_task_that_cannot_be_read_is_kept_as_rejected_and_holds_nothing_up() {
    let world = World::new().await;
    let mut reports = world.reports().await;
    let task = world.task("work", ActivityOptions::default()).await;
    let subject = world.broker.subjects().task(&world.queue, task.run, OpId(99), 1);
    let payload = Bytes::from_static(b"\xc1 no task");
    world
        .broker
        .publish(Publish { subject: subject.clone(), payload: payload.clone(), ..Publish::default() })
        .await
        .unwrap();
    world.publish(&task).await;
    let worker = world.worker(Script::new().with("work", async |_, _| completed("1")));
    assert_eq!(reports.next().await.op, task.call.op);

    let all = vec![world.broker.subjects().rejected_all()];
    let mut rejected = Reports { messages: world.broker.read(Stream::Rejected, all, 1).await.unwrap() };
    let message = within(rejected.next_message()).await;
    assert_eq!(message.payload, payload);
    assert_eq!(message.headers.get(header::CODE), Some(Code::Unreadable.as_str()));
    assert_eq!(message.headers.get(header::SUBJECT), Some(subject.as_str()));
    until(async || world.broker.last_from_leader(Stream::Tasks, subject.clone()).await.unwrap().is_none()).await;
    worker.stop().await;
}
