//! Tasks that come again although their activity has its outcome.

use highwater_broker::{
    BoxFuture,
    history::{self, Appended, NewRecord, Summary},
};
use highwater_protocol::{
    Event, Record, Started, Status, Timestamp,
    event::Attributes,
    ids::RecordId,
    record::{Body, Frame, Mark, Marks, PreviousRun},
    subject::EngineVerb,
};
use tokio::sync::mpsc;

use super::*;

const ACK_WAIT: Duration = Duration::from_secs(1);

/// A worker takes the next task and ends before it lets go of it.
async fn take_and_die(world: &World) {
    let other = world.other().await;
    let taken = within(other.take_tasks(world.queue.clone(), 1, DEADLINE)).await.unwrap();
    assert_eq!((taken.len(), taken[0].delivered), (1, 1));
}

/// Publishes the outcome of an activity as its worker does.
async fn publish_outcome(world: &World, task: &ActivityTask) -> u64 {
    let (verb, key) = (EngineVerb::Activity, task.workflow_id.to_key());
    let subject = world.broker.subjects().inbox_engine(verb, &task.run_queue, task.run, &key);
    let report = ActivityReport { op: task.call.op, attempt: 1, outcome: completed("7") };
    world.broker.publish(Publish { subject, payload: wire::encode(&report), ..Publish::default() }).await.unwrap().seq
}

/// Appends records with these events to the run's history, all of which have consumed the inbox up to `consumed`.
/// Returns their sequences.
async fn record(world: &World, task: &ActivityTask, records: Vec<Vec<Event>>, consumed: u64) -> Vec<u64> {
    let mut back = Vec::new();
    for (ordinal, events) in (0..).zip(records) {
        let frame = frame(task.run, ordinal, consumed, back.clone());
        let expect = back.last().copied().unwrap_or(0);
        back.push(append(world, task, Record { frame, body: Body { events, previous: None } }, expect).await);
    }
    back
}

/// Appends the first record of another run behind those of the task's run, which ended with it or in the last of them.
async fn follow(world: &World, task: &ActivityTask, back: Vec<u64>, continued: bool) {
    let expect = back.last().copied().unwrap();
    let started = Started {
        continued_from: continued.then_some(task.run),
        prior: (!continued).then_some(expect),
        ..Started::new(task.workflow_id.clone(), task.workflow_type.clone(), world.queue.clone(), Payload::null())
    };
    let frame = frame(RunId::generate(), 0, 0, Vec::new());
    let previous = continued.then(|| {
        let ordinal = back.len() as u64;
        let events = vec![Event::ContinuedAsNew { run: frame.run }];
        Box::new(PreviousRun { run: task.run, ordinal, first_event: ordinal + 1, back, events })
    });
    let body = Body { events: vec![Event::Started(Box::new(started))], previous };
    append(world, task, Record { frame, body }, expect).await;
}

fn frame(run: RunId, ordinal: u64, consumed: u64, back: Vec<u64>) -> Frame {
    let time = Timestamp(1);
    let marks = Marks { inbox: Mark { seq: consumed, time }, fires: Mark::default() };
    Frame { run, record: RecordId::generate(), ordinal, first_event: ordinal + 1, time, marks, closed: false, back }
}

async fn append(world: &World, task: &ActivityTask, record: Record, expect: u64) -> u64 {
    let summary = Summary {
        workflow_type: task.workflow_type.clone(),
        queue: world.queue.clone(),
        status: Status::Running,
        started_at: record.frame.time,
        attributes: Attributes::default(),
        trace: None,
    };
    let (key, new) = (task.workflow_id.to_key(), NewRecord::new(&record, summary));
    match history::append(&*world.broker, &key, &new, expect).await.unwrap() {
        Appended::Stored(seq) => seq,
        Appended::Lost => panic!("nobody else writes"),
    }
}

fn scheduled(task: &ActivityTask) -> Event {
    Event::ActivityScheduled(Box::new(task.call.clone()))
}

fn closed(task: &ActivityTask) -> Event {
    Event::ActivityClosed { op: task.call.op, attempt: 1, outcome: completed("7") }
}

/// Starts a worker that tells the attempts that it runs.
fn counting(world: &World) -> (Worker, mpsc::UnboundedReceiver<u32>) {
    let (tell, told) = mpsc::unbounded_channel();
    let script = Script::new().with("run", move |context: ActivityContext, _| {
        tell.send(context.attempt()).unwrap();
        async { completed("1") }
    });
    (world.worker(script), told)
}

