//! Finds a NATS server, or installs one, in the first way that works.

mod archive;
mod cache;
mod debian;
#[cfg(all(test, unix))]
mod fakes;
mod go;
mod installed;
mod release;
mod report;
mod run;
mod sources;
mod version;

use std::ffi::OsString;
use std::path::PathBuf;

use self::cache::{Cache, LockedCache};
use self::release::Archive;
use self::report::Progress;
use crate::blocking;

pub use self::report::{LocateError, Located, Way, WayFailure};

/// Where to look for a NATS server and what to install it with.
///
/// In this order: the program that the user named, the search path, the
/// cache folder, the official release archive, `go install`, and the package
/// of a newer Debian or Ubuntu. What is installed goes to the cache folder
/// and nowhere else.
///
/// ```
/// use highwater_devserver::Locator;
///
/// let mut locator = Locator::from_env();
/// locator.path = None; // Ignore what is installed on this machine.
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Locator {
    /// The program that the user named, from `HIGHWATER_NATS_SERVER`.
    pub server: Option<PathBuf>,
    /// The search path for `nats-server`, from `PATH`.
    pub path: Option<OsString>,
    /// The folder for installed servers: `HIGHWATER_CACHE_DIR`, or else
    /// `highwater` in `XDG_CACHE_HOME` or in `.cache` of `HOME`.
    pub cache_dir: Option<PathBuf>,
    /// Where release archives are, from `HIGHWATER_NATS_RELEASES` or else
    /// the official place. A mirror must hold the same bytes.
    pub release_url: String,
    /// The `go` command, from `PATH`.
    pub go: Option<PathBuf>,
    /// apt's configuration folder, read for its mirrors.
    pub apt_dir: Option<PathBuf>,
    archive: Option<Archive>,
    progress: Progress,
}

impl Default for Locator {
    fn default() -> Self {
        Self::from_env()
    }
}

impl Locator {
    /// Looks where the environment of this process says.
    ///
    /// ```
    /// let locator = highwater_devserver::Locator::from_env();
    /// # let _ = locator;
    /// ```
    pub fn from_env() -> Self {
        Self::from_lookup(|name| std::env::var_os(name))
    }

    /// [`from_env`](Self::from_env) with an environment of one's own.
    ///
    /// ```
    /// use highwater_devserver::Locator;
    ///
    /// let locator = Locator::from_lookup(|name| (name == "HOME").then(|| "home".into()));
    /// assert_eq!(locator.cache_dir, Some("home/.cache/highwater".into()));
    /// ```
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<OsString>) -> Self {
        // A variable that is set to nothing counts as not set.
        let get = |name| lookup(name).filter(|value| !value.is_empty());
        let folder = |name| get(name).map(PathBuf::from);
        let path = get("PATH");
        let apt_dir = PathBuf::from("/etc/apt");
        Self {
            server: folder("HIGHWATER_NATS_SERVER"),
            cache_dir: folder("HIGHWATER_CACHE_DIR")
                .or_else(|| Some(folder("XDG_CACHE_HOME")?.join("highwater")))
                .or_else(|| Some(folder("HOME")?.join(".cache").join("highwater"))),
            release_url: get("HIGHWATER_NATS_RELEASES")
                .and_then(|url| url.into_string().ok())
                .unwrap_or_else(|| release::URL.to_owned()),
            go: path.as_ref().and_then(|path| installed::programs(path, "go").next()),
            apt_dir: apt_dir.is_dir().then_some(apt_dir),
            path,
            archive: Archive::for_this_platform(),
            progress: Progress::default(),
        }
    }

    /// Tells `callback` of each slow step in a sentence for the user, such
    /// as "downloading …". The same goes to the log at level `INFO`.
    ///
    /// ```
    /// use highwater_devserver::Locator;
    ///
    /// let locator = Locator::from_env().on_progress(|step| eprintln!("{step}"));
    /// # let _ = locator;
    /// ```
    pub fn on_progress(mut self, callback: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.progress = Progress::to(callback);
        self
    }

    /// Finds or installs a server that runs and is new enough.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), highwater_devserver::LocateError> {
    /// let found = highwater_devserver::Locator::from_env().locate().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn locate(&self) -> Result<Located, LocateError> {
        let locator = self.clone();
        blocking(move || locator.locate_blocking()).await
    }

    /// [`locate`](Self::locate) for code without an async runtime.
    ///
    /// ```no_run
    /// let found = highwater_devserver::Locator::from_env().locate_blocking()?;
    /// # Ok::<(), highwater_devserver::LocateError>(())
    /// ```
    pub fn locate_blocking(&self) -> Result<Located, LocateError> {
        let mut failures = Vec::new();
        let found = self.find(&mut failures).or_else(|| self.install(&mut failures));
        found.ok_or(LocateError { failures })
    }

    /// The ways that only look.
    fn find(&self, failures: &mut Vec<WayFailure>) -> Option<Located> {
        let named = installed::named(self.server.as_deref());
        if let (Some(_), Err(reason)) = (&self.server, &named) {
            tracing::warn!("HIGHWATER_NATS_SERVER is of no use, looking further: {reason}");
        }
        note(failures, Way::Environment, named)
            .or_else(|| note(failures, Way::Path, installed::on_path(self.path.as_deref())))
            .or_else(|| {
                let cache = Cache::new(self.cache_dir.as_deref());
                note(failures, Way::Cache, cache.and_then(Cache::find))
            })
    }

    /// The ways that install into the cache folder, one process at a time.
    fn install(&self, failures: &mut Vec<WayFailure>) -> Option<Located> {
        let cache = Cache::new(self.cache_dir.as_deref());
        let cache = match cache.and_then(|cache| cache.lock(&self.progress)) {
            Ok(cache) => cache,
            Err(reason) => {
                for way in [Way::Archive, Way::Go, Way::Debian] {
                    let reason = format!("the cache folder cannot be used: {reason}");
                    failures.push(WayFailure { way, reason });
                }
                return None;
            }
        };
        // While this process waited, another one may have installed.
        if let Ok(located) = cache.find() {
            return Some(located);
        }
        note(failures, Way::Archive, self.install_archive(&cache))
            .or_else(|| note(failures, Way::Go, self.install_go(&cache)))
            .or_else(|| note(failures, Way::Debian, self.install_debian(&cache)))
    }

    fn install_archive(&self, cache: &LockedCache<'_>) -> Result<Located, String> {
        let scratch = cache.scratch()?;
        let archive = self.archive.as_ref();
        let program = archive::fetch(&self.release_url, archive, scratch.path(), &self.progress)?;
        cache.admit(&program, Way::Archive)
    }

    fn install_go(&self, cache: &LockedCache<'_>) -> Result<Located, String> {
        let scratch = cache.scratch()?;
        let program = go::install(self.go.as_deref(), scratch.path(), &self.progress)?;
        cache.admit(&program, Way::Go)
    }

    fn install_debian(&self, cache: &LockedCache<'_>) -> Result<Located, String> {
        let scratch = cache.scratch()?;
        let admit = |program: &std::path::Path| cache.admit(program, Way::Debian);
        debian::fetch(self.apt_dir.as_deref(), scratch.path(), &self.progress, admit)
    }
}

fn note(failures: &mut Vec<WayFailure>, way: Way, result: Result<Located, String>) -> Option<Located> {
    match result {
        Ok(located) => Some(located),
        Err(reason) => {
            tracing::debug!(%way, reason, "no NATS server in this way");
            failures.push(WayFailure { way, reason });
            None
        }
    }
}

#[cfg(all(test, unix))]
mod tests;
