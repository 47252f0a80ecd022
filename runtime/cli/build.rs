//! Tells the program with which profile it is built: what it measures of itself depends on that.

use std::{env, path::PathBuf};

fn main() {
    // `<target>/<profile>/build/<package>/out`; Cargo names a profile of one's own nowhere else.
    let out = env::var_os("OUT_DIR").map(PathBuf::from).unwrap_or_default();
    let profile = out.ancestors().nth(3).and_then(|folder| folder.file_name()).unwrap_or_default();
    println!("cargo::rustc-env=HIGHWATER_PROFILE={}", profile.to_string_lossy());
    println!("cargo::rerun-if-changed=build.rs");
}
