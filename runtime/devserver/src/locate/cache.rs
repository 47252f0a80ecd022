//! Highwater's own folder of installed servers.
//!
//! An entry appears by a rename within the folder, under a file lock, so a
//! reader sees a whole program or none, and two installers take turns.

use std::env::consts;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use semver::Version;
use tempfile::TempDir;

use super::installed::accept;
use super::report::{Located, Progress, Way};
use super::version;

/// How long another process may install before this one gives up.
const LOCK_TIMEOUT: Duration = Duration::from_mins(30);
/// Pause between two attempts to lock.
const LOCK_POLL: Duration = Duration::from_millis(20);
const SCRATCH_PREFIX: &str = "installing-";

/// The folder, when there is a place for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cache<'a> {
    dir: &'a Path,
}

/// The folder while no other process installs into it.
#[derive(Debug)]
pub(super) struct LockedCache<'a> {
    cache: Cache<'a>,
    /// Closing the file unlocks it.
    _lock: File,
}

impl<'a> Cache<'a> {
    pub(super) fn new(dir: Option<&'a Path>) -> Result<Self, String> {
        dir.map(|dir| Self { dir })
            .ok_or_else(|| "no place for it: none of HIGHWATER_CACHE_DIR, XDG_CACHE_HOME and HOME is set".into())
    }

    /// The newest entry that runs and is new enough.
    pub(super) fn find(self) -> Result<Located, String> {
        self.search(|_| ())
    }

    /// The newest good entry; gives bad ones to `reject`.
    fn search(self, mut reject: impl FnMut(&Path)) -> Result<Located, String> {
        let mut reasons = Vec::new();
        for (version, path) in self.entries() {
            let reason = match accept(&path, Way::Cache) {
                Ok(located) if located.version == version => return Ok(located),
                Ok(located) => format!("{} is version {}", path.display(), located.version),
                Err(reason) => reason,
            };
            reject(&path);
            reasons.push(reason);
        }
        if reasons.is_empty() {
            return Err(format!("no server for this platform in {}", self.dir.display()));
        }
        Err(reasons.join("; "))
    }

    /// Entries for this platform, the newest first; a home folder may be
    /// shared between platforms.
    fn entries(self) -> Vec<(Version, PathBuf)> {
        let Ok(folder) = fs::read_dir(self.dir) else {
            return Vec::new();
        };
        let mut entries: Vec<_> = folder
            .flatten()
            .filter_map(|entry| Some((version_of(entry.file_name().to_str()?)?, entry.path())))
            .collect();
        entries.sort_by(|a, b| b.cmp(a));
        entries
    }

    /// Waits for the turn of this process to install.
    pub(super) fn lock(self, progress: &Progress) -> Result<LockedCache<'a>, String> {
        let explain = |error: io::Error| format!("{}: {error}", self.dir.display());
        fs::create_dir_all(self.dir).map_err(explain)?;
        let lock = File::create(self.dir.join("lock")).map_err(explain)?;
        let deadline = Instant::now() + LOCK_TIMEOUT;
        let mut told = false;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(LockedCache { cache: self, _lock: lock }),
                Err(TryLockError::Error(error)) => return Err(explain(error)),
                Err(TryLockError::WouldBlock) if Instant::now() > deadline => {
                    return Err(format!("another process holds it for {LOCK_TIMEOUT:?}"));
                }
                Err(TryLockError::WouldBlock) => {}
            }
            if !told {
                progress.say("waiting for another process that installs a NATS server");
                told = true;
            }
            thread::sleep(LOCK_POLL);
        }
    }
}

impl LockedCache<'_> {
    /// Looks again, as another process may have installed meanwhile, and
    /// removes what is broken or too old.
    pub(super) fn find(&self) -> Result<Located, String> {
        self.cache.search(|path| {
            tracing::warn!(path = %path.display(), "removing an unusable NATS server from the cache");
            // What cannot be removed is passed over the next time too.
            let _ = fs::remove_file(path);
        })
    }

    /// A folder to install in, on the same file system as the entries.
    pub(super) fn scratch(&self) -> Result<TempDir, String> {
        for entry in fs::read_dir(self.cache.dir).into_iter().flatten().flatten() {
            // Nobody else installs now: it is what a killed process left.
            if entry.file_name().to_string_lossy().starts_with(SCRATCH_PREFIX) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        tempfile::Builder::new()
            .prefix(SCRATCH_PREFIX)
            .tempdir_in(self.cache.dir)
            .map_err(|error| format!("{}: {error}", self.cache.dir.display()))
    }

    /// Makes a program an entry, if it runs and is new enough.
    pub(super) fn admit(&self, program: &Path, way: Way) -> Result<Located, String> {
        let explain = |error: io::Error| format!("{}: {error}", program.display());
        make_executable(program).map_err(explain)?;
        let located = accept(program, way)?;
        // On disk before it has its name, or a loss of power leaves an
        // entry without content.
        File::open(program).and_then(|file| file.sync_all()).map_err(explain)?;
        let path = self.cache.dir.join(file_name(&located.version));
        fs::rename(program, &path).map_err(explain)?;
        Ok(Located { path, ..located })
    }
}

