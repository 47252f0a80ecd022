//! The package of a newer Debian or Ubuntu, from this machine's own mirror.
//!
//! apt runs with a configuration, a state and a cache of its own in the
//! scratch folder. Nothing is installed, and the machine's apt is only read:
//! its mirrors, the keys that sign them, and how to reach them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::report::Progress;
use super::run::run;
use super::sources::{self, Source};

/// For each of apt's steps; the index is about 10 MB, the package 5 MB.
const TIMEOUT: Duration = Duration::from_mins(5);
/// How many mirrors are asked; the first is nearly always the right one.
const MIRRORS_MAX: usize = 4;

/// A suite of a mirror that has a server of a newer release.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Candidate {
    uri: String,
    suite: &'static str,
    components: &'static str,
    signed_by: Option<String>,
    check_valid_until: Option<String>,
}

/// Gets the package's server into a folder below `scratch`. `admit` decides
/// whether it will do; otherwise the next suite is tried.
pub(super) fn fetch<T>(
    apt_dir: Option<&Path>,
    scratch: &Path,
    progress: &Progress,
    admit: impl Fn(&Path) -> Result<T, String>,
) -> Result<T, String> {
    let apt_dir = apt_dir.ok_or("there is no apt on this system")?;
    let candidates = candidates(&sources::read(apt_dir));
    if candidates.is_empty() {
        return Err(format!("no Debian or Ubuntu mirror in {}", apt_dir.display()));
    }
    let settings = host_settings()?;
    let mut reasons = Vec::new();
    for (number, candidate) in candidates.iter().enumerate() {
        let Candidate { uri, suite, .. } = candidate;
        progress.say(&format!("downloading the nats-server package of {suite} from {uri}"));
        let folder = scratch.join(format!("apt-{number}"));
        match package(candidate, &settings, &folder).and_then(|program| admit(&program)) {
            Ok(admitted) => return Ok(admitted),
            Err(reason) => reasons.push(format!("{suite} of {uri}: {reason}")),
        }
    }
    Err(reasons.join("; "))
}

/// Where newer packages may be, the likeliest first.
fn candidates(sources: &[Source]) -> Vec<Candidate> {
    // The main archive has a suite with a plain name; updates, security and
    // most other vendors' sources do not.
    let is_main = |source: &&Source| {
        source.components.iter().any(|name| name == "main")
            && source.suites.iter().any(|suite| !suite.contains(['-', '/']))
    };
    let mut mirrors: Vec<(&String, &Source)> = Vec::new();
    for source in sources.iter().filter(is_main) {
        for uri in &source.uris {
            let known = mirrors.iter().any(|(known, _)| *known == uri);
            if !known && !uri.starts_with("cdrom:") {
                mirrors.push((uri, source));
            }
        }
    }
    // Mirrors are named after what they mirror, by custom.
    let custom = |uri: &str| uri.contains("debian") || uri.contains("ubuntu");
    mirrors.sort_by_key(|(uri, _)| !custom(uri));
    mirrors.truncate(MIRRORS_MAX);

    let newer = |source: &Source, uri: &str| -> &'static [(&'static str, &'static str)] {
        let universe = source.components.iter().any(|name| name == "universe");
        if universe || uri.contains("ubuntu") {
            &[("devel", "universe")]
        } else {
            &[("forky", "main"), ("sid", "main")]
        }
    };
    let mut candidates = Vec::new();
    for (uri, source) in mirrors {
        for &(suite, components) in newer(source, uri) {
            candidates.push(Candidate {
                uri: uri.clone(),
                suite,
                components,
                signed_by: source.signed_by.clone(),
                check_valid_until: source.check_valid_until.clone(),
            });
        }
    }
    candidates
}

/// How this machine reaches mirrors: proxies, time-outs, certificates.
fn host_settings() -> Result<String, String> {
    let dump =
        run(Command::new("apt-config").arg("dump"), TIMEOUT).map_err(|reason| format!("apt-config: {reason}"))?;
    Ok(acquire_settings(&dump))
}

fn acquire_settings(dump: &str) -> String {
    // What else to download, and in which languages, is decided here.
    let other = ["Acquire::IndexTargets", "Acquire::Languages", "Acquire::Changelogs"];
    dump.lines()
        .filter(|line| line.starts_with("Acquire::"))
        .filter(|line| !other.iter().any(|name| line.starts_with(name)))
        .fold(String::new(), |text, line| text + line + "\n")
}

fn package(candidate: &Candidate, settings: &str, folder: &Path) -> Result<PathBuf, String> {
    let apt_conf = prepare(candidate, settings, folder)?;
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.arg("--quiet").args(arguments).current_dir(folder);
        command.env("APT_CONFIG", &apt_conf).env("LC_ALL", "C");
        run(&mut command, TIMEOUT).map_err(|reason| format!("apt-get {}: {reason}", arguments[0]))
    };
    apt(&["update"])?;
    apt(&["download", "nats-server"])?;
    let package = only_package(folder).ok_or("apt-get download left no package")?;
    let content = folder.join("content");
    let mut extract = Command::new("dpkg-deb");
    extract.arg("--extract").arg(package).arg(&content);
    run(&mut extract, TIMEOUT).map_err(|reason| format!("dpkg-deb: {reason}"))?;
    ["usr/sbin", "usr/bin"]
        .iter()
        .map(|place| content.join(place).join("nats-server"))
        .find(|program| program.is_file())
        .ok_or_else(|| "there is no nats-server in the package".into())
}

