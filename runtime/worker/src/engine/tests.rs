//! The engine alone: what it makes of inputs whose order only a crash or another queue can bring about.

mod backlog;
mod early;
mod lost;
mod lost_thread;
mod repeats;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use highwater_broker::{
    Error, ErrorKind, Message,
    history::{Appended, StoredRecord},
};
use highwater_core::run::{Conclusion, Limits, NextRun, Registry, Transition};
use highwater_protocol::{
    Event, Failure, FailureKind, Headers, Key, Namespace, OpId, Payload, Payloads, QueueName, Record, RetryPolicy,
    RunId, Started, Status, Timestamp, TypeName, UpdateId, WorkflowId,
    event::{ActivityOptions, ActivityScheduled, Attributes, Class, Origin, Outcome, Signal},
    header,
    ids::RecordId,
    lease::Lease,
    record::{Body, Frame, Mark, Marks},
    rejection::{Code, Rejection},
    request::{ChildState, IdReuse, StartRequest},
    subject::{Subjects, Verb},
    timer::{Fire, TimerId},
    wire,
};
use tokio::time::Instant;

use super::{Action, Engine, Input, Loaded, Outgoing, Send, Sent, Setup, Source, UnitId};
use crate::{
    clock::ServerClock,
    executor::{Activated, Job, Report},
    history_limits::HistoryLimits,
};

const SHOP: UnitId = UnitId { queue: 0, partition: 0 };
const OTHER: UnitId = UnitId { queue: 1, partition: 0 };

struct Fixture {
    engine: Engine,
    subjects: Subjects,
    key: Key,
    run: RunId,
}

fn queue(unit: UnitId) -> QueueName {
    QueueName::new(["shop", "other"][unit.queue]).unwrap()
}

impl Fixture {
    /// An engine that owns the one partition of both queues.
    fn new() -> Self {
        let subjects = Subjects::new(&Namespace::default(), 1);
        let setup = Setup {
            subjects: subjects.clone(),
            queues: vec![queue(SHOP), queue(OTHER)],
            registry: Arc::new(Registry::new()),
            limits: Limits::for_message_max(1 << 20),
            history_limits: HistoryLimits::default(),
            cache_max: 100,
            clock: ServerClock::new(Timestamp(1_000), Instant::now()),
        };
        let mut fixture = Self {
            engine: Engine::new(setup),
            subjects,
            key: WorkflowId::new("acme").unwrap().to_key(),
            run: RunId::generate(),
        };
        for unit in [SHOP, OTHER] {
            fixture.feed(Input::Gained { unit, lease: Lease::default() });
        }
        fixture
    }

    fn feed(&mut self, input: Input) -> Vec<Action> {
        self.engine.handle(input, Instant::now())
    }

    fn signal(&mut self, unit: UnitId, seq: u64) -> Vec<Action> {
        let name = TypeName::new("deposit").unwrap();
        let subject = self.subjects.inbox_public(Verb::Signal, &queue(unit), Some(&name), &self.key);
        let (headers, payload) = (Headers::new(), "1".into());
        self.feed(Input::Request { message: Message { subject, headers, payload, seq, time: Timestamp(seq as i64) } })
    }

    fn update(&mut self, seq: u64) -> Vec<Action> {
        let name = TypeName::new("rename").unwrap();
        let subject = self.subjects.inbox_public(Verb::Update, &queue(SHOP), Some(&name), &self.key);
        let (headers, payload) = (Headers::new().with(header::UPDATE_ID, "u-1"), "1".into());
        self.feed(Input::Request { message: Message { subject, headers, payload, seq, time: Timestamp(seq as i64) } })
    }

    /// The record under way is stored, or is not.
    fn appended(&mut self, result: Result<Appended, Error>) -> Vec<Action> {
        let key = self.key.clone();
        let generation = self.engine.slots[&key].generation;
        self.feed(Input::Appended { key, generation, result, answered: false })
    }

    fn fire(&mut self, seq: u64, op: u64) -> Vec<Action> {
        self.fire_timer(seq, TimerId::Sleep(OpId(op)))
    }