fn platform() -> String {
    format!("-{}-{}{}", consts::OS, consts::ARCH, consts::EXE_SUFFIX)
}

fn file_name(version: &Version) -> String {
    format!("nats-server-v{version}{}", platform())
}

/// The version in an entry's name, when it is one that could serve.
fn version_of(file_name: &str) -> Option<Version> {
    let version = file_name.strip_prefix("nats-server-v")?.strip_suffix(&platform())?;
    let version = Version::parse(version).ok()?;
    (version >= version::MINIMUM).then_some(version)
}

#[cfg(unix)]
fn make_executable(program: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(program, fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn make_executable(_program: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::super::fakes::{fake_program, fake_server, server_script};
    use super::*;

    fn entry(dir: &Path, version: &str, script: &str) -> PathBuf {
        fake_program(dir, &file_name(&Version::parse(version).unwrap()), script)
    }

    fn locked(dir: &Path) -> LockedCache<'_> {
        Cache { dir }.lock(&Progress::default()).unwrap()
    }

    #[test]
    fn the_newest_entry_for_this_platform_is_found() {
        let dir = tempfile::tempdir().unwrap();
        entry(dir.path(), "2.14.4", &server_script("2.14.4"));
        let newest = entry(dir.path(), "2.15.10", &server_script("2.15.10"));
        entry(dir.path(), "2.15.9", &server_script("2.15.9"));
        fake_program(dir.path(), "nats-server-v2.99.0-plan9-mips", &server_script("2.99.0"));
        assert_eq!(Cache { dir: dir.path() }.find().unwrap().path, newest);
    }

    #[test]
    fn an_entry_that_does_not_run_is_removed_by_the_installer_alone() {
        let dir = tempfile::tempdir().unwrap();
        let broken = entry(dir.path(), "2.15.1", "\u{7f}ELF cut off");
        let reason = Cache { dir: dir.path() }.find().unwrap_err();
        assert!(reason.contains("cannot be run"), "{reason}");
        assert!(broken.exists());

        let good = entry(dir.path(), "2.15.0", &server_script("2.15.0"));
        assert_eq!(locked(dir.path()).find().unwrap().path, good);
        assert!(!broken.exists());
    }

    #[test]
    fn an_entry_that_reports_another_version_is_not_trusted() {
        let dir = tempfile::tempdir().unwrap();
        entry(dir.path(), "2.15.1", &server_script("2.15.0"));
        let reason = locked(dir.path()).find().unwrap_err();
        assert!(reason.contains("is version 2.15.0"), "{reason}");
    }

    #[test]
    fn an_admitted_program_becomes_an_entry_under_its_version() {
        let dir = tempfile::tempdir().unwrap();
        let cache = locked(dir.path());
        let scratch = cache.scratch().unwrap();
        let program = fake_server(scratch.path(), "2.15.1");
        let located = cache.admit(&program, Way::Go).unwrap();
        assert_eq!(located.path, dir.path().join(file_name(&Version::new(2, 15, 1))));
        assert_eq!(cache.find().unwrap().path, located.path);
        assert!(!program.exists());
    }

    #[test]
    fn a_program_that_is_too_old_is_not_admitted() {
        let dir = tempfile::tempdir().unwrap();
        let cache = locked(dir.path());
        let scratch = cache.scratch().unwrap();
        let program = fake_server(scratch.path(), "2.9.10");
        assert!(cache.admit(&program, Way::Debian).unwrap_err().contains("older than"));
        assert!(cache.find().is_err());
    }

    #[test]
    fn what_a_killed_installer_left_is_cleared() {
        let dir = tempfile::tempdir().unwrap();
        let left = locked(dir.path()).scratch().unwrap().keep();
        let _scratch = locked(dir.path()).scratch().unwrap();
        assert!(!left.exists());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let inside = file.join("cache");
        let error = Cache { dir: &inside }.lock(&Progress::default()).unwrap_err();
        assert!(error.contains("file/cache"), "{error}");
    }
}
