//! A client of the NATS protocol in plain bytes over TCP: what any program in any language can do, and no library of
//! ours.
//!
//! See <https://docs.nats.io/reference/reference-protocols/nats-protocol>.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU64, Ordering},
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use crate::deadline::within;

/// Connections so far, so that each has inbox subjects of its own.
static CONNECTIONS: AtomicU64 = AtomicU64::new(0);

/// A connection.
#[derive(Debug)]
pub struct RawNats {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    inbox: String,
    subscriptions: u64,
    /// Messages that were read while something else was waited for.
    waiting: VecDeque<RawMessage>,
}

/// A message as it came.
#[derive(Clone, Debug, Default)]
pub struct RawMessage {
    /// The subject.
    pub subject: String,
    /// The reply subject; empty when there is none.
    pub reply: String,
    /// The status in the first line of the headers, such as `503`.
    pub status: String,
    /// Name and value, in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl RawMessage {
    /// The value of a header; empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is text")
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {:?}", self.text()))
    }
}

impl RawNats {
    /// Connects without credentials.
    pub async fn connect(port: u16) -> Result<Self> {
        Self::connect_with(port, json!({})).await
    }

    /// Connects with further fields for `CONNECT`, such as `user` and `pass`.
    pub async fn connect_with(port: u16, fields: Value) -> Result<Self> {
        let (reader, writer) = TcpStream::connect(("127.0.0.1", port)).await?.into_split();
        let inbox = format!("_INBOX.{}-{}", std::process::id(), CONNECTIONS.fetch_add(1, Ordering::Relaxed));
        let reader = BufReader::new(reader);
        let mut connection = Self { reader, writer, inbox, subscriptions: 0, waiting: VecDeque::new() };
        let info = connection.line().await?;
        if !info.starts_with("INFO ") {
            bail!("the server began with {info:?}");
        }
        let mut connect = json!({ "verbose": false, "headers": true, "no_responders": true });
        for (name, value) in fields.as_object().into_iter().flatten() {
            connect[name] = value.clone();
        }
        connection.send(format!("CONNECT {connect}\r\n").as_bytes()).await?;
        connection.flush().await?;
        Ok(connection)
    }

    /// Subscribes to an inbox subject that nobody else has, and returns it.
    pub async fn inbox(&mut self) -> Result<String> {
        let subject = format!("{}.{}", self.inbox, self.subscriptions);
        self.subscribe(&subject).await?;
        Ok(subject)
    }

    /// Subscribes to a subject.
    pub async fn subscribe(&mut self, subject: &str) -> Result<()> {
        self.subscriptions += 1;
        let line = format!("SUB {subject} {}\r\n", self.subscriptions);
        self.send(line.as_bytes()).await?;
        self.flush().await
    }

    /// Publishes; `reply` may be empty.
    pub async fn publish(&mut self, subject: &str, reply: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<()> {
        let mut bytes = Vec::new();
        if headers.is_empty() {
            bytes.extend(format!("PUB {subject} {reply} {}\r\n", body.len()).into_bytes());
        } else {
            let mut head = "NATS/1.0\r\n".to_owned();
            for (name, value) in headers {
                head.extend([name, ": ", value, "\r\n"]);
            }
            head.push_str("\r\n");
            bytes.extend(format!("HPUB {subject} {reply} {} {}\r\n", head.len(), head.len() + body.len()).into_bytes());
            bytes.extend(head.into_bytes());
        }
        bytes.extend(body);
        bytes.extend(b"\r\n");
        self.send(&bytes).await
    }

    /// Publishes and waits for the one answer: a stream's acknowledgement, or what a listener says.
    pub async fn request(&mut self, subject: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<RawMessage> {
        let reply = self.inbox().await?;
        self.publish(subject, &reply, headers, body).await?;
        self.next_on(&reply).await
    }

    /// Publishes to a stream and returns its acknowledgement, parsed; an error when the stream did not take it.
    pub async fn store(&mut self, subject: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Value> {
        let answer = self.request(subject, headers, body).await?;
        if !answer.status.is_empty() {
            bail!("no stream answers for {subject}: status {}", answer.status);
        }
        let ack: Value = serde_json::from_slice(&answer.body)?;
        match ack.get("error") {
            Some(error) => bail!("{error}"),
            None => Ok(ack),
        }
    }

    /// The next message on a subject; what comes on others meanwhile is kept.
    pub async fn next_on(&mut self, subject: &str) -> Result<RawMessage> {
        if let Some(at) = self.waiting.iter().position(|message| message.subject == subject) {
            return Ok(self.waiting.remove(at).expect("it was there"));
        }
        loop {
            if let Some(message) = self.read().await? {
                if message.subject == subject {
                    return Ok(message);
                }
                self.waiting.push_back(message);
            }
        }
    }

    /// The next message on any subject.
    pub async fn next(&mut self) -> Result<RawMessage> {
        loop {
            if let Some(message) = self.waiting.pop_front() {
                return Ok(message);
            }
            let read = self.read().await?;
            self.waiting.extend(read);
        }
    }

    /// Waits until the server has taken everything that was sent. A refusal that it told on the way is an error.
    pub async fn flush(&mut self) -> Result<()> {
        self.send(b"PING\r\n").await?;
        while let Some(message) = self.read().await? {
            self.waiting.push_back(message);
        }
        Ok(())
    }

    /// Sends bytes as they are.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.writer.write_all(bytes).await.context("the connection is closed")
    }

    /// A message, or nothing for a PONG.
    async fn read(&mut self) -> Result<Option<RawMessage>> {
        loop {
            let line = self.line().await?;
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            match words.as_slice() {
                ["PING"] => self.send(b"PONG\r\n").await?,
                ["PONG"] => return Ok(None),
                ["MSG", subject, _, reply @ .., size] if reply.len() < 2 => {
                    return self.message(subject, reply, 0, size.parse()?).await.map(Some);
                }
                ["HMSG", subject, _, reply @ .., head, size] if reply.len() < 2 => {
                    return self.message(subject, reply, head.parse()?, size.parse()?).await.map(Some);
                }
                ["INFO", ..] => {}
                _ => bail!("{line}"),
            }
        }
    }

    async fn message(&mut self, subject: &str, reply: &[&str], head: usize, size: usize) -> Result<RawMessage> {
        let mut bytes = vec![0; size + 2];
        within("the rest of a message", self.reader.read_exact(&mut bytes)).await?;
        bytes.truncate(size);
        let body = bytes.split_off(head);
        let head = String::from_utf8(bytes)?;
        let (first, rest) = head.split_once("\r\n").unwrap_or_default();
        let pair = |line: &str| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
        let status = first.strip_prefix("NATS/1.0").unwrap_or_default().trim().to_owned();
        let (subject, reply) = (subject.to_owned(), reply.concat());
        Ok(RawMessage { subject, reply, status, headers: rest.lines().filter_map(pair).collect(), body })
    }

    async fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        let read = within("a line of the server's", self.reader.read_line(&mut line)).await?;
        if read == 0 {
            bail!("the server closed the connection");
        }
        Ok(line.trim_end().to_owned())
    }
}
