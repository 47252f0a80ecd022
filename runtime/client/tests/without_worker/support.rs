//! A NATS server for all tests of a binary, a namespace for each, and no worker anywhere.

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use highwater_broker::{
    Broker, Publish, Stream,
    history::{self, Appended, Freshness, NewRecord, StoredRecord, Summary},
    nats::{ConnectOptions, NatsBroker, NatsConnection},
};
use highwater_client::Client;
use highwater_devserver::DevServer;
use highwater_protocol::{
    Event, Headers, Key, Namespace, QueueName, Record, RunId, Status, Timestamp, TypeName, WorkflowId,
    event::{Attributes, Started},
    ids::RecordId,
    namespace::Settings,
    record::{Body, Frame, Marks},
    subject::Verb,
};

static SERVER: LazyLock<DevServer> =
    LazyLock::new(|| DevServer::builder().start_blocking().expect("a NATS server for the tests"));

static NAMESPACES: AtomicU32 = AtomicU32::new(0);

/// How long anything may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A namespace of a test's own.
pub(crate) struct Fixture {
    pub(crate) broker: Arc<NatsBroker>,
    pub(crate) client: Client,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        let url = tokio::task::spawn_blocking(|| SERVER.url().to_owned()).await.unwrap();
        Self::on(&url).await
    }

    /// A namespace on another server.
    pub(crate) async fn on(url: &str) -> Self {
        let connection = NatsConnection::connect(ConnectOptions::new(url)).await.unwrap();
        let name = format!("test-{}", NAMESPACES.fetch_add(1, Ordering::Relaxed));
        let settings = Settings { partitions: 4, ..Settings::default() };
        let broker = connection.create_namespace(&Namespace::new(name).unwrap(), settings).await.unwrap();
        let broker = Arc::new(broker);
        Self { client: Client::new(broker.clone()), broker }
    }

    /// The same namespace.
    pub(crate) fn again(&self) -> Self {
        Self { broker: self.broker.clone(), client: self.client.clone() }
    }

    /// The last record of an id, by the leader.
    pub(crate) async fn last(&self, id: &str) -> Option<StoredRecord> {
        history::last(&*self.broker, &key(id), Freshness::Leader).await.unwrap()
    }

    /// The messages of the inbox up to now.
    pub(crate) async fn inbox_len(&self) -> u64 {
        self.broker.last_seq(Stream::Inbox).await.unwrap()
    }

    /// Publishes a request as any program may.
    pub(crate) async fn publish(
        &self,
        verb: Verb,
        name: Option<&str>,
        id: &str,
        headers: Headers,
        body: &'static str,
    ) -> u64 {
        let name = name.map(|name| TypeName::new(name).unwrap());
        let publish = Publish {
            subject: self.broker.subjects().public(verb, &queue(), name.as_ref(), &key(id)),
            headers,
            payload: body.into(),
            ..Publish::default()
        };
        self.broker.publish(publish).await.unwrap().seq
    }

    /// Appends a record as an owner would, and returns its sequence.
    pub(crate) async fn append(&self, id: &str, frame: Frame, body: Body, expect: u64) -> u64 {
        let status = highwater_protocol::record::status_of(&body.events);
        let record = Record { frame: Frame { closed: status.is_closed(), ..frame }, body };
        let summary = Summary {
            workflow_type: TypeName::new("order").unwrap(),
            queue: queue(),
            status,
            started_at: Timestamp(1),
            attributes: Attributes::default(),
            trace: None,
        };
        let record = NewRecord::new(&record, summary);
        match history::append(&*self.broker, &key(id), &record, expect).await.unwrap() {
            Appended::Stored(seq) => seq,
            Appended::Lost => panic!("somebody else wrote the history of {id}"),
        }
    }

    /// Appends the events behind the last record of its run.
    pub(crate) async fn append_behind(&self, id: &str, last: &StoredRecord, events: Vec<Event>) -> StoredRecord {
        let frame = next(last);
        self.append(id, frame, Body { events, previous: None }, last.seq).await;
        self.last(id).await.unwrap()
    }

    /// A run of an id without history, or behind a closed run.
    pub(crate) async fn begin(&self, id: &str) -> StoredRecord {
        let last = self.last(id).await;
        let prior = last.map(|last| last.seq);
        let frame = first(RunId::generate());
        let body = Body { events: vec![started(id, prior)], previous: None };
        self.append(id, frame, body, prior.unwrap_or(0)).await;
        self.last(id).await.unwrap()
    }
}

pub(crate) fn key(id: &str) -> Key {
    WorkflowId::new(id).unwrap().to_key()
}

pub(crate) fn queue() -> QueueName {
    QueueName::new("shop").unwrap()
}

pub(crate) fn started(id: &str, prior: Option<u64>) -> Event {
    Event::Started(Box::new(Started {
        prior,
        ..Started::new(
            WorkflowId::new(id).unwrap(),
            TypeName::new("order").unwrap(),
            queue(),
            highwater_protocol::Payload::json("5"),
        )
    }))
}

/// The frame of a run's first record.
pub(crate) fn first(run: RunId) -> Frame {
    Frame {
        run,
        record: RecordId::generate(),
        ordinal: 0,
        first_event: 1,
        time: Timestamp(1_000_000),
        marks: Marks::default(),
        closed: false,
        back: Vec::new(),
    }
}

/// The frame behind a record of the same run.
pub(crate) fn next(last: &StoredRecord) -> Frame {
    Frame {
        record: RecordId::generate(),
        ordinal: last.frame.ordinal + 1,
        first_event: last.frame.first_event + last.body().unwrap().events.len() as u64,
        back: last.frame.next_back(last.seq),
        ..last.frame.clone()
    }
}

/// Where a run stands by its last record's header.
pub(crate) fn status(last: &StoredRecord) -> Status {
    last.status().unwrap()
}