/// Lays out a folder in which apt finds everything that it needs.
fn prepare(candidate: &Candidate, settings: &str, folder: &Path) -> Result<PathBuf, String> {
    let explain = |error: std::io::Error| format!("{}: {error}", folder.display());
    for below in ["state/lists/partial", "cache/archives/partial", "sources", "empty"] {
        fs::create_dir_all(folder.join(below)).map_err(explain)?;
    }
    let base = folder.to_str().filter(|path| !path.contains(['"', '\n']));
    let base = base.ok_or_else(|| format!("apt cannot work in {}", folder.display()))?;
    let apt_conf = folder.join("apt.conf");
    fs::write(folder.join("status"), "").map_err(explain)?;
    fs::write(folder.join("sources/newer.sources"), stanza(candidate)).map_err(explain)?;
    fs::write(&apt_conf, configuration(base, settings)).map_err(explain)?;
    Ok(apt_conf)
}

fn stanza(candidate: &Candidate) -> String {
    let Candidate { uri, suite, components, signed_by, check_valid_until } = candidate;
    let optional = |name: &str, value: &Option<String>| match value {
        Some(value) => format!("{name}: {value}\n"),
        None => String::new(),
    };
    format!(
        "Types: deb\nURIs: {uri}\nSuites: {suite}\nComponents: {components}\n{}{}",
        optional("Signed-By", signed_by),
        optional("Check-Valid-Until", check_valid_until),
    )
}

/// apt reads this before the machine's own files, which it then leaves out,
/// and with them hooks that run after an update.
fn configuration(base: &str, settings: &str) -> String {
    format!(
        "{settings}\
Dir::State \"{base}/state\";
Dir::State::status \"{base}/status\";
Dir::Cache \"{base}/cache\";
Dir::Log \"{base}\";
Dir::Etc::main \"{base}/empty/none\";
Dir::Etc::parts \"{base}/empty\";
Dir::Etc::sourcelist \"{base}/empty/none\";
Dir::Etc::sourceparts \"{base}/sources\";
Dir::Etc::preferences \"{base}/empty/none\";
Dir::Etc::preferencesparts \"{base}/empty\";
APT::Update::Error-Mode \"any\";
Acquire::Languages \"none\";
Acquire::PDiffs \"false\";
// Root's apt would change to a user who may not enter this folder.
APT::Sandbox::User \"\";
"
    )
}

fn only_package(folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    let mut files = entries.map(|entry| entry.path());
    files.find(|path| path.extension().is_some_and(|ending| ending == "deb"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(uri: &str, suite: &str, components: &[&str]) -> Source {
        Source {
            uris: vec![uri.into()],
            suites: vec![suite.into()],
            components: components.iter().map(|&name| name.to_owned()).collect(),
            ..Source::default()
        }
    }

    fn places(sources: &[Source]) -> Vec<String> {
        let candidates = candidates(sources);
        candidates.iter().map(|c| format!("{} {}", c.uri, c.suite)).collect()
    }

    #[test]
    fn newer_debian_suites_are_looked_for_on_the_machines_main_mirror() {
        let sources = [
            source("http://vendor.example/node", "nodistro", &["main"]),
            source("http://m.example/debian-security", "bookworm-security", &["main"]),
            source("http://m.example/debian", "bookworm", &["main"]),
            source("http://m.example/debian", "bookworm-updates", &["main"]),
            source("http://docker.example/debian", "bookworm", &["stable"]),
            source("cdrom:[Debian]/", "bookworm", &["main"]),
        ];
        let expected = [
            "http://m.example/debian forky",
            "http://m.example/debian sid",
            "http://vendor.example/node forky",
            "http://vendor.example/node sid",
        ];
        assert_eq!(places(&sources), expected);
    }

    #[test]
    fn on_ubuntu_it_is_the_release_in_development() {
        let sources = [source("http://m.example/ubuntu", "noble", &["main", "universe"])];
        assert_eq!(places(&sources), ["http://m.example/ubuntu devel"]);
        assert_eq!(candidates(&sources)[0].components, "universe");
    }

    #[test]
    fn the_number_of_mirrors_is_limited() {
        let sources: Vec<Source> =
            (0..9).map(|number| source(&format!("http://m{number}.example/debian"), "sid", &["main"])).collect();
        assert_eq!(candidates(&sources).len(), 2 * MIRRORS_MAX);
    }

    #[test]
    fn keys_and_the_users_word_on_age_go_with_the_mirror() {
        let mut from = source("http://m.example/debian", "sid", &["main"]);
        from.signed_by = Some("/keys/debian.gpg".into());
        from.check_valid_until = Some("no".into());
        assert_eq!(
            stanza(&candidates(&[from])[0]),
            "Types: deb\nURIs: http://m.example/debian\nSuites: forky\nComponents: main\n\
             Signed-By: /keys/debian.gpg\nCheck-Valid-Until: no\n"
        );
    }

    #[test]
    fn only_how_to_reach_mirrors_is_taken_from_the_machine() {
        let dump = "APT::Update::Post-Invoke:: \"rm\";\n\
                    Acquire::http::Proxy \"http://proxy.example\";\n\
                    Acquire::IndexTargets::deb::DEP-11 \"\";\n\
                    Acquire::Check-Valid-Until \"false\";\n\
                    Dir::Etc \"etc/apt\";\n";
        assert_eq!(
            acquire_settings(dump),
            "Acquire::http::Proxy \"http://proxy.example\";\n\
             Acquire::Check-Valid-Until \"false\";\n"
        );
    }

    #[test]
    fn a_system_without_apt_or_without_mirrors_says_so() {
        let fetch = |dir| fetch(dir, Path::new("/nowhere"), &Progress::default(), |_| Ok(()));
        assert_eq!(fetch(None).unwrap_err(), "there is no apt on this system");
        let empty = tempfile::tempdir().unwrap();
        let reason = fetch(Some(empty.path())).unwrap_err();
        assert!(reason.starts_with("no Debian or Ubuntu mirror in"), "{reason}");
    }
}