    fn fire_timer(&mut self, seq: u64, timer: TimerId) -> Vec<Action> {
        let fire = Fire { key: self.key.clone(), run: self.run, timer };
        let (subject, payload) = (self.subjects.fire(0, &queue(SHOP)), wire::encode(&fire));
        let headers = Headers::new();
        self.feed(Input::Fired { message: Message { subject, headers, payload, seq, time: Timestamp(seq as i64) } })
    }

    /// A run of the queue `shop` that sleeps and has consumed its sources up to these sequences.
    fn history(&self, inbox: u64, fires: u64) -> Loaded {
        let sleeps = Event::TimerStarted { op: OpId(1), fire_at: Timestamp(200) };
        self.history_of(|_| (), vec![sleeps], (inbox, fires))
    }

    /// A run of the queue `shop` whose only record has these events behind its start.
    fn history_of(&self, change: impl FnOnce(&mut Started), behind: Vec<Event>, (inbox, fires): (u64, u64)) -> Loaded {
        let mut started = Started::new(
            WorkflowId::new("acme").unwrap(),
            TypeName::new("account").unwrap(),
            queue(SHOP),
            Payload::null(),
        );
        change(&mut started);
        let mark = |seq: u64| Mark { seq, time: Timestamp(seq as i64) };
        let frame = Frame {
            run: self.run,
            record: RecordId::generate(),
            ordinal: 0,
            first_event: 1,
            time: Timestamp(100),
            marks: Marks { inbox: mark(inbox), fires: mark(fires) },
            closed: behind.iter().any(|event| event.class() == Class::Closing),
            back: Vec::new(),
        };
        let mut events = vec![Event::Started(Box::new(started))];
        events.extend(behind);
        let record = Record { frame, body: Body { events: events.clone(), previous: None } };
        let status = Some(record.status()).filter(|status| *status != Status::Running);
        let headers = Headers::new()
            .with(header::RECORD, "queue=shop;type=account")
            .with_opt(header::STATUS, status.map(Status::as_str));
        let subject = self.subjects.history(&self.key);
        let message = Message { subject, headers, payload: record.encode(), seq: 1, time: Timestamp(100) };
        Loaded::Records {
            records: vec![(StoredRecord::from_message(message).unwrap(), events)],
            whole: true,
            before: Some(0),
            left: None,
        }
    }

    /// Somebody starts a run behind the record of the last one.
    fn start_behind(&mut self, seq: u64) -> Vec<Action> {
        let name = TypeName::new("account").unwrap();
        let subject = self.subjects.inbox_public(Verb::Start, &queue(SHOP), Some(&name), &self.key);
        let start =
            StartRequest { expect: Some(1), id_reuse: IdReuse::Allow, ..StartRequest::new(name, Payload::null()) };
        let (headers, payload) = (start.message(None).0, Bytes::new());
        self.feed(Input::Request { message: Message { subject, headers, payload, seq, time: Timestamp(seq as i64) } })
    }

    /// Answers the load among the actions with that history, and the job that builds the run from it.
    fn load(&mut self, actions: &[Action], loaded: Loaded) -> Vec<Action> {
        let generation = generation(actions);
        let key = self.key.clone();
        let mut actions = self.feed(Input::Loaded { key: key.clone(), generation, loaded });
        if !actions.iter().any(|action| matches!(action, Action::Job(Job::Rebuild { .. }))) {
            return actions;
        }
        let generation = generation_of_job(&actions);
        actions.extend(self.code_asks_for_nothing(generation));
        actions
    }

    /// The code has taken what it was given, and asks for nothing.
    fn code_asks_for_nothing(&mut self, generation: u64) -> Vec<Action> {
        self.code_says(generation, Transition::default())
    }

    /// The message to the parent is in its inbox.
    fn posted(&mut self) -> Vec<Action> {
        let (key, run, to) = (self.key.clone(), self.run, parent().workflow_id.to_key());
        let generation = self.engine.slots[&key].generation;
        self.feed(Input::Sent { key, generation, sent: Sent::Posted { run, to, undelivered: None } })
    }

    fn code_says(&mut self, generation: u64, transition: Transition) -> Vec<Action> {
        let (key, time) = (self.key.clone(), Timestamp(100));
        let transition = Transition { time, ..transition };
        let result = Ok(Activated { transition, signals: Vec::new() });
        self.feed(Input::Thread(Report::Activated { key, generation, result }))
    }
}

