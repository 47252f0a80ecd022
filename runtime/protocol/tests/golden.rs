//! Golden files: what is stored today must be readable for ever.
//!
//! Each file under `golden/` holds one value of a persisted type, in hex. The test decodes the file and compares it
//! with the value; for what this version writes it also encodes the value and compares the bytes, so that a change of
//! the format is noticed. A new version adds files (`started.v2.hex`) and keeps the old ones.
//!
//! `GOLDEN_WRITE=1 cargo test -p highwater-protocol --test golden` writes the files that are missing, and no others.

use std::{
    fmt::{Debug, Write},
    fs,
    path::PathBuf,
    time::Duration,
};

use bytes::Bytes;
use highwater_protocol::{
    Event, Failure, FailureKind, Key, Namespace, OpId, Payload, Payloads, QueueName, RunId, Started, Timestamp,
    TypeName, UpdateId, WorkerId, WorkflowId,
    event::{
        ActivityCancellation, ActivityOptions, ActivityScheduled, Attributes, ChildCancellation, ChildOptions,
        ChildScheduled, ExternalRequest, ExternalScheduled, Origin, Outcome, ParentClose, Sender, Signal, Target,
        Trace, Update,
    },
    export::ExportedEvent,
    failure::TimeoutKind,
    ids::RecordId,
    lease::Lease,
    namespace::Settings,
    query::{UnhandledSignal, UnhandledSignals},
    record::{Body, Copies, Frame, Mark, Marks, PreviousRun, Record},
    request::{ChildReport, ChildStart, ChildState, ExternalReport, IdReuse, RunCancel, RunSignal},
    retry::RetryPolicy,
    task::{ActivityReport, ActivityState, ActivityTask, CancelActivity, StartDecision},
    timer::{Fire, TimerId},
    wire,
    worker::{Announcement, ServedQueue},
};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.hex"))
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(32) {
        for byte in chunk {
            write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        }
        text.push('\n');
    }
    text
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).expect("hex digits");
    digits.chunks(2).map(byte).collect()
}

/// The bytes of a golden file.
fn golden(name: &str, now: &[u8]) -> Vec<u8> {
    if std::env::var_os("GOLDEN_WRITE").is_some() && !path(name).exists() {
        fs::write(path(name), hex(now)).expect("the folder is writable");
    }
    let text = fs::read_to_string(path(name)).unwrap_or_else(|e| panic!("{}: {e}", path(name).display()));
    unhex(&text)
}

fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(name: &str, value: &T) {
    let encoded = wire::encode(value);
    let stored = golden(name, &encoded);
    assert_eq!(
        &wire::decode::<T>(&stored).unwrap_or_else(|e| panic!("{name}: {e}")),
        value,
        "{name} reads differently"
    );
    assert_eq!(hex(&encoded), hex(&stored), "{name} is written differently");
}

fn run() -> RunId {
    RunId(Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0001))
}

fn name(text: &str) -> TypeName {
    TypeName::new(text).unwrap()
}

fn queue() -> QueueName {
    QueueName::new("orders.eu").unwrap()
}

fn trace() -> Trace {
    Trace { parent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into(), state: Some("a=b".into()) }
}

fn failure() -> Failure {
    let mut failure = Failure::new(FailureKind::Application { non_retryable: true }, "declined");
    failure.details = Some(Payload::json("{\"Declined\":5}"));
    failure.caused_by(Failure::timeout(TimeoutKind::Heartbeat, "silent for 5 s"))
}

fn started() -> Started {
    Started {
        run_timeout: Some(Duration::from_hours(1)),
        reply: Some("_INBOX.a.1".into()),
        trace: Some(trace()),
        prior: Some(9),
        continued_from: Some(RunId(Uuid::from_u128(2))),
        signals: vec![Signal::new(name("approve"), Payload::with_content_type("x", Some("text/plain")))],
        ..Started::new(WorkflowId::new("order 17/é").unwrap(), name("order"), queue(), Payload::json("{\"amount\":5}"))
    }
}

/// With all that may be said about a run.
fn started_in_full() -> Started {
    Started {
        taken: vec![Sender { run: run(), op: OpId(8) }],
        parent: Some(origin()),
        first_run: Some(run()),
        deadline: Some(Timestamp(1_795_392_478_123_456)),
        delay_until: Some(Timestamp(1_795_392_470_000_000)),
        retry: Some(RetryPolicy::none()),
        attempt: 3,
        last_failure: Some(failure()),
        memo: payloads(),
        attributes: attributes(),
        headers: payloads(),
        ..started()
    }
}

