//! Answers that go out with the record that they tell of.

use std::io::Write;

use futures_util::{FutureExt, StreamExt};
use highwater_broker::{
    BoxStream, Broker, Error, ErrorKind, PlainMessage, PubAck, Publish, Stream,
    nats::{self, NatsBroker},
};
use highwater_protocol::{Headers, Key, WorkflowId, namespace::Settings};

use crate::{broker, connect, server, shop, within};

/// Whoever asks, and hears both an answer and what becomes of its record.
struct Sender {
    inbox: String,
    answers: BoxStream<PlainMessage>,
    acks: BoxStream<PlainMessage>,
}

impl Sender {
    async fn new(broker: &NatsBroker) -> Self {
        let inbox = broker.new_inbox();
        let answers = within(broker.subscribe(format!("{inbox}.*"))).await.unwrap();
        let acks = within(broker.subscribe(broker.subjects().early_acks_of_sender(&inbox))).await.unwrap();
        Self { inbox, answers, acks }
    }

    /// What came early, and what the stream said of its record.
    async fn hear(&mut self) -> (PlainMessage, Option<PubAck>) {
        let answer = within(self.answers.next()).await.unwrap();
        let ack = within(self.acks.next()).await.unwrap();
        assert_eq!(answer.reply.as_deref(), Some(ack.subject.as_str()));
        (answer, nats::stored(&ack.payload))
    }
}

fn key() -> Key {
    WorkflowId::new("order").unwrap().to_key()
}

/// Stores a record behind `expect`, with an answer to the request `number`.
async fn store(broker: &NatsBroker, to: &Sender, number: u64, expect: u64) -> Result<(PubAck, bool), Error> {
    let subject = broker.subjects().history(&key());
    let record = Publish { subject, payload: "record".into(), expect_last: Some(expect), ..Publish::default() };
    let subject = format!("{}.{number}", to.inbox);
    let answer = PlainMessage { subject, reply: None, headers: Headers::new(), payload: "answer".into() };
    within(broker.publish_with_answer(record, answer)).await
}