/// The task ends when it comes again, and nothing is run for it.
async fn ends_without_an_attempt(world: &World, task: &ActivityTask) {
    let (worker, mut attempts) = counting(world);
    until(|| world.is_forgotten(task)).await;
    worker.stop().await;
    assert!(attempts.try_recv().is_err(), "an activity that has its outcome ran again");
}

/// The task is run when it comes again, as a second attempt.
async fn runs_again(world: &World, task: &ActivityTask) {
    let (worker, mut attempts) = counting(world);
    assert_eq!(within(attempts.recv()).await, Some(2));
    until(|| world.is_forgotten(task)).await;
    worker.stop().await;
}

/// What it says when it lets go is lost on the way.
struct Mute(Box<dyn TaskAck>);

impl TaskAck for Mute {
    fn done(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.0.done()
    }

    fn let_go(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn progress(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.0.progress()
    }

    fn retry_after(&self, delay: Duration) -> BoxFuture<'_, Result<(), Error>> {
        self.0.retry_after(delay)
    }
}

#[tokio::test]
async fn an_activity_whose_acknowledgement_was_lost_does_not_run_again() {
    let world = World::with_ack_wait(ACK_WAIT).await;
    let mut reports = world.reports().await;
    let task = world.call("run", ActivityOptions::default()).await;
    attend(&world, Script::new().with("run", async |_, _| completed("7")), |ack| Box::new(Mute(ack))).await;
    assert_eq!(reports.next().await.op, task.call.op);
    assert!(!world.is_forgotten(&task).await);
    ends_without_an_attempt(&world, &task).await;
}

#[tokio::test]
async fn an_activity_whose_outcome_is_in_the_inbox_does_not_run_again() {
    let world = World::with_ack_wait(ACK_WAIT).await;
    let task = world.call("run", ActivityOptions::default()).await;
    take_and_die(&world).await;
    publish_outcome(&world, &task).await;
    // Behind it comes that of another activity of the run.
    publish_outcome(&world, &world.task("run", ActivityOptions::default()).await).await;
    ends_without_an_attempt(&world, &task).await;
}

#[tokio::test]
async fn an_activity_whose_outcome_is_on_record_does_not_run_again() {
    let world = World::with_ack_wait(ACK_WAIT).await;
    let task = world.call("run", ActivityOptions::default()).await;
    take_and_die(&world).await;
    record(&world, &task, vec![vec![scheduled(&task)], vec![closed(&task)], Vec::new()], 0).await;
    ends_without_an_attempt(&world, &task).await;
}

#[tokio::test]
async fn an_activity_whose_outcome_is_on_the_record_of_an_earlier_run_does_not_run_again() {
    for continued in [true, false] {
        let world = World::with_ack_wait(ACK_WAIT).await;
        let task = world.call("run", ActivityOptions::default()).await;
        take_and_die(&world).await;
        let back = record(&world, &task, vec![vec![scheduled(&task)], vec![closed(&task)], Vec::new()], 0).await;
        follow(&world, &task, back, continued).await;
        ends_without_an_attempt(&world, &task).await;
    }
}

#[tokio::test]
async fn an_activity_that_an_earlier_run_left_without_an_outcome_runs_again() {
    for continued in [true, false] {
        let world = World::with_ack_wait(ACK_WAIT).await;
        let task = world.call("run", ActivityOptions::default()).await;
        take_and_die(&world).await;
        let back = record(&world, &task, vec![vec![scheduled(&task)]], 0).await;
        follow(&world, &task, back, continued).await;
        runs_again(&world, &task).await;
    }
}

#[tokio::test]
async fn an_activity_without_an_outcome_runs_again_whatever_became_of_others() {
    let world = World::with_ack_wait(ACK_WAIT).await;
    let task = world.call("run", ActivityOptions::default()).await;
    take_and_die(&world).await;
    let (before, after) =
        (world.task("run", options(every(Duration::ZERO))).await, world.task("run", ActivityOptions::default()).await);
    let consumed = publish_outcome(&world, &before).await;
    let asked = vec![scheduled(&before), scheduled(&task), scheduled(&after)];
    record(&world, &task, vec![asked, vec![closed(&before)]], consumed).await;
    publish_outcome(&world, &after).await;
    runs_again(&world, &task).await;
}