fn origin() -> Origin {
    Origin { workflow_id: WorkflowId::new("parent").unwrap(), run: run(), queue: queue(), op: OpId(6) }
}

fn payloads() -> Payloads {
    let mut payloads = Payloads::new();
    payloads.insert("tenant", Payload::json("\"a\""));
    payloads
}

fn attributes() -> Attributes {
    Attributes::default()
        .with("cents", 4_900_i64)
        .with("customer", "Zoë")
        .with("due", Timestamp(5))
        .with("rate", 0.5)
        .with("tags", vec!["a".to_owned()])
        .with("vip", true)
}

fn signal_in_full() -> Signal {
    Signal {
        headers: payloads(),
        from: Some(Sender { run: run(), op: OpId(8) }),
        ..Signal::new(name("approve"), Payload::json("true"))
    }
}

fn child() -> ChildScheduled {
    ChildScheduled {
        op: OpId(6),
        workflow_id: WorkflowId::new("child").unwrap(),
        workflow_type: name("ship"),
        queue: queue(),
        run: run(),
        input: Payload::json("[1]"),
        options: ChildOptions {
            parent_close: ParentClose::RequestCancel,
            cancellation: ChildCancellation::Try,
            id_reuse: IdReuse::AllowIfFailed,
            run_timeout: Some(Duration::from_secs(1)),
            execution_timeout: Some(Duration::from_secs(2)),
            retry: Some(RetryPolicy::none()),
            delay: Some(Duration::from_secs(3)),
        },
        memo: payloads(),
        attributes: attributes(),
        headers: payloads(),
    }
}

/// What runs send to other workflows, and what comes of it.
fn events_between_runs() -> Vec<(&'static str, Event)> {
    let target = Target { workflow_id: WorkflowId::new("other").unwrap(), queue: queue(), run: Some(run()) };
    let external = |op, request| {
        Event::ExternalScheduled(Box::new(ExternalScheduled { op: OpId(op), target: target.clone(), request }))
    };
    let closed = |outcome| Event::ChildClosed { op: OpId(6), outcome };
    vec![
        ("event.child-scheduled", Event::ChildScheduled(Box::new(child()))),
        ("event.child-started", Event::ChildStarted { op: OpId(6), run: run() }),
        ("event.child-completed", closed(Outcome::Completed(Payload::json("7")))),
        ("event.child-failed", closed(Outcome::Failed(failure()))),
        ("event.child-cancel-requested", Event::ChildCancelRequested { op: OpId(6), reason: "late".into() }),
        ("event.external-signal", external(8, ExternalRequest::Signal(signal_in_full()))),
        ("event.external-cancel", external(9, ExternalRequest::Cancel { reason: "late".into() })),
        ("event.external-accepted", Event::ExternalClosed { op: OpId(8), failure: None }),
        (
            "event.external-refused",
            Event::ExternalClosed {
                op: OpId(8),
                failure: Some(Failure::new(FailureKind::NotFound, "no such workflow")),
            },
        ),
    ]
}

fn update() -> Update {
    Update {
        id: UpdateId::new("add 1").unwrap(),
        name: name("add"),
        input: Payload::json("{\"item\":1}"),
        headers: payloads(),
        reply: Some("_INBOX.a.2".into()),
    }
}

