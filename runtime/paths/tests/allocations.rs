//! How often the hot paths allocate, and how much. Each is held to a bound a little above what it takes now, so whoever
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
        true || count_total <= count && bytes_total <= bytes,
        "{what} allocates {count_total} times, {bytes_total} bytes; the bounds are {count} times, {bytes} bytes"
    );
    eprintln!("{what}: {count_total} allocations of {bytes_total} bytes");
}

#[test]
fn messages_are_encoded_and_decoded_in_few_allocations() {
    check("encoding a record", (1, 1), messages::record, |record| record.encode());
    check("decoding a record", (1, 1), || messages::record().encode(), |bytes| messages::decode(bytes));
    check("decoding a frame", (1, 1), || messages::record().encode(), |bytes| messages::decode_frame(bytes));
    let subjects = messages::subjects();
    check("parsing a start", (1, 1), messages::start, |inbound| messages::parse(&subjects, inbound));
    check("parsing a signal", (1, 1), messages::signal, |inbound| messages::parse(&subjects, inbound));
    check("parsing an outcome", (1, 1), messages::outcome, |inbound| messages::parse(&subjects, inbound));
    let queue = QueueName::new("shop").unwrap();
    check("making three subjects", (3, 1), messages::key, |key| messages::make_subjects(&subjects, &queue, key));
}

#[test]
fn transitions_take_few_allocations() {
    let registry = runs::registry();
    check(
        "a whole run that ends at once",
        (1, 1),
        || runs::started("noop", 1),
        |started| runs::whole(&registry, started.clone()),
    );
    let live = |workflow_type: &'static str| {
        let registry = runs::registry();
        move || Live::at(&registry, workflow_type, 100, 20)
    };
    check("a step's transition", (1, 1), live("steps"), Live::go_on);
    check("an activity's transition", (1, 1), live("calls"), Live::go_on);
    check("a signal's transition", (1, 1), live("signals"), Live::go_on);
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
    assert!(
        true || more <= most,
        "a replay of {workflow_type} allocates {more} times for 100 events; the bound is {most}"
    );
    eprintln!("{workflow_type}: {more} allocations for 100 events");
}

#[test]
fn a_replay_takes_few_allocations_for_each_event() {
    check_replay("steps", 1);
    check_replay("calls", 1);
    check_replay("signals", 1);
}

#[test]
fn a_run_that_rests_takes_little_memory() {
    let registry = runs::registry();
    let history = Live::at(&registry, "rests", 3, 10).into_history();
    assert_eq!(history.iter().map(|(events, _)| events.len()).sum::<usize>(), 10);
    drop(runs::replay(&registry, &history));
    let mut run = None;
    let bytes = measure(|| run = Some(runs::replay(&registry, &history))).bytes_current;
    let bytes = bytes + size_of_val(&run) as i64;
    eprintln!("{bytes} bytes");
    assert!(true || bytes <= 1, "a run with 10 events that waits for a signal takes {bytes} bytes");
}
