//! The ladder as a whole: what falls through to what.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::{fs, thread};

use super::fakes::{FakeHttp, fake_archive, fake_program, fake_server, refused_url, server_script};
use super::*;

/// A locator that finds nothing at all, with a cache folder in `dir`.
fn nothing(dir: &Path) -> Locator {
    let mut locator = Locator::from_lookup(|_| None);
    locator.cache_dir = Some(dir.join("cache"));
    locator.release_url = refused_url();
    locator.apt_dir = None;
    locator
}

/// The same with a release archive of this version, and its HTTP server.
fn archive(dir: &Path, version: &str) -> (Locator, FakeHttp) {
    let (bytes, sha256) = fake_archive(&server_script(version));
    let http = FakeHttp::ok(bytes);
    let mut locator = nothing(dir);
    locator.release_url.clone_from(&http.url);
    locator.archive = Some(Archive { path: "v9/a.tar.gz".into(), sha256 });
    (locator, http)
}

fn fake_go(dir: &Path, version: &str) -> PathBuf {
    let script =
        format!("#!/bin/sh\nmkdir \"$GOBIN\" && cat >\"$GOBIN/nats-server\" <<'END'\n{}END\n", server_script(version));
    fake_program(dir, "go", &script)
}

#[test]
fn the_environment_names_every_place() {
    let dir = tempfile::tempdir().unwrap();
    let go = fake_program(dir.path(), "go", "");
    let path = dir.path().as_os_str().to_owned();
    let locator = Locator::from_lookup(|name| match name {
        "PATH" => Some(path.clone()),
        "HIGHWATER_NATS_SERVER" => Some("/a/nats-server".into()),
        "HIGHWATER_CACHE_DIR" => Some("/b".into()),
        "XDG_CACHE_HOME" => Some("/c".into()),
        "HIGHWATER_NATS_RELEASES" => Some("https://mirror.example".into()),
        _ => None,
    });
    assert_eq!(locator.server, Some("/a/nats-server".into()));
    assert_eq!(locator.cache_dir, Some("/b".into()));
    assert_eq!(locator.release_url, "https://mirror.example");
    assert_eq!(locator.go, Some(go));
}

#[test]
fn the_cache_folder_follows_the_xdg_rules_and_empty_counts_as_unset() {
    let lookup = |set: &'static [(&str, &str)]| {
        let find = |name: &str| set.iter().find(|(key, _)| *key == name);
        Locator::from_lookup(|name| find(name).map(|(_, value)| value.into())).cache_dir
    };
    let both = &[("HIGHWATER_CACHE_DIR", ""), ("XDG_CACHE_HOME", "/x"), ("HOME", "/h")];
    assert_eq!(lookup(both), Some("/x/highwater".into()));
    assert_eq!(lookup(&[("HOME", "/h")]), Some("/h/.cache/highwater".into()));
    assert_eq!(lookup(&[]), None);
}

#[test]
fn when_every_way_fails_each_is_listed_with_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    let mut locator = nothing(dir.path());
    locator.server = Some(dir.path().join("missing"));
    locator.path = Some(fake_server(dir.path(), "2.9.10").parent().unwrap().into());
    locator.archive = Some(Archive { path: "a".into(), sha256: String::new() });
    locator.go = Some(fake_program(dir.path(), "go", "#!/bin/sh\necho offline >&2; exit 1\n"));

    let error = locator.locate_blocking().unwrap_err();
    let expected = [
        (Way::Environment, "there is no such program"),
        (Way::Path, "version 2.9.10, older than 2.14.4"),
        (Way::Cache, "no server for this platform"),
        (Way::Archive, "refused"),
        (Way::Go, "offline"),
        (Way::Debian, "there is no apt"),
    ];
    assert_eq!(error.failures.len(), expected.len(), "{error}");
    for (failure, (way, reason)) in error.failures.iter().zip(expected) {
        assert_eq!(failure.way, way);
        assert!(failure.reason.to_lowercase().contains(reason), "{failure:?}");
        assert!(error.to_string().contains(&failure.reason), "{error}");
    }
}

#[test]
fn without_a_place_for_the_cache_the_installing_ways_say_why() {
    let dir = tempfile::tempdir().unwrap();
    let mut locator = nothing(dir.path());
    locator.cache_dir = None;
    let error = locator.locate_blocking().unwrap_err();
    let reasons: Vec<&str> = error.failures[3..].iter().map(|f| f.reason.as_str()).collect();
    assert_eq!(reasons.len(), 3);
    assert!(reasons.iter().all(|reason| reason.contains("HOME")), "{error}");
}