/// Events that came to be after the first ones, and fields that did.
fn later_events() -> Vec<(&'static str, Event)> {
    let id = UpdateId::new("add 1").unwrap();
    let waits = ActivityOptions { cancellation: ActivityCancellation::Wait, ..ActivityOptions::default() };
    vec![
        ("event.started.v2", Event::Started(Box::new(started_in_full()))),
        (
            "event.started.v3",
            Event::Started(Box::new(Started {
                taken_cancels: vec![Sender { run: run(), op: OpId(9) }],
                ..started_in_full()
            })),
        ),
        ("event.signaled.v2", Event::Signaled(signal_in_full())),
        (
            "event.cancel-requested.v2",
            Event::CancelRequested { reason: "late".into(), from: Some(Sender { run: run(), op: OpId(9) }) },
        ),
        (
            "event.activity-scheduled.v2",
            Event::ActivityScheduled(Box::new(ActivityScheduled { options: waits, headers: payloads(), ..call() })),
        ),
        (
            "event.step-closed.v2",
            Event::StepClosed { op: OpId(4), name: name("add"), attempt: 3, outcome: Outcome::Failed(failure()) },
        ),
        ("event.failed.v2", Event::Failed { failure: failure(), next: Some(run()) }),
        (
            "event.timed-out.v2",
            Event::TimedOut { failure: Failure::timeout(TimeoutKind::Execution, "too long"), next: Some(run()) },
        ),
        ("event.update-accepted", Event::UpdateAccepted(Box::new(update()))),
        ("event.update-completed", Event::UpdateClosed { id, outcome: Outcome::Completed(Payload::json("2")) }),
        ("event.delay-passed", Event::DelayPassed),
        ("event.continue-as-new-suggested", Event::ContinueAsNewSuggested { events: 100_000, bytes: 1 << 27 }),
        ("event.patched", Event::Patched { id: name("new-price"), deprecated: false }),
        ("event.patch-deprecated", Event::Patched { id: name("new-price"), deprecated: true }),
        ("event.attributes-upserted", Event::AttributesUpserted { attributes: attributes() }),
    ]
}

fn call() -> ActivityScheduled {
    ActivityScheduled {
        op: OpId(3),
        name: name("charge"),
        queue: queue(),
        input: Payload::json("[1]"),
        options: ActivityOptions {
            retry: RetryPolicy {
                initial_interval: Duration::from_millis(250),
                backoff_coefficient: 1.5,
                maximum_interval: Duration::from_mins(1),
                maximum_attempts: 5,
                jitter: 0.25,
            },
            schedule_to_start: Some(Duration::from_secs(1)),
            start_to_close: Some(Duration::from_secs(2)),
            schedule_to_close: Some(Duration::from_secs(3)),
            heartbeat: Some(Duration::from_secs(4)),
            cancellation: ActivityCancellation::Try,
        },
        headers: Payloads::default(),
    }
}

/// One of each kind. A new kind of event belongs here: the match below does not compile without it.
fn events() -> Vec<(&'static str, Event)> {
    let at = Timestamp(1_795_392_478_123_456);
    vec![
        ("event.started", Event::Started(Box::new(started()))),
        ("event.signaled", Event::Signaled(Signal::new(name("approve"), Payload::json("true")))),
        ("event.cancel-requested", Event::CancelRequested { reason: "changed my mind".into(), from: None }),
        ("event.activity-completed", closed(Outcome::Completed(Payload::json("7")))),
        ("event.activity-failed", closed(Outcome::Failed(failure()))),
        ("event.activity-cancelled", closed(Outcome::Cancelled(Failure::new(FailureKind::Cancelled, "asked to")))),
        (
            "event.step-closed",
            Event::StepClosed {
                op: OpId(4),
                name: name("add"),
                attempt: 1,
                outcome: Outcome::Completed(Payload::null()),
            },
        ),
        ("event.timer-fired", Event::TimerFired { op: OpId(5) }),
        ("event.activity-scheduled", Event::ActivityScheduled(Box::new(call()))),
        ("event.activity-cancel-requested", Event::ActivityCancelRequested { op: OpId(3) }),
        ("event.timer-started", Event::TimerStarted { op: OpId(5), fire_at: at }),
        ("event.timer-cancelled", Event::TimerCancelled { op: OpId(5) }),
        ("event.completed", Event::Completed { result: Payload::json("\"done\"") }),
        ("event.failed", Event::Failed { failure: failure(), next: None }),
        ("event.cancelled", Event::Cancelled { failure: Failure::new(FailureKind::Cancelled, "asked to") }),
        ("event.terminated", Event::Terminated { reason: "wrong order".into() }),
        ("event.timed-out", Event::TimedOut { failure: Failure::timeout(TimeoutKind::Run, "too long"), next: None }),
        ("event.continued-as-new", Event::ContinuedAsNew { run: run() }),
        (
            "event.workflow-task-failed",
            Event::WorkflowTaskFailed {
                failure: Failure::new(FailureKind::Panic, "at x.rs:1"),
                attempt: 2,
                retry_at: at,
            },
        ),
    ]
}

fn closed(outcome: Outcome) -> Event {
    Event::ActivityClosed { op: OpId(3), attempt: 2, outcome }
}

