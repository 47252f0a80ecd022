//! `go install` of the server's module.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::release;
use super::report::Progress;
use super::run::run;

/// The build takes about a minute, on a slow machine or network many.
const TIMEOUT: Duration = Duration::from_mins(20);

/// Builds the server into `scratch`.
pub(super) fn install(go: Option<&Path>, scratch: &Path, progress: &Progress) -> Result<PathBuf, String> {
    let go = go.ok_or("Go is not on the PATH")?;
    let module = release::MODULE;
    progress.say(&format!("building {module} with Go (about a minute)"));
    let bin = scratch.join("bin");
    let mut command = Command::new(go);
    command
        .args(["install", "-trimpath", module])
        // Away from any go.mod or go.work of the user's.
        .current_dir(scratch)
        .env("GOBIN", &bin)
        // Needs no C compiler, and runs on every libc.
        .env("CGO_ENABLED", "0")
        .env_remove("GOOS")
        .env_remove("GOARCH");
    run(&mut command, TIMEOUT).map_err(|reason| format!("{} install {module}: {reason}", go.display()))?;
    let program = bin.join(format!("nats-server{}", std::env::consts::EXE_SUFFIX));
    if !program.is_file() {
        return Err(format!("{} install built no nats-server", go.display()));
    }
    Ok(program)
}

#[cfg(all(test, unix))]
mod tests {
    use super::super::fakes::fake_program;
    use super::*;

    #[test]
    fn the_pinned_module_is_built_into_a_folder_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let script = "#!/bin/sh\nmkdir \"$GOBIN\" && echo \"$@\" >\"$GOBIN/nats-server\"\n";
        let go = fake_program(dir.path(), "go", script);
        let program = install(Some(&go), dir.path(), &Progress::default()).unwrap();
        assert!(program.starts_with(dir.path()));
        let arguments = std::fs::read_to_string(program).unwrap();
        assert_eq!(arguments, format!("install -trimpath {}\n", release::MODULE));
    }

    #[test]
    fn a_failed_build_says_what_go_said() {
        let dir = tempfile::tempdir().unwrap();
        let go = fake_program(dir.path(), "go", "#!/bin/sh\necho no such host >&2\nexit 1\n");
        let reason = install(Some(&go), dir.path(), &Progress::default()).unwrap_err();
        assert!(reason.contains("no such host"), "{reason}");
    }

    #[test]
    fn a_build_without_a_program_is_a_failure() {
        let dir = tempfile::tempdir().unwrap();
        let go = fake_program(dir.path(), "go", "#!/bin/sh\nexit 0\n");
        let reason = install(Some(&go), dir.path(), &Progress::default()).unwrap_err();
        assert!(reason.contains("built no nats-server"), "{reason}");
    }

    #[test]
    fn a_machine_without_go_says_so() {
        let reason = install(None, Path::new("/nowhere"), &Progress::default()).unwrap_err();
        assert_eq!(reason, "Go is not on the PATH");
    }
}
