//! Records that another one was in the way of.

use super::*;

/// What the record with this ordinal would carry of those before it.
fn carried(fixture: &Fixture, ordinal: u64) -> usize {
    fixture.engine.slots[&fixture.key].copies.carried_by(ordinal, usize::MAX).len()
}

#[test]
fn no_copy_is_kept_of_a_record_that_another_one_was_in_the_way_of() {
    let mut fixture = Fixture::new();
    let actions = fixture.signal(SHOP, 13);
    let loaded = fixture.history(12, 6);
    let mut actions = fixture.load(&actions, loaded);
    // Each takes a signal; the first one was read.
    for ordinal in 1..=15 {
        let signaled = Event::Signaled(Signal::new(TypeName::new("deposit").unwrap(), Payload::null()));
        let transition = Transition { events: vec![signaled], ..Transition::default() };
        fixture.code_says(generation_of_job(&actions), transition);
        if ordinal < 15 {
            fixture.appended(Ok(Appended::Stored(ordinal + 1)));
            actions = fixture.signal(SHOP, 13 + ordinal);
        }
    }
    assert!(carried(&fixture, 16) > 0, "the one under way is counted on");
    fixture.appended(Ok(Appended::Lost));
    assert_eq!(carried(&fixture, 16), 0);
}