#[test]
fn a_wrong_name_in_the_environment_falls_through_to_the_path() {
    let dir = tempfile::tempdir().unwrap();
    let mut locator = nothing(dir.path());
    locator.server = Some(dir.path().join("missing"));
    fake_server(dir.path(), "2.15.1");
    locator.path = Some(dir.path().into());
    assert_eq!(locator.locate_blocking().unwrap().way, Way::Path);
}

#[tokio::test]
async fn an_archive_is_installed_once_and_found_in_the_cache_after() {
    let dir = tempfile::tempdir().unwrap();
    let (locator, http) = archive(dir.path(), "2.15.0");
    let told = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&told);
    let locator = locator.on_progress(move |step| listener.lock().unwrap().push(step.to_owned()));

    let first = locator.locate().await.unwrap();
    assert_eq!((first.way, first.version.to_string().as_str()), (Way::Archive, "2.15.0"));
    let second = locator.locate().await.unwrap();
    assert_eq!((second.way, second.path), (Way::Cache, first.path));
    assert_eq!(http.requests(), 1);
    assert_eq!(*told.lock().unwrap(), [format!("downloading {}/v9/a.tar.gz", http.url)]);
}

#[test]
fn a_corrupted_cache_entry_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let (locator, http) = archive(dir.path(), "2.15.0");
    let entry = locator.locate_blocking().unwrap().path;
    fs::write(&entry, "\u{7f}ELF cut off").unwrap();
    let again = locator.locate_blocking().unwrap();
    assert_eq!((again.way, &again.path), (Way::Archive, &entry));
    assert_eq!(http.requests(), 2);
    assert_eq!(fs::read_to_string(&entry).unwrap(), server_script("2.15.0"));
}

#[test]
fn an_archive_of_an_old_server_falls_through_to_go() {
    let dir = tempfile::tempdir().unwrap();
    let (mut locator, _http) = archive(dir.path(), "2.14.0");
    locator.go = Some(fake_go(dir.path(), "2.15.1"));
    let located = locator.locate_blocking().unwrap();
    assert_eq!((located.way, located.version.to_string().as_str()), (Way::Go, "2.15.1"));
}

#[test]
fn many_who_ask_at_once_install_once_and_get_the_same_program() {
    let dir = tempfile::tempdir().unwrap();
    let (locator, http) = archive(dir.path(), "2.15.0");
    let asking: Vec<_> = (0..8)
        .map(|_| {
            let locator = locator.clone();
            thread::spawn(move || locator.locate_blocking().unwrap())
        })
        .collect();
    let found: Vec<Located> = asking.into_iter().map(|t| t.join().unwrap()).collect();
    assert!(found.iter().all(|located| located.path == found[0].path));
    assert_eq!(http.requests(), 1);
    // Only the program and the lock are left.
    assert_eq!(fs::read_dir(dir.path().join("cache")).unwrap().count(), 2);
}

#[test]
fn the_debian_package_is_fetched_on_debian() {
    let dir = tempfile::tempdir().unwrap();
    let mut locator = nothing(dir.path());
    locator.apt_dir = Locator::from_env().apt_dir;
    let system = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let Some(apt_dir) = locator.apt_dir.as_ref().filter(|_| system.contains("\nID=debian\n")) else {
        eprintln!("skipped: this is not Debian, and others may have no newer package yet");
        return;
    };
    let before = snapshot(apt_dir);
    let located = locator.locate_blocking().unwrap();
    assert_eq!(located.way, Way::Debian);
    assert!(located.path.starts_with(dir.path()));
    assert_eq!(snapshot(apt_dir), before, "the machine's apt was touched");
}

/// Names and times of the files that say where apt gets packages.
fn snapshot(apt_dir: &Path) -> Vec<(PathBuf, std::time::SystemTime)> {
    let folders = [apt_dir.to_owned(), apt_dir.join("sources.list.d")];
    let entries = folders.iter().flat_map(|folder| fs::read_dir(folder).into_iter().flatten());
    let mut files: Vec<_> =
        entries.flatten().map(|entry| (entry.path(), entry.metadata().unwrap().modified().unwrap())).collect();
    files.sort();
    files
}
