//! The official release archive: fetched, checked against its digest, opened.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};
use ureq::Agent;

use super::release::Archive;
use super::report::Progress;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);
const DOWNLOAD_TIMEOUT: Duration = Duration::from_mins(10);
/// Archives are 7 MB and servers 20 MB; more than this is something else.
const BYTES_MAX: u64 = 200 * 1024 * 1024;

/// Puts the archive's server into `scratch`.
pub(super) fn fetch(
    release_url: &str,
    archive: Option<&Archive>,
    scratch: &Path,
    progress: &Progress,
) -> Result<PathBuf, String> {
    let archive = archive.ok_or("no archive with a known digest for this platform")?;
    let url = format!("{}/{}", release_url.trim_end_matches('/'), archive.path);
    progress.say(&format!("downloading {url}"));
    let packed = scratch.join("archive.tar.gz");
    let digest = download(&url, &packed).map_err(|reason| format!("{url}: {reason}"))?;
    if digest != archive.sha256 {
        return Err(format!("{url}: the SHA-256 is {digest} and must be {}; it was thrown away", archive.sha256));
    }
    unpack(&packed, scratch).map_err(|error| format!("{url}: {error}"))
}

/// Writes what is at `url` into a file; gives its SHA-256.
fn download(url: &str, into: &Path) -> Result<String, String> {
    let mut config = Agent::config_builder()
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_recv_response(Some(RESPONSE_TIMEOUT))
        .timeout_global(Some(DOWNLOAD_TIMEOUT));
    if url.starts_with("http://127.0.0.1") {
        // No proxy can reach what listens here.
        config = config.proxy(None);
    }
    let agent: Agent = config.build().into();
    let mut response = agent.get(url).call().map_err(|error| error.to_string())?;
    let mut body = response.body_mut().with_config().limit(BYTES_MAX).reader();

    let mut write = || -> io::Result<String> {
        let mut file = File::create(into)?;
        let mut digest = Sha256::new();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let count = body.read(&mut buffer)?;
            if count == 0 {
                return Ok(hex(&digest.finalize()));
            }
            digest.update(&buffer[..count]);
            file.write_all(&buffer[..count])?;
        }
    };
    write().map_err(|error| format!("the download broke off: {error}"))
}

/// Takes the server, and nothing else, out of the archive.
fn unpack(packed: &Path, into: &Path) -> io::Result<PathBuf> {
    let mut archive = tar::Archive::new(GzDecoder::new(File::open(packed)?));
    for entry in archive.entries()? {
        let entry = entry?;
        let is_server = entry.path()?.file_name().is_some_and(|name| name == "nats-server");
        if is_server && entry.header().entry_type().is_file() {
            let program = into.join("nats-server");
            io::copy(&mut entry.take(BYTES_MAX), &mut File::create(&program)?)?;
            fs::remove_file(packed)?;
            return Ok(program);
        }
    }
    Err(io::Error::other("there is no nats-server in the archive"))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(all(test, unix))]
mod tests {
    use super::super::fakes::{FakeHttp, fake_archive, refused_url};
    use super::*;

    /// Fetches what `url` gives as the archive with this digest.
    fn try_fetch(url: &str, sha256: &str) -> Result<String, String> {
        let scratch = tempfile::tempdir().unwrap();
        let archive = Archive { path: "v9/a.tar.gz".into(), sha256: sha256.into() };
        let quiet = Progress::default();
        let program = fetch(url, Some(&archive), scratch.path(), &quiet)?;
        Ok(fs::read_to_string(program).unwrap())
    }

    #[test]
    fn a_good_archive_gives_its_server() {
        let (bytes, digest) = fake_archive("the program");
        let server = FakeHttp::ok(bytes);
        assert_eq!(try_fetch(&server.url, &digest).unwrap(), "the program");
    }

    #[test]
    fn an_archive_with_another_digest_is_refused_with_both() {
        let (bytes, digest) = fake_archive("the program");
        let (other, _) = fake_archive("another program");
        assert_ne!(bytes, other);
        let server = FakeHttp::ok(other);
        let reason = try_fetch(&server.url, &digest).unwrap_err();
        assert!(reason.contains(&format!("must be {digest}")), "{reason}");
    }

    #[test]
    fn a_download_that_breaks_off_is_refused() {
        let (mut bytes, digest) = fake_archive("the program");
        let missing = bytes.len() / 2;
        bytes.truncate(bytes.len() - missing);
        let server = FakeHttp::serve("200 OK", bytes.clone(), missing);
        let reason = try_fetch(&server.url, &digest).unwrap_err();
        assert!(reason.contains("the download broke off"), "{reason}");

        // Cut by somebody who also corrected the announced length.
        let server = FakeHttp::ok(bytes);
        let reason = try_fetch(&server.url, &digest).unwrap_err();
        assert!(reason.contains("the SHA-256 is"), "{reason}");
    }

    #[test]
    fn a_missing_archive_is_named_with_the_status() {
        let (bytes, digest) = fake_archive("the program");
        let server = FakeHttp::serve("404 Not Found", bytes, 0);
        let reason = try_fetch(&server.url, &digest).unwrap_err();
        assert!(reason.contains("404") && reason.contains("/v9/a.tar.gz"), "{reason}");
    }

    #[test]
    fn a_refused_connection_is_named() {
        let reason = try_fetch(&refused_url(), "00").unwrap_err();
        assert!(reason.to_lowercase().contains("refused"), "{reason}");
    }

    #[test]
    fn an_archive_without_a_server_is_refused() {
        let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let bytes = tar::Builder::new(gzip).into_inner().unwrap().finish().unwrap();
        let digest = hex(&Sha256::digest(&bytes));
        let server = FakeHttp::ok(bytes);
        let reason = try_fetch(&server.url, &digest).unwrap_err();
        assert!(reason.contains("no nats-server in the archive"), "{reason}");
    }

    #[test]
    fn a_platform_without_a_digest_downloads_nothing() {
        let quiet = Progress::default();
        let reason = fetch("http://unused", None, Path::new("/nowhere"), &quiet).unwrap_err();
        assert!(reason.contains("no archive with a known digest"), "{reason}");
    }
}