fn frame() -> Frame {
    Frame {
        run: run(),
        record: RecordId(Uuid::from_u128(0xfeed)),
        ordinal: 66,
        first_event: 130,
        time: Timestamp(1_795_392_478_123_456),
        marks: Marks {
            inbox: Mark { seq: 1_000, time: Timestamp(1_795_392_478_000_000) },
            fires: Mark { seq: 7, time: Timestamp(1_795_392_470_000_000) },
        },
        closed: false,
        back: vec![900, 950],
    }
}

#[test]
fn every_kind_of_event_is_written_and_read_as_it_always_was() {
    for (name, event) in events().into_iter().chain(events_between_runs()).chain(later_events()) {
        check(name, &event);
    }
}

#[test]
fn records_are_written_and_read_as_they_always_were() {
    let events: Vec<Event> = events().into_iter().map(|(_, event)| event).take(2).collect();
    let previous = PreviousRun { run: run(), ordinal: 1, first_event: 4, back: vec![8], events: events.clone() };
    for (name, record) in [
        ("record", Record { frame: frame(), body: Body { events: events.clone(), previous: None } }),
        ("record.closed", Record { frame: Frame { closed: true, ..frame() }, body: Body::default() }),
        ("record.continued", Record { frame: frame(), body: Body { events, previous: Some(Box::new(previous)) } }),
    ] {
        let stored = golden(name, &record.encode());
        assert_eq!(Record::decode(&stored).unwrap(), record, "{name} reads differently");
        assert_eq!(hex(&record.encode()), hex(&stored), "{name} is written differently");
    }
}

#[test]
fn copies_in_records_are_written_and_read_as_they_always_were() {
    let carrying = Record { frame: Frame { ordinal: 8, ..frame() }, body: Body::default() };
    let mut copies = Copies::default();
    for (ordinal, body) in [(6, &b"\x80"[..]), (7, b"\x81\xa1e\x90")] {
        copies.add(&Frame { ordinal, ..frame() }, body);
    }
    let stored = golden("record.copies", &carrying.encode_with_copies(copies.as_bytes()));
    assert_eq!(Record::decode(&stored).unwrap(), carrying);
    let (_, carried, _) = Frame::decode_with_copies(&stored).unwrap();
    assert_eq!(hex(carried), hex(copies.as_bytes()));
    let read = Copies::read(&Bytes::copy_from_slice(carried)).unwrap();
    assert_eq!(read.iter().map(|(frame, _)| frame.ordinal).collect::<Vec<_>>(), [6, 7]);
}

#[test]
fn tasks_timers_and_outcomes_are_written_and_read_as_they_always_were() {
    let task = ActivityTask {
        workflow_id: WorkflowId::new("order 17/é").unwrap(),
        workflow_type: name("order"),
        run: run(),
        run_queue: queue(),
        call: call(),
        attempt: 2,
        scheduled_at: Timestamp(1_795_392_478_123_456),
        trace: Some(trace()),
        headers: Payloads::default(),
    };
    check("activity-task", &task);
    check("activity-task.v2", &ActivityTask { headers: payloads(), ..task });
    check(
        "activity-report",
        &ActivityReport { op: OpId(3), attempt: 2, outcome: Outcome::Completed(Payload::json("7")) },
    );
    let state = ActivityState {
        attempt: 2,
        heartbeat: Some(Payload::json("50")),
        last_failure: Some(failure()),
        cancel_requested: true,
        start: Some(StartDecision::TimedOut),
        ..ActivityState::default()
    };
    check("activity-state", &state);
    check("cancel-activity", &CancelActivity { run: run(), op: OpId(3) });
    let key = Key::escape("workflow id", "order 17/é").unwrap();
    for (name, timer) in [
        ("fire.sleep", TimerId::Sleep(OpId(5))),
        ("fire.schedule-to-start", TimerId::ScheduleToStart(OpId(3))),
        ("fire.schedule-to-close", TimerId::ScheduleToClose(OpId(3))),
        ("fire.run", TimerId::Run),
        ("fire.delay", TimerId::Delay),
        ("fire.task-retry", TimerId::TaskRetry(4)),
    ] {
        check(name, &Fire { key: key.clone(), run: run(), timer });
    }
}

#[test]
fn requests_between_runs_are_written_and_read_as_they_always_were() {
    let start = ChildStart { parent: origin(), call: child(), headers: payloads(), trace: Some(trace()) };
    check("child-start", &start);
    check("run-signal", &RunSignal { origin: origin(), run: Some(run()), signal: signal_in_full() });
    check("run-cancel", &RunCancel { origin: Some(origin()), run: Some(run()), reason: "late".into() });
    let child = |state| ChildReport { op: OpId(6), child: run(), state };
    check("child-report.started", &child(ChildState::Started));
    check("child-report.closed", &child(ChildState::Closed(Outcome::Failed(failure()))));
    check("external-report", &ExternalReport { op: OpId(8), failure: Some(failure()) });
}

