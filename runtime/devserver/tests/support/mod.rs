//! A NATS client of a few lines, and waiting with a deadline.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// One connection that speaks the client protocol.
pub(crate) struct Client {
    pub(crate) info: serde_json::Value,
    input: BufReader<TcpStream>,
    output: TcpStream,
}

impl Client {
    pub(crate) fn connect(port: u16) -> io::Result<Self> {
        let output = TcpStream::connect(("127.0.0.1", port))?;
        output.set_read_timeout(Some(PATIENCE))?;
        let mut input = BufReader::new(output.try_clone()?);
        let mut greeting = String::new();
        input.read_line(&mut greeting)?;
        let json = greeting.strip_prefix("INFO ").unwrap_or_default();
        let info = serde_json::from_str(json)?;
        Ok(Self { info, input, output })
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.output.write_all(text.as_bytes()).unwrap();
    }

    /// The next line that is not the server's own PING.
    pub(crate) fn line(&mut self) -> String {
        self.try_line().unwrap()
    }

    fn try_line(&mut self) -> io::Result<String> {
        loop {
            let mut line = String::new();
            self.input.read_line(&mut line)?;
            if line.trim_end() != "PING" {
                return Ok(line.trim_end().to_owned());
            }
            self.send("PONG\r\n");
        }
    }

    /// Sends a PING and gives the answer.
    pub(crate) fn ping(&mut self) -> String {
        self.send("CONNECT {\"verbose\":false}\r\nPING\r\n");
        self.line()
    }

    /// Whether the server says something within this time.
    pub(crate) fn hears_within(&mut self, time: Duration) -> bool {
        self.output.set_read_timeout(Some(time)).unwrap();
        let heard = self.try_line().is_ok();
        self.output.set_read_timeout(Some(PATIENCE)).unwrap();
        heard
    }

    /// Sends a request and gives the answer's payload.
    pub(crate) fn request(&mut self, subject: &str, payload: &str) -> serde_json::Value {
        self.send("CONNECT {\"verbose\":false}\r\nSUB answer 1\r\nUNSUB 1 1\r\n");
        self.send(&format!("PUB {subject} answer {}\r\n{payload}\r\n", payload.len()));
        let head = self.line();
        let length = head.rsplit(' ').next().unwrap().parse().expect(&head);
        let mut bytes = vec![0; length];
        self.input.read_exact(&mut bytes).unwrap();
        self.line();
        serde_json::from_slice(&bytes).unwrap()
    }
}

/// Waits until it is so; fails the test when it does not become so.
pub(crate) fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether there is a process of this id.
pub(crate) fn is_alive(pid: u32) -> bool {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    rustix::process::test_kill_process(pid).is_ok()
}
