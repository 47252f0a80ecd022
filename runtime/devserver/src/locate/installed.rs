//! Servers that are on this machine already.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::report::{Located, Way};
use super::version;

/// The program that the user named.
pub(super) fn named(path: Option<&Path>) -> Result<Located, String> {
    let path = path.ok_or("not set")?;
    // A bare name would be looked up in the PATH later.
    let path = std::path::absolute(path).map_err(|error| error.to_string())?;
    accept(&path, Way::Environment)
}

/// The first `nats-server` on the search path that is new enough.
pub(super) fn on_path(path: Option<&OsStr>) -> Result<Located, String> {
    let path = path.ok_or("not set")?;
    let mut reasons = Vec::new();
    for file in programs(path, "nats-server") {
        match accept(&file, Way::Path) {
            Ok(located) => return Ok(located),
            Err(reason) => reasons.push(reason),
        }
    }
    if reasons.is_empty() {
        return Err("no nats-server in any of its folders".into());
    }
    Err(reasons.join("; "))
}

/// The files of this name in the folders of a search path.
pub(super) fn programs(path: &OsStr, name: &str) -> impl Iterator<Item = PathBuf> {
    let name = format!("{name}{}", env::consts::EXE_SUFFIX);
    env::split_paths(path).map(move |folder| folder.join(&name)).filter(|file| file.is_file())
}

/// Runs the program to see that it is a NATS server, and new enough.
pub(super) fn accept(path: &Path, way: Way) -> Result<Located, String> {
    let version = version::of(path)?;
    if version < version::MINIMUM {
        let (path, minimum) = (path.display(), version::MINIMUM);
        return Err(format!("{path} is version {version}, older than {minimum}"));
    }
    let path = path.to_owned();
    Ok(Located { path, version, way })
}

#[cfg(all(test, unix))]
mod tests {
    use super::super::fakes::fake_server;
    use super::*;

    #[test]
    fn a_named_server_that_is_new_enough_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let file = fake_server(dir.path(), "2.14.4");
        let located = named(Some(&file)).unwrap();
        assert_eq!((located.path, located.way), (file, Way::Environment));
    }

    #[test]
    fn a_named_file_that_is_missing_or_no_server_is_refused_by_name() {
        let reason = named(Some(Path::new("/nowhere/nats"))).unwrap_err();
        assert!(reason.contains("/nowhere/nats: there is no such program"), "{reason}");

        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("notes.txt");
        std::fs::write(&file, "hello").unwrap();
        let reason = named(Some(&file)).unwrap_err();
        assert!(reason.contains("notes.txt: it cannot be run"), "{reason}");
    }

    #[test]
    fn a_server_that_is_too_old_is_passed_over_for_a_later_one() {
        let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fake_server(old.path(), "2.14.3");
        let wanted = fake_server(new.path(), "2.15.0");
        let path = env::join_paths([old.path(), new.path()]).unwrap();
        assert_eq!(on_path(Some(&path)).unwrap().path, wanted);

        let reason = on_path(Some(old.path().as_os_str())).unwrap_err();
        assert!(reason.ends_with("version 2.14.3, older than 2.14.4"), "{reason}");
    }

    #[test]
    fn a_search_path_without_a_server_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let reason = on_path(Some(dir.path().as_os_str())).unwrap_err();
        assert_eq!(reason, "no nats-server in any of its folders");
        assert_eq!(on_path(None).unwrap_err(), "not set");
    }
}
