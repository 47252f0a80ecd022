//! Finds a NATS server, or installs one.

mod run;
mod version;

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use semver::Version;

use crate::blocking;

/// One way to get a NATS server, in the order in which they are tried.
///
/// ```
/// assert_eq!(highwater_devserver::Way::Path.to_string(), "PATH");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Way {
    /// The program that `HIGHWATER_NATS_SERVER` names.
    Environment,
    /// `nats-server` in a folder of `PATH`.
    Path,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Environment => "HIGHWATER_NATS_SERVER",
            Self::Path => "PATH",
        })
    }
}

/// A NATS server program that runs and is new enough.
///
/// ```no_run
/// # async fn example() -> Result<(), highwater_devserver::LocateError> {
/// let found = highwater_devserver::Locator::from_env().locate().await?;
/// println!("{} {} ({})", found.path.display(), found.version, found.way);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Located {
    /// Where the program is.
    pub path: PathBuf,
    /// The version that it reports.
    pub version: Version,
    /// The way that found it.
    pub way: Way,
}

/// Why one way did not give a server.
///
/// ```
/// fn show(failure: &highwater_devserver::WayFailure) {
///     println!("{}: {}", failure.way, failure.reason);
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WayFailure {
    /// The way that failed.
    pub way: Way,
    /// What happened.
    pub reason: String,
}

/// No way gave a server; the message lists each with its reason.
///
/// ```no_run
/// # async fn example() {
/// if let Err(error) = highwater_devserver::Locator::from_env().locate().await {
///     for failure in &error.failures {
///         eprintln!("{}: {}", failure.way, failure.reason);
///     }
/// }
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LocateError {
    /// Each way that was tried, in order.
    pub failures: Vec<WayFailure>,
}

impl fmt::Display for LocateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "no NATS server of version {} or newer could be found or installed; \
             install one, or set HIGHWATER_NATS_SERVER to its path. What was tried:",
            version::MINIMUM
        )?;
        for WayFailure { way, reason } in &self.failures {
            write!(f, "\n  {way}: {reason}")?;
        }
        Ok(())
    }
}

impl std::error::Error for LocateError {}

/// Where to look for a NATS server and what to install it with.
///
/// ```
/// use highwater_devserver::Locator;
///
/// let mut locator = Locator::from_env();
/// locator.path = None; // Ignore what is installed on this machine.
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Locator {
    /// The program that the user named, from `HIGHWATER_NATS_SERVER`.
    pub server: Option<PathBuf>,
    /// The search path for programs, from `PATH`.
    pub path: Option<OsString>,
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
    /// let locator = Locator::from_lookup(|name| (name == "PATH").then(|| "bin".into()));
    /// assert_eq!(locator.server, None);
    /// ```
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<OsString>) -> Self {
        // A variable that is set to nothing counts as not set.
        let get = |name| lookup(name).filter(|value| !value.is_empty());
        Self {
            server: get("HIGHWATER_NATS_SERVER").map(PathBuf::from),
            path: get("PATH"),
        }
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
        let ways: [(Way, fn(&Self) -> Result<Located, String>); 2] =
            [(Way::Environment, Self::environment), (Way::Path, Self::search_path)];
        for (way, attempt) in ways {
            match attempt(self) {
                Ok(located) => return Ok(located),
                Err(reason) => failures.push(WayFailure { way, reason }),
            }
        }
        Err(LocateError { failures })
    }

    fn environment(&self) -> Result<Located, String> {
        let path = self.server.as_deref().ok_or("not set")?;
        accept(path, Way::Environment)
    }

    fn search_path(&self) -> Result<Located, String> {
        let path = self.path.as_ref().ok_or("not set")?;
        let mut reasons = Vec::new();
        for folder in std::env::split_paths(path) {
            let file = folder.join(format!("nats-server{}", std::env::consts::EXE_SUFFIX));
            if !file.is_file() {
                continue;
            }
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
}

/// Runs the program to see that it is a NATS server, and new enough.
fn accept(path: &Path, way: Way) -> Result<Located, String> {
    let version = version::of(path)?;
    if version < version::MINIMUM {
        return Err(format!(
            "{} is version {version}, older than {}",
            path.display(),
            version::MINIMUM
        ));
    }
    let path = path.to_owned();
    Ok(Located { path, version, way })
}
