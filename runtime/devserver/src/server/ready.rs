//! Waiting until a started server answers.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Deserialize;

/// Pause between two looks; the condition is the answer, never the pause.
const POLL: Duration = Duration::from_millis(5);
/// The longest wait for one line from a server that accepted a connection.
const LINE_TIMEOUT: Duration = Duration::from_secs(5);
/// The greeting is one line; nobody's is larger than this.
const LINE_MAX: u64 = 64 * 1024;

/// Where a server listens, as it says itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) url: String,
    pub(super) port: u16,
}

#[derive(Deserialize)]
struct Ports {
    nats: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Info {
    auth_required: bool,
    tls_required: bool,
}

/// Waits for the ports file in `ports_dir`; `check` may end the wait early.
pub(super) fn address(ports_dir: &Path, deadline: Instant, mut check: impl FnMut() -> bool) -> Option<Address> {
    while check() && Instant::now() < deadline {
        if let Some(found) = read_ports(ports_dir) {
            return Some(found);
        }
        std::thread::sleep(POLL);
    }
    None
}

/// A half-written file does not parse and is read again.
fn read_ports(ports_dir: &Path) -> Option<Address> {
    for entry in fs::read_dir(ports_dir).ok()?.flatten() {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        let Ok(ports) = serde_json::from_str::<Ports>(&text) else {
            continue;
        };
        let url = ports.nats.into_iter().next()?;
        let port = url.rsplit(':').next()?.parse().ok()?;
        return Some(Address { url, port });
    }
    None
}

/// Waits until the server at `port` answers; the last refusal otherwise.
pub(super) fn answers(
    port: u16,
    handshake_first: bool,
    deadline: Instant,
    mut check: impl FnMut() -> bool,
) -> io::Result<()> {
    loop {
        let error = match probe(port, handshake_first) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if !check() || Instant::now() >= deadline {
            return Err(error);
        }
        std::thread::sleep(POLL);
    }
}

/// Greets the server as a client does. Behind authentication or TLS the
/// server's own greeting is all that a stranger gets, and enough.
fn probe(port: u16, handshake_first: bool) -> io::Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(LINE_TIMEOUT))?;
    stream.set_write_timeout(Some(LINE_TIMEOUT))?;
    if handshake_first {
        return Ok(());
    }
    let mut lines = BufReader::new(stream.try_clone()?);
    let greeting = line(&mut lines)?;
    let json = greeting.strip_prefix("INFO ").ok_or_else(|| unexpected(&greeting))?;
    let info: Info = serde_json::from_str(json).map_err(|_| unexpected(&greeting))?;
    if info.auth_required || info.tls_required {
        return Ok(());
    }
    stream.write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n")?;
    match line(&mut lines)? {
        answer if answer.trim_end() == "PONG" => Ok(()),
        answer => Err(unexpected(&answer)),
    }
}

fn line(from: &mut impl BufRead) -> io::Result<String> {
    let mut text = String::new();
    io::Read::take(from, LINE_MAX).read_line(&mut text)?;
    Ok(text)
}

fn unexpected(answer: &str) -> io::Error {
    io::Error::other(format!("not the answer of a NATS server: {answer:?}"))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    /// Serves one connection with these lines, each after one that arrives.
    fn fake(greeting: &'static str, answer: &'static str) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(greeting.as_bytes()).unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap());
            while !line(&mut lines).unwrap_or_default().is_empty() {
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        port
    }

    #[test]
    fn a_server_that_answers_a_ping_is_ready() {
        let port = fake("INFO {}\r\n", "PONG\r\n");
        probe(port, false).unwrap();
    }

    #[test]
    fn a_server_behind_authentication_is_ready_when_it_greets() {
        let port = fake("INFO {\"auth_required\":true}\r\n", "-ERR 'no'\r\n");
        probe(port, false).unwrap();
    }

    #[test]
    fn a_stranger_on_the_port_is_not_a_server() {
        let port = fake("SSH-2.0-OpenSSH\r\n", "");
        let error = probe(port, false).unwrap_err();
        assert!(error.to_string().contains("SSH-2.0"), "{error}");
    }

    #[test]
    fn an_error_instead_of_a_pong_is_not_ready() {
        let port = fake("INFO {}\r\n", "-ERR 'maximum connections exceeded'\r\n");
        let error = probe(port, false).unwrap_err();
        assert!(error.to_string().contains("maximum"), "{error}");
    }

    #[test]
    fn waiting_ends_early_when_the_process_is_gone() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let far = Instant::now() + Duration::from_hours(1);
        let error = answers(port, false, far, || false).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(address(Path::new("/nowhere"), far, || false), None);
    }

    #[test]
    fn a_half_written_ports_file_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("nats-server_7.ports");
        fs::write(&file, "{\"nats\":[\"nats://127").unwrap();
        let mut looks = 0;
        let found = address(dir.path(), soon(), || {
            looks += 1;
            if looks == 3 {
                fs::write(&file, "{\"nats\":[\"nats://127.0.0.1:4333\"]}").unwrap();
            }
            true
        });
        let url = "nats://127.0.0.1:4333".into();
        assert_eq!(found, Some(Address { url, port: 4333 }));
        assert_eq!(looks, 3);
    }
}
