//! How often the hot paths allocate, and how much. Each is held to what it takes now, or a little more, so whoever
//! makes one cost more has to say so here.

use std::hint::black_box;

use allocation_counter::{AllocationInfo, measure};
use highwater_paths::{
    messages,
    runs::{self, Live},
};
use highwater_protocol::QueueName;

/// Runs `work` twice, so that what is made once per process does not count, and checks the second time.
#[track_caller]
fn check<T, R>(what: &str, (count, bytes): (u64, u64), prepare: impl Fn() -> T, work: impl Fn(&mut T) -> R) {
    drop(black_box(work(&mut prepare())));
    let mut prepared = prepare();
    let mut result = None;
    let AllocationInfo { count_total, bytes_total, .. } = measure(|| result = Some(black_box(work(&mut prepared))));
    assert!(
        count_total <= count && bytes_total <= bytes,
        "{what} allocates {count_total} times, {bytes_total} bytes; the bounds are {count} times, {bytes} bytes"
    );
}

#[test]
fn messages_are_encoded_and_decoded_in_few_allocations() {
    check("encoding a record", (2, 800), messages::record, |record| record.encode());
    check("decoding a record", (7, 700), || messages::record().encode(), |bytes| messages::decode(bytes));
    check("decoding a frame", (1, 100), || messages::record().encode(), |bytes| messages::decode_frame(bytes));
    let subjects = messages::subjects();
    check("parsing a start", (5, 500), messages::start, |inbound| messages::parse(&subjects, inbound));
    check("parsing a signal", (4, 120), messages::signal, |inbound| messages::parse(&subjects, inbound));
    check("parsing an outcome", (3, 100), messages::outcome, |inbound| messages::parse(&subjects, inbound));
    let queue = QueueName::new("shop").unwrap();
    check("making three subjects", (3, 180), messages::key, |key| messages::make_subjects(&subjects, &queue, key));
}

#[test]
fn transitions_take_few_allocations() {
    let registry = runs::registry();
    check(
        "a whole run that ends at once",
        (21, 3_800),
        || runs::started("noop", 1),
        |started| runs::whole(&registry, started.clone()),
    );
    let live = |workflow_type: &'static str| {
        let registry = runs::registry();
        move || Live::at(&registry, workflow_type, 100, 20)
    };
    check("a step's transition", (6, 1_400), live("steps"), Live::go_on);
    check("an activity's transition", (8, 1_800), live("calls"), Live::go_on);
    check("a signal's transition", (5, 1_900), live("signals"), Live::go_on);
}

/// Allocations for a hundred more events in a replay.
#[track_caller]
fn check_replay(workflow_type: &str, most: u64) {
    let registry = runs::registry();
    let count = |events| {
        let history = Live::at(&registry, workflow_type, 2_000, events).into_history();
        let mut run = None;
        drop(runs::replay(&registry, &history));
        measure(|| run = Some(runs::replay(&registry, &history))).count_total
    };
    let more = count(1_100) - count(1_000);
    assert!(more <= most, "a replay of {workflow_type} allocates {more} times for 100 events; the bound is {most}");
}

#[test]
fn a_replay_takes_few_allocations_for_each_event() {
    check_replay("steps", 210);
    check_replay("calls", 210);
    check_replay("signals", 210);
}

/// What a run with ten events behind it may hold in memory while it waits for a signal, in bytes.
const RESTING_MAX: i64 = 3_000;

#[test]
fn a_run_that_rests_takes_little_memory() {
    let registry = runs::registry();
    let history = Live::at(&registry, "rests", 3, 10).into_history();
    assert_eq!(history.iter().map(|(events, _)| events.len()).sum::<usize>(), 10);
    drop(runs::replay(&registry, &history));
    let mut run = None;
    let bytes = measure(|| run = Some(runs::replay(&registry, &history))).bytes_current;
    let bytes = bytes + size_of_val(&run) as i64;
    assert!(bytes <= RESTING_MAX, "a run with 10 events that waits for a signal takes {bytes} bytes");
}
