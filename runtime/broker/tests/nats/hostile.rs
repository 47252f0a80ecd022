//! Messages that anybody may have made.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    time::Duration,
};

use futures_util::StreamExt;
use highwater_broker::{Broker, Delivered, Publish, Stream};
use highwater_devserver::DevServer;

use crate::{broker, server, within};

/// Publishes raw bytes as headers, as no client library would.
fn publish_raw(server: &DevServer, subject: &str, headers: &[u8], body: &[u8]) {
    let mut socket = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    let (head, total) = (headers.len(), headers.len() + body.len());
    socket.write_all(b"CONNECT {\"headers\":true,\"no_responders\":true,\"verbose\":false}\r\n").unwrap();
    socket.write_all(format!("HPUB {subject} {head} {total}\r\n").as_bytes()).unwrap();
    socket.write_all(headers).unwrap();
    socket.write_all(body).unwrap();
    socket.write_all(b"\r\nPING\r\n").unwrap();
    let mut lines = BufReader::new(socket).lines();
    assert!(lines.by_ref().map(Result::unwrap).any(|line| line.starts_with("PONG")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_gets_past_headers_that_are_none() {
    let server = server("").await;
    let broker = broker(&server).await;
    let good = |id: &str| Publish { subject: format!("hw.shop.do.start.main.t.{id}"), ..Publish::default() };
    let mut reading = broker.read(Stream::Inbox, vec!["hw.shop.in.>".into()], 1).await.unwrap();
    assert_eq!(within(reading.next()).await.unwrap().unwrap(), Delivered::CaughtUp);

    broker.publish(good("before")).await.unwrap();
    let hostile: [&[u8]; 5] = [
        b"NATS/1.0\r\nno colon\r\n\r\n",
        b"NATS/1.0\r\nHw-Run: \xff\xfe\r\n\r\n",
        b"NATS/1.0\r\n: empty\r\n\r\n",
        b"NATS/1.0\r\nHw-Run: 7\r\nbad name: x\r\n\r\n",
        b"garbage\r\n\r\n",
    ];
    for (headers, i) in hostile.iter().zip(0..) {
        publish_raw(&server, &format!("hw.shop.do.start.main.t.bad{i}"), headers, b"body");
    }
    within(async {
        while broker.publish(good("after")).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let mut told = Vec::new();
    while told.last().is_none_or(|last| last != "after") {
        match within(reading.next()).await.unwrap().unwrap() {
            Delivered::Message(message) => told.push(message.subject.rsplit('.').next().unwrap().to_owned()),
            Delivered::CaughtUp => panic!("it is told once"),
        }
    }
    assert_eq!(told, ["before", "bad0", "bad1", "bad2", "bad3", "bad4", "after"]);
}
