//! Messages that anybody may have made.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
};

use futures_util::StreamExt;
use highwater_broker::{BoxStream, Broker, Delivered, Error, Publish, Stream};
use highwater_devserver::DevServer;

use crate::{broker, connect, server, shop, within};

/// Publishes raw bytes as headers, as no client library would.
fn publish_raw(server: &DevServer, subject: &[u8], headers: &[u8], body: &[u8]) {
    let mut socket = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    let (head, total) = (headers.len(), headers.len() + body.len());
    socket.write_all(b"CONNECT {\"headers\":true,\"no_responders\":true,\"verbose\":false}\r\n").unwrap();
    socket.write_all(&[b"HPUB ", subject, format!(" {head} {total}\r\n").as_bytes()].concat()).unwrap();
    socket.write_all(headers).unwrap();
    socket.write_all(body).unwrap();
    socket.write_all(b"\r\nPING\r\n").unwrap();
    let mut lines = BufReader::new(socket).lines();
    assert!(lines.by_ref().map(Result::unwrap).any(|line| line.starts_with("PONG")));
}

/// What async-nats ends a connection over, and what it takes for a word of the server's.
const HOSTILE: [&[u8]; 7] = [
    b"NATS/1.0\r\nno colon\r\n\r\n",
    b"NATS/1.0\r\nHw-Run: \xff\xfe\r\n\r\n",
    b"NATS/1.0\r\n: empty\r\n\r\n",
    b"NATS/1.0\r\nHw-Run: 7\r\nbad name: x\r\n\r\n",
    b"garbage\r\n\r\n",
    b"NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 1\r\n\r\n",
    b"NATS/1.0 503\r\n\r\n",
];

fn publish_hostile(server: &DevServer) {
    for (headers, i) in HOSTILE.iter().zip(0..) {
        publish_raw(server, format!("hw.shop.do.start.main.t.bad{i}").as_bytes(), headers, b"body");
    }
    publish_raw(server, b"hw.shop.do.start.main.t.\xff", b"NATS/1.0\r\nHw-Run: 7\r\n\r\n", b"body");
}

/// The last token of every message up to the one that is called `after`.
async fn read_to_the_end(reading: &mut BoxStream<Result<Delivered, Error>>) -> Vec<String> {
    let mut told = Vec::new();
    while told.last().is_none_or(|last| last != "after") {
        if let Delivered::Message(message) = within(reading.next()).await.unwrap().unwrap() {
            told.push(message.subject.rsplit('.').next().unwrap().to_owned());
        }
    }
    told
}

fn good(id: &str) -> Publish {
    Publish { subject: format!("hw.shop.do.start.main.t.{id}"), ..Publish::default() }
}

const ALL: [&str; 9] = ["bad0", "bad1", "bad2", "bad3", "bad4", "bad5", "bad6", "\u{fffd}", "after"];

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_gets_past_messages_that_end_connections() {
    let server = server("").await;
    let broker = broker(&server).await;
    let mut reading = broker.read(Stream::Inbox, vec!["hw.shop.in.>".into()], 1).await.unwrap();
    assert_eq!(within(reading.next()).await.unwrap().unwrap(), Delivered::CaughtUp);
    publish_hostile(&server);
    let other = connect(&server).await.open_namespace(&shop()).await.unwrap();
    other.publish(good("after")).await.unwrap();
    assert_eq!(read_to_the_end(&mut reading).await, ALL);
    // And everything is as it should be again.
    other.publish(good("after")).await.unwrap();
    assert_eq!(read_to_the_end(&mut reading).await, ["after"]);
    broker.publish(good("more")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_can_begin_with_messages_that_end_connections() {
    let server = server("").await;
    let broker = broker(&server).await;
    publish_hostile(&server);
    broker.publish(good("after")).await.unwrap();
    for from in 1..=8 {
        let mut reading = broker.read(Stream::Inbox, vec!["hw.shop.in.>".into()], from).await.unwrap();
        assert_eq!(read_to_the_end(&mut reading).await, ALL[from as usize - 1..]);
    }
}
