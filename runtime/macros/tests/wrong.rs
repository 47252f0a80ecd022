//! What people get to read when they write something that cannot work.
//!
//! The tests stand here and not with the facade, so that they need not build a client of NATS a second time.

#[test]
fn mistakes_are_answered_with_what_to_write_instead() {
    trybuild::TestCases::new().compile_fail("tests/wrong/*.rs");
}