/// Stores records until one has its answer with it: the worker has to listen first. Returns its sequence.
async fn store_until_answered(broker: &NatsBroker, to: &Sender) -> u64 {
    let mut expect = within(broker.last_seq(Stream::History)).await.unwrap();
    for number in 0.. {
        let (ack, was_sent) = store(broker, to, number, expect).await.unwrap();
        expect = ack.seq;
        if was_sent {
            break;
        }
    }
    expect
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asked_hears_of_a_record_when_the_worker_does() {
    let server = server("").await;
    let worker = broker(&server).await;
    let mut sender = Sender::new(&within(connect(&server).await.open_namespace(&shop())).await.unwrap()).await;

    let seq = store_until_answered(&worker, &sender).await;
    let (answer, ack) = sender.hear().await;
    assert_eq!((answer.payload, ack), ("answer".into(), Some(PubAck { seq, duplicate: false })));

    // Somebody else's record is there first.
    let lost = store(&worker, &sender, 70, seq - 1).await.unwrap_err();
    assert_eq!(lost.kind, ErrorKind::Conflict);
    let (answer, ack) = sender.hear().await;
    assert_eq!((answer.subject, ack), (format!("{}.70", sender.inbox), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_on_after_a_lost_connection() {
    let server = server("").await;
    let worker = broker(&server).await;
    let mut sender = Sender::new(&worker).await;
    let seq = store_until_answered(&worker, &sender).await;
    sender.hear().await;

    within(server.pause()).await.unwrap();
    let mut under_way = Box::pin(store(&worker, &sender, 50, seq));
    assert!(FutureExt::now_or_never(&mut under_way).is_none(), "the server stands still");
    within(server.kill()).await.unwrap();
    assert_eq!(under_way.await.unwrap_err().kind, ErrorKind::Unavailable);
    within(server.restart()).await.unwrap();
    within(worker.flush()).await.unwrap();
    let seq = store_until_answered(&worker, &sender).await;
    assert_eq!(sender.hear().await.1.map(|ack| ack.seq), Some(seq));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_goes_out_early_where_the_worker_may_not_listen() {
    const DENIED: &str = r#"authorization { users = [
        { user: "worker", password: "w", permissions: { subscribe: { deny: ["hw.shop.ack.>"] } } }
    ] }"#;
    let server = server(DENIED).await;
    let options = nats::ConnectOptions::new(server.url()).user("worker", "w");
    let connection = within(nats::NatsConnection::connect(options)).await.unwrap();
    let worker = within(connection.create_namespace(&shop(), Settings::default())).await.unwrap();
    assert_unanswered(&worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_may_not_listen_any_more_goes_on_without_early_answers() {
    let users = |denied: &str| {
        format!(
            r#"authorization {{ users = [
                {{ user: "worker", password: "w", permissions: {{ subscribe: {{ deny: ["{denied}"] }} }} }}
                {{ user: "client", password: "c" }}
            ] }}"#
        )
    };
    // The server reads it from the folder above the one of its configuration.
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(users("nothing").as_bytes()).unwrap();
    let name = file.path().file_name().unwrap().to_str().unwrap();
    let server = server(&format!("include \"../{name}\"")).await;
    let log_in = |user: &str, password: &str| {
        let options = nats::ConnectOptions::new(server.url()).user(user, password);
        nats::NatsConnection::connect(options)
    };
    let connection = within(log_in("worker", "w")).await.unwrap();
    let worker = within(connection.create_namespace(&shop(), Settings::default())).await.unwrap();
    let client = within(within(log_in("client", "c")).await.unwrap().open_namespace(&shop())).await.unwrap();
    let mut sender = Sender::new(&client).await;
    store_until_answered(&worker, &sender).await;
    sender.hear().await;
    // Somebody listens here and never acknowledges anything.
    let mut silent = within(client.subscribe("hw.shop.silent".into())).await.unwrap();
    let record = Publish { subject: "hw.shop.silent".into(), ..Publish::default() };
    let answer = PlainMessage { subject: format!("{}.60", sender.inbox), ..nothing() };
    let under_way = tokio::spawn(worker.publish_with_answer(record, answer));
    within(silent.next()).await.unwrap();

    std::fs::write(file.path(), users("hw.shop.ack.>")).unwrap();
    let process = rustix::process::Pid::from_raw(server.pid().unwrap().cast_signed()).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::HUP).unwrap();
    let error = within(under_way).await.unwrap().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.message.contains("cannot be heard"), "it was not waited for: {error}");
    assert_unanswered(&worker).await;
}

fn nothing() -> PlainMessage {
    PlainMessage { subject: String::new(), reply: None, headers: Headers::new(), payload: "".into() }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_goes_out_early_with_group_commit() {
    let server = server("").await;
    let settings = Settings { group_commit: true, ..Settings::default() };
    assert_unanswered(&within(connect(&server).await.create_namespace(&shop(), settings)).await.unwrap()).await;
}

/// Records are stored, and no answer goes out with one. Each takes a way to the server and back, and that the worker may
/// listen would be known after two.
async fn assert_unanswered(worker: &NatsBroker) {
    let inbox = worker.new_inbox();
    let answers = within(worker.subscribe(format!("{inbox}.*"))).await.unwrap();
    let mut sender = Sender { inbox, answers, acks: Box::pin(futures_util::stream::pending()) };
    let mut expect = within(worker.last_seq(Stream::History)).await.unwrap();
    for number in 0..20 {
        let (ack, was_sent) = store(worker, &sender, number, expect).await.unwrap();
        assert!(!was_sent, "{number}");
        expect = ack.seq;
    }
    within(worker.flush()).await.unwrap();
    assert!(FutureExt::now_or_never(sender.answers.next()).is_none(), "nobody was answered");
}
