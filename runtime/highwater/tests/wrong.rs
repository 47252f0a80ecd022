//! What people get to read when they write something that cannot work.

#[test]
fn mistakes_are_answered_with_what_to_write_instead() {
    trybuild::TestCases::new().compile_fail("tests/wrong/*.rs");
}