#[test]
fn bucket_entries_are_written_and_read_as_they_always_were() {
    let worker = WorkerId(Uuid::from_u128(0xabc));
    let queues = vec![ServedQueue { queue: queue(), types: vec![name("order"), name("refund")] }];
    check("announcement", &Announcement { worker, name: "host 1".into(), queues });
    let lease = Lease {
        owner: Some(worker),
        epoch: 4,
        wanted_by: None,
        inbox: Mark { seq: 1_000, time: Timestamp(5) },
        fires: Mark { seq: 7, time: Timestamp(6) },
        busy: vec![Key::escape("workflow id", "order-1").unwrap()],
    };
    check("lease", &lease);
    let settings = Settings { partitions: 128, shards: 1, replicas: 3, layout: 1, group_commit: false };
    let grouped = Settings { group_commit: true, ..settings.clone() };
    for (file, settings) in [("settings.json", settings), ("settings-group-commit.json", grouped)] {
        let json = serde_json::to_vec(&settings).unwrap();
        let stored = golden(file, &json);
        assert_eq!(serde_json::from_slice::<Settings>(&stored).unwrap(), settings);
        assert_eq!(String::from_utf8_lossy(&json), String::from_utf8_lossy(&stored));
    }
    assert!(Namespace::new("shop").is_ok());
}

#[test]
fn what_a_run_tells_of_its_signals_is_written_and_read_as_it_always_was() {
    let misfit = UnhandledSignal { name: name("approve"), problem: Some("no number".into()) };
    let unknown = UnhandledSignal { name: name("unheard of"), problem: None };
    let unhandled = UnhandledSignals { run: run(), signals: vec![misfit, unknown], more: 2 };
    let json = serde_json::to_vec(&unhandled).unwrap();
    let stored = golden("unhandled-signals.json", &json);
    assert_eq!(serde_json::from_slice::<UnhandledSignals>(&stored).unwrap(), unhandled);
    assert_eq!(String::from_utf8_lossy(&json), String::from_utf8_lossy(&stored));
}

#[test]
fn an_unknown_field_is_passed_over_and_an_unknown_event_is_an_error() {
    #[derive(Serialize)]
    enum Later {
        TimerFired { op: u64, added_later: &'static str },
        Teleported { to: &'static str },
    }
    let known = wire::encode(&Later::TimerFired { op: 5, added_later: "x" });
    assert_eq!(wire::decode::<Event>(&known).unwrap(), Event::TimerFired { op: OpId(5) });
    let unknown = wire::encode(&Later::Teleported { to: "x" });
    let error = wire::decode::<Event>(&unknown).unwrap_err().to_string();
    assert!(error.contains("Teleported"), "{error}");
}

#[test]
fn a_failure_with_a_long_chain_of_causes_is_refused_and_not_recursed_into() {
    let mut failure = Failure::application("the first");
    for _ in 0..10_000 {
        failure = Failure::application("a later one").caused_by(failure);
    }
    // Encoding and dropping a chain of this length must work too, as user code may make one.
    let bytes = std::thread::Builder::new()
        .stack_size(256 << 20)
        .spawn(move || wire::encode(&failure))
        .unwrap()
        .join()
        .unwrap();
    assert!(matches!(wire::decode::<Failure>(&bytes), Err(wire::Error::TooDeep)));
}

/// What people keep in files: as JSON, whose bytes may differ where its meaning does not.
#[test]
fn an_exported_event_is_written_and_read_as_it_always_was() {
    let event = Event::TimerStarted { op: OpId(3), fire_at: Timestamp(77) };
    let value = ExportedEvent::new(RunId(Uuid::from_u128(1)), 5, Timestamp(1_234_567), &event);
    let file = fs::read_to_string(path("exported-event").with_extension("json")).expect("the file is there");
    let stored: serde_json::Value = serde_json::from_str(&file).unwrap();
    assert_eq!(serde_json::to_value(&value).unwrap(), stored);
    assert_eq!(serde_json::from_value::<ExportedEvent>(stored).unwrap().event().unwrap(), event);
}
