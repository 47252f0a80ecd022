//! What people get to read when they write something that cannot work.
//!
//! The tests stand here and not with the facade, so that they need not build a client of NATS a second time.

use std::process::Command;

/// The compiler whose messages the files beside the cases hold.
const COMPILER: &str = "rustc 1.95.";

#[test]
fn mistakes_are_answered_with_what_to_write_instead() {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output().expect("a compiler built this test");
    let version = String::from_utf8_lossy(&version.stdout);
    if !version.starts_with(COMPILER) {
        // Compilers word and lay out the same message differently, and whoever has another one has made no mistake.
        println!("not compared: the messages on file are those of {COMPILER}x, this is {version}");
        return;
    }
    trybuild::TestCases::new().compile_fail("tests/wrong/*.rs");
}