/// The generation of the load among the actions.
fn generation(actions: &[Action]) -> u64 {
    let generations = actions.iter().filter_map(|action| match action {
        Action::Load { generation, .. } => Some(*generation),
        _ => None,
    });
    generations.last().expect("the history is read")
}

/// The generation of the job among the actions.
fn generation_of_job(actions: &[Action]) -> u64 {
    let generations = actions.iter().filter_map(|action| match action {
        Action::Job(Job::Activate { generation, .. } | Job::Rebuild { generation, .. }) => Some(*generation),
        _ => None,
    });
    generations.last().expect("the code is given something")
}

/// The requests that are passed on: where they were read, and where they go.
fn forwarded(actions: &[Action]) -> Vec<(UnitId, u64, String)> {
    let forwards = actions.iter().filter_map(|action| match action {
        Action::Forward { unit, message, queue } => Some((*unit, message.seq, queue.to_string())),
        _ => None,
    });
    forwards.collect()
}

/// The events that the code is given.
fn given(actions: &[Action]) -> Vec<&'static str> {
    let jobs = actions.iter().filter_map(|action| match action {
        Action::Job(Job::Activate { events, .. }) => Some(events),
        _ => None,
    });
    jobs.flatten().map(Event::name).collect()
}

/// What parents are told of the ends of their children.
fn told_to_parents(actions: &[Action]) -> Vec<ChildState> {
    let messages = actions.iter().filter_map(|action| match action {
        Action::Send { send: Send::Message { message: Outgoing::Child { report, .. }, .. }, .. } => Some(report),
        _ => None,
    });
    messages.map(|report| report.state.clone()).collect()
}

/// The end of a run that goes on as another one.
fn continues() -> Conclusion {
    Conclusion::ContinueAsNew(Box::new(NextRun {
        workflow_type: TypeName::new("account").unwrap(),
        input: Payload::null(),
        memo: Payloads::default(),
        attributes: Attributes::default(),
    }))
}

fn parent() -> Origin {
    let workflow_id = WorkflowId::new("parent").unwrap();
    Origin { workflow_id, run: RunId::generate(), queue: queue(SHOP), op: OpId(3) }
}

#[test]
fn a_run_begins_behind_a_closed_one_when_all_is_said_that_the_owner_before_may_not_have() {
    let mut fixture = Fixture::new();
    let actions = fixture.start_behind(12);
    let ends = Event::Completed { result: Payload::null() };
    let loaded = fixture.history_of(|started| started.parent = Some(parent()), vec![ends], (7, 0));
    let actions = fixture.load(&actions, loaded);
    assert_eq!((told_to_parents(&actions), given(&actions)), (vec![ChildState::Started], vec![]));
    let actions = fixture.posted();
    let end = ChildState::Closed(Outcome::Completed(Payload::null()));
    assert_eq!((told_to_parents(&actions), given(&actions)), (vec![end], vec![]));
    assert_eq!(given(&fixture.posted()), ["Started"]);
}

#[test]
fn a_run_that_follows_another_continues_when_its_owner_has_looked_what_that_left_behind() {
    let mut fixture = Fixture::new();
    let follows = |started: &mut Started| started.continued_from = Some(RunId::generate());
    let sleeps = Event::TimerStarted { op: OpId(1), fire_at: Timestamp(200) };
    let actions = fixture.signal(SHOP, 12);
    let loaded = fixture.history_of(follows, vec![sleeps], (7, 0));
    let actions = fixture.load(&actions, loaded);
    assert_eq!(given(&actions), ["Signaled"]);
    let transition = Transition { conclusion: Some(continues()), ..Transition::default() };
    let actions = fixture.code_says(generation_of_job(&actions), transition);
    let looks = actions.iter().any(|action| matches!(action, Action::Load { left: true, .. }));
    assert!(looks && !actions.iter().any(|action| matches!(action, Action::Append { .. })), "{actions:?}");
}

/// The signals that the next run begins with.
fn signals_of_next(actions: &[Action]) -> Vec<Signal> {
    let starts = actions.iter().filter_map(|action| match action {
        Action::Append { record, .. } => Record::decode(record.payload()).unwrap().body.events.into_iter().next(),
        _ => None,
    });
    let signals = starts.filter_map(|event| match event {
        Event::Started(started) => Some(started.signals),
        _ => None,
    });
    signals.last().expect("another run begins")
}

