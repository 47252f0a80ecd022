//! Events that the code could not take at first: recorded, and taken when it is tried again.

use std::time::Duration;

use highwater_core::{Ctx, Exit, run::Conclusion};
use highwater_macros::{activity, select, workflow};
use highwater_protocol::{
    Event, Failure, FailureKind, OpId, Payload, Timestamp, TypeName,
    event::{Outcome, Signal},
};

use crate::play::{Mode, Piece, Play, RUN, history, registry, replay, replay_until};

const SECOND: Duration = Duration::from_secs(1);

#[activity]
async fn charge(cents: u32) -> Result<u32, String> {
    Ok(cents)
}

fn failed(history: &[Piece], events: Vec<Event>, seconds: u32) -> Piece {
    let time = history.last().map_or(Timestamp::ZERO, |last| last.time).after(SECOND * seconds);
    let failure = Failure::new(FailureKind::Panic, "a bug");
    let failed = Event::WorkflowTaskFailed { failure, attempt: 1, retry_at: time };
    Piece { events: events.into_iter().chain([failed]).collect(), time }
}

#[workflow(name = "race")]
async fn race(ctx: Ctx) -> Result<String, Exit> {
    let winner = select! {
        paid = ctx.run(charge, 1) => format!("paid {}", paid?),
        slept = ctx.sleep(SECOND) => { slept?; "late".to_owned() }
    };
    let when = ctx.now().as_millis();
    ctx.signals::<()>("go").recv().await?;
    Ok(format!("{winner} at {when}"))
}

/// The events of a failed task are on record and were not taken. A retry that succeeds may leave no record of itself,
/// so replay must come to the same without knowing when it was.
#[test]
fn the_events_of_a_failed_task_are_taken_by_themselves_before_what_came_later() {
    let registry = registry(race);
    let mut records = history(race, &["start"]);
    records.push(failed(&records, vec![Event::TimerFired { op: OpId(2) }], 5));
    let at = records[1].time.as_millis();

    let later = records[1].time.after(SECOND * 100);
    let (mut run, rest) = replay_until(&registry, &records, later).unwrap();
    assert_eq!(rest.events, [Event::ActivityCancelRequested { op: OpId(1) }]);
    let next = run.activate(RUN, vec![go()], later.after(SECOND)).unwrap();
    let expected = Payload::encode(&format!("late at {at}")).unwrap();
    assert_eq!(next.conclusion, Some(Conclusion::Completed(expected)));

    // Recorded apart, or as one.
    let (retry, next) = (Piece { events: rest.events, time: later }, Piece { events: next.events, time: later });
    let joined = Piece { events: [retry.events.clone(), next.events.clone()].concat(), time: later };
    for tail in [vec![retry, next.clone()], vec![joined]] {
        let (_, end) = replay(&registry, &[records.clone(), tail].concat()).unwrap();
        assert!(end.events.is_empty());
        assert!(end.conclusion.is_some_and(
            |end| matches!(end, Conclusion::Completed(text) if text.begin().contains(&format!("late at {at}")))
        ));
    }
}

#[test]
fn a_retry_that_asked_for_nothing_is_not_mixed_with_what_came_later() {
    #[workflow]
    async fn counting(ctx: Ctx) -> Result<Vec<u32>, Exit> {
        let mut sizes = Vec::new();
        let (mut first, mut second) = (ctx.signals::<()>("a"), ctx.signals::<()>("b"));
        for _ in 0..2 {
            sizes.push(select! {
                a = first.recv() => { a?; 1 }
                b = second.recv() => { b?; 2 }
            });
        }
        Ok(sizes)
    }
    let registry = registry(counting);
    let mut play = Play::new(&registry, Mode::Kept);
    let mut records = history(counting, &["start"]);
    records.push(failed(&records, vec![crate::play::parse(&mut play, "signal b")], 1));
    let (mut run, rest) = replay(&registry, &records).unwrap();
    assert!(rest.is_empty());
    let time = records[1].time.after(SECOND);
    let next = run.activate(RUN, vec![crate::play::parse(&mut play, "signal a")], time).unwrap();
    records.push(Piece { events: next.events, time });
    let (_, end) = replay(&registry, &records).unwrap();
    assert_eq!(end.conclusion, next.conclusion);
    assert_eq!(end.conclusion, Some(Conclusion::Completed(Payload::json("[2,1]"))));
}

#[test]
fn several_failed_tasks_in_a_row_keep_all_their_events() {
    let registry = registry(race);
    let mut records = Vec::new();
    let started = Play::new(&registry, Mode::Kept).started("null");
    records.push(failed(&records, vec![started], 1_000));
    records.push(failed(&records, vec![], 10));
    records.push(failed(&records, vec![go()], 10));
    let (mut run, rest) = replay(&registry, &records).unwrap();
    assert_eq!(rest.events.len(), 2, "{:?}", rest.events);
    let outcome = Outcome::Completed(Payload::json("5"));
    let paid = Event::ActivityClosed { op: OpId(1), attempt: 1, outcome };
    let end = run.activate(RUN, vec![paid], records[2].time).unwrap();
    assert_eq!(end.events.last(), Some(&Event::TimerCancelled { op: OpId(2) }));
    assert!(end.conclusion.is_some(), "the signal is still there");
}

#[test]
fn a_failed_task_may_have_recorded_what_concerns_nobody() {
    let registry = registry(race);
    let mut records = history(race, &["start", "fire 2"]);
    let closed = |json: &str| {
        let outcome = Outcome::Completed(Payload::json(json.to_owned()));
        Event::ActivityClosed { op: OpId(1), attempt: 1, outcome }
    };
    // The activity lost the race already, the timer has fired already, and neither is an operation any more.
    records.push(failed(&records, vec![closed("5"), Event::TimerFired { op: OpId(2) }, go()], 1));
    let (_, end) = replay(&registry, &records).expect("as if they had been left out");
    assert!(end.conclusion.is_some());
}

fn go() -> Event {
    let name = TypeName::new("go").unwrap();
    Event::Signaled(Signal::new(name, Payload::null()))
}
