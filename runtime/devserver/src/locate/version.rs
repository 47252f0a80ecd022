//! Which version a program reports.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use semver::Version;

use super::run::run;

/// The oldest server that Highwater works with.
pub(super) const MINIMUM: Version = Version::new(2, 14, 4);

/// How long a program may take to report its version.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Runs `program --version`; the reason when it is no NATS server.
pub(super) fn of(program: &Path) -> Result<Version, String> {
    let output = run(Command::new(program).arg("--version"), TIMEOUT)
        .map_err(|reason| format!("{}: {reason}", program.display()))?;
    parse(&output).ok_or_else(|| {
        let name = program.display();
        format!("{name} reports no NATS server version but {:?}", output.trim())
    })
}

/// Reads `nats-server: v2.15.1`.
fn parse(output: &str) -> Option<Version> {
    let version = output.trim().strip_prefix("nats-server: v")?;
    Version::parse(version.trim()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_line_of_a_server_is_read() {
        assert_eq!(parse("nats-server: v2.15.1\n"), Some(Version::new(2, 15, 1)));
    }

    #[test]
    fn a_preview_is_older_than_its_release() {
        let preview = parse("nats-server: v2.14.4-RC.1\n").unwrap();
        assert!(preview < MINIMUM);
    }

    #[test]
    fn other_programs_have_no_server_version() {
        assert_eq!(parse("go version go1.26 linux/amd64"), None);
        assert_eq!(parse("nats-server: vNext"), None);
        assert_eq!(parse(""), None);
    }
}