fn deposit() -> Signal {
    Signal::new(TypeName::new("deposit").unwrap(), Payload::null())
}

fn may_try_again(started: &mut Started) {
    started.run_timeout = Some(Duration::from_secs(1));
    started.retry = Some(RetryPolicy::default());
}

#[test]
fn the_run_behind_one_that_timed_out_has_the_signals_that_its_code_had_not_taken() {
    let mut fixture = Fixture::new();
    let actions = fixture.fire_timer(7, TimerId::Run);
    let loaded = fixture.history_of(may_try_again, vec![Event::Signaled(deposit())], (12, 6));
    let actions = fixture.load(&actions, loaded);
    assert!(actions.iter().any(|action| matches!(action, Action::Job(Job::Signals { .. }))), "{actions:?}");
    let (key, generation) = (fixture.key.clone(), fixture.engine.slots[&fixture.key].generation);
    let report = Report::Signals { key, generation, signals: vec![deposit()] };
    let actions = fixture.feed(Input::Thread(report));
    assert_eq!(signals_of_next(&actions), [deposit()]);
}

#[test]
fn the_run_behind_a_blocked_one_that_timed_out_has_all_its_signals() {
    let mut fixture = Fixture::new();
    let actions = fixture.fire_timer(7, TimerId::Run);
    let failure = Failure::new(FailureKind::Panic, "the code is broken");
    let failed = Event::WorkflowTaskFailed { failure, attempt: 1, retry_at: Timestamp(i64::MAX) };
    let loaded = fixture.history_of(may_try_again, vec![Event::Signaled(deposit()), failed], (12, 6));
    let actions = fixture.load(&actions, loaded);
    assert_eq!(signals_of_next(&actions), [deposit()]);
}

#[test]
fn what_comes_with_the_end_of_a_delay_waits_until_the_code_has_begun() {
    let mut fixture = Fixture::new();
    let actions = fixture.fire_timer(7, TimerId::Delay);
    assert!(fixture.signal(SHOP, 12).is_empty(), "it waits for the history");
    let delayed = |started: &mut Started| started.delay_until = Some(Timestamp(50));
    let loaded = fixture.history_of(delayed, Vec::new(), (3, 0));
    let actions = fixture.load(&actions, loaded);
    assert_eq!(given(&actions), ["DelayPassed"]);
}

#[test]
fn an_update_that_was_refused_is_not_accepted_when_a_later_record_is_too_large() {
    let mut fixture = Fixture::new();
    let actions = fixture.update(12);
    let sleeps = Event::TimerStarted { op: OpId(1), fire_at: Timestamp(200) };
    let loaded = fixture.history_of(|_| (), vec![sleeps], (7, 0));
    let actions = fixture.load(&actions, loaded);
    assert_eq!(given(&actions), ["UpdateAccepted"]);
    // So many that they take two records.
    let sleeps = (2..12_000).map(|op| Event::TimerStarted { op: OpId(op), fire_at: Timestamp(i64::MAX) });
    let refusal = Rejection::new(Code::Refused, "no");
    let refused = vec![(UpdateId::new("u-1").unwrap(), refusal.clone())];
    let transition = Transition { events: sleeps.collect(), refused, ..Transition::default() };
    fixture.code_says(generation_of_job(&actions), transition);
    fixture.appended(Ok(Appended::Stored(2)));
    fixture.appended(Err(Error::new(ErrorKind::TooLarge, "too large")));
    let actions = fixture.appended(Ok(Appended::Stored(3)));
    let rejections = actions.iter().filter_map(|action| match action {
        Action::Reject { rejection, .. } => Some(rejection),
        _ => None,
    });
    assert_eq!(rejections.collect::<Vec<_>>(), [&refusal], "{actions:?}");
}

/// A call of an activity.
fn called() -> Event {
    let call = ActivityScheduled {
        op: OpId(1),
        name: TypeName::new("ship").unwrap(),
        queue: queue(SHOP),
        input: Payload::null(),
        options: ActivityOptions::default(),
        headers: Payloads::default(),
    };
    Event::ActivityScheduled(Box::new(call))
}

