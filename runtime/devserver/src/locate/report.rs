//! What a search for a server says: its result, its failures, its progress.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use semver::Version;

use super::version;

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
    /// What an earlier search left in Highwater's own cache folder.
    Cache,
    /// The official release archive for this platform.
    Archive,
    /// `go install` of the server's module.
    Go,
    /// The package of a newer Debian or Ubuntu.
    Debian,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Environment => "HIGHWATER_NATS_SERVER",
            Self::Path => "PATH",
            Self::Cache => "cache folder",
            Self::Archive => "release archive",
            Self::Go => "go install",
            Self::Debian => "Debian package",
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
/// # let _ = show;
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

type Callback = Arc<dyn Fn(&str) + Send + Sync>;

/// Where sentences about slow steps go: always to the log, and to a callback.
#[derive(Clone, Default)]
pub(super) struct Progress(Option<Callback>);

impl Progress {
    pub(super) fn to(callback: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(callback)))
    }

    pub(super) fn say(&self, sentence: &str) {
        tracing::info!("{sentence}");
        if let Some(callback) = &self.0 {
            callback(sentence);
        }
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Progress(callback)" } else { "Progress(log)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_lists_each_way_with_its_reason() {
        let failure = |way, reason: &str| WayFailure { way, reason: reason.into() };
        let failures = vec![failure(Way::Path, "not set"), failure(Way::Go, "no go")];
        let text = LocateError { failures }.to_string();
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(lines, ["  PATH: not set", "  go install: no go"]);
        assert!(text.contains("2.14.4") && text.contains("HIGHWATER_NATS_SERVER"), "{text}");
    }
}