/// An activity and its cancellation.
fn cancelled() -> Vec<Event> {
    vec![called(), Event::ActivityCancelRequested { op: OpId(1) }]
}

fn cancels_activity(actions: &[Action]) -> bool {
    actions.iter().any(|action| matches!(action, Action::Send { send: Send::CancelActivity { wait: false, .. }, .. }))
}

fn appends(actions: &[Action]) -> bool {
    actions.iter().any(|action| matches!(action, Action::Append { .. }))
}

#[test]
fn no_record_is_made_before_the_cancellations_of_the_last_one_are_sent() {
    let mut fixture = Fixture::new();
    let actions = fixture.signal(SHOP, 12);
    let loaded = fixture.history_of(|_| (), vec![cancelled().remove(0)], (7, 0));
    let actions = fixture.load(&actions, loaded);
    let transition = |events: Vec<Event>| Transition { events, ..Transition::default() };
    fixture.code_says(generation_of_job(&actions), transition(vec![cancelled().remove(1)]));
    assert!(cancels_activity(&fixture.appended(Ok(Appended::Stored(2)))));
    let actions = fixture.signal(SHOP, 13);
    let sleeps = Event::TimerStarted { op: OpId(2), fire_at: Timestamp(200) };
    let actions = fixture.code_says(generation_of_job(&actions), transition(vec![sleeps]));
    assert!(!appends(&actions), "{actions:?}");
    let (key, generation) = (fixture.key.clone(), fixture.engine.slots[&fixture.key].generation);
    let actions = fixture.feed(Input::Sent { key, generation, sent: Sent::Cancelled });
    assert!(appends(&actions), "{actions:?}");
}

#[test]
fn what_the_last_record_of_a_closed_run_cancels_is_cancelled_by_a_takeover() {
    let mut fixture = Fixture::new();
    let actions = fixture.fire(7, 2);
    let mut events = cancelled();
    events.push(Event::Completed { result: Payload::null() });
    let loaded = fixture.history_of(|_| (), events, (7, 0));
    let actions = fixture.load(&actions, loaded);
    assert!(cancels_activity(&actions), "{actions:?}");
}

#[test]
fn a_signal_that_is_read_again_behind_a_timer_is_not_taken_twice() {
    let mut fixture = Fixture::new();
    let actions = fixture.fire(7, 1);
    // The owner before consumed this one and ended before it could say so in its offsets.
    assert!(fixture.signal(SHOP, 12).is_empty(), "it waits for the history");
    let loaded = fixture.history(12, 6);
    let actions = fixture.load(&actions, loaded);
    assert_eq!(given(&actions), ["TimerFired"]);
}

#[test]
fn a_signal_on_another_queue_is_passed_on_whatever_the_run_has_consumed() {
    let mut fixture = Fixture::new();
    let actions = fixture.signal(OTHER, 5);
    let loaded = fixture.history(12, 6);
    let actions = fixture.load(&actions, loaded);
    assert_eq!(forwarded(&actions), [(OTHER, 5, "shop".to_owned())], "{actions:?}");
    assert!(!fixture.engine.is_quiet(OTHER), "it is under way until it is stored there");
    fixture.feed(Input::Handled { unit: OTHER, source: Source::Inbox, seq: 5 });
    assert!(fixture.engine.is_quiet(OTHER) && fixture.engine.is_quiet(SHOP));
}

#[test]
fn a_signal_on_another_queue_is_passed_on_from_behind_a_repeated_one() {
    let mut fixture = Fixture::new();
    let actions = fixture.fire(7, 1);
    for (unit, seq) in [(SHOP, 12), (OTHER, 13)] {
        assert!(fixture.signal(unit, seq).is_empty(), "it waits for the history");
    }
    let loaded = fixture.history(12, 6);
    let actions = fixture.load(&actions, loaded);
    assert_eq!(given(&actions), ["TimerFired"]);
    let actions = fixture.code_asks_for_nothing(generation_of_job(&actions));
    assert_eq!(forwarded(&actions), [(OTHER, 13, "shop".to_owned())], "{actions:?}");
    assert!(given(&actions).is_empty());
}
