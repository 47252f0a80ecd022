//! Running the command, and a server to run it against.

use std::{
    process::Stdio,
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use highwater_broker::{
    history::{self, Appended, Freshness, NewRecord, Summary},
    nats::{ConnectOptions, NatsBroker, NatsConnection},
};
use highwater_devserver::DevServer;
use highwater_protocol::{
    Event, Namespace, Record, Timestamp, WorkflowId,
    event::Attributes,
    ids::RecordId,
    record::{Body, Frame, status_of},
};
use serde_json::Value;
use tokio::{io::AsyncWriteExt, process::Command, time::timeout};

static SERVER: LazyLock<DevServer> =
    LazyLock::new(|| DevServer::builder().start_blocking().expect("a NATS server for the tests"));

static NAMESPACES: AtomicU32 = AtomicU32::new(0);

/// How long a command may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// The command, with nothing of this process's environment that changes what it does.
pub(crate) fn highwater() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
    let ours = |name: &str| name.starts_with("NATS_") || matches!(name, "HIGHWATER_NAMESPACE" | "COLUMNS");
    for (name, _) in std::env::vars() {
        if ours(&name) {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// The output of a command that ended well.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{self:?}");
        self.stdout.trim_end().to_owned()
    }

    /// The same, as JSON.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        serde_json::from_str(&self.ok()).unwrap()
    }

    /// What a command that failed with this code says. It says nothing on stdout.
    #[track_caller]
    pub(crate) fn error(self, code: i32) -> String {
        assert_eq!((self.code, self.stdout.as_str()), (Some(code), ""), "{self:?}");
        self.stderr
    }
}

/// Runs a command to its end.
pub(crate) async fn run(mut command: Command, stdin: Option<&str>) -> Ran {
    if stdin.is_some() {
        command.stdin(Stdio::piped());
    }
    let mut child = command.spawn().unwrap();
    if let (Some(mut pipe), Some(text)) = (child.stdin.take(), stdin) {
        pipe.write_all(text.as_bytes()).await.unwrap();
    }
    let output = timeout(DEADLINE, child.wait_with_output()).await.expect("the command ends").unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// A namespace of a test's own.
pub(crate) struct Fixture {
    pub(crate) url: String,
    pub(crate) namespace: String,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        let url = tokio::task::spawn_blocking(|| SERVER.url().to_owned()).await.unwrap();
        let namespace = format!("test-{}", NAMESPACES.fetch_add(1, Ordering::Relaxed));
        let fixture = Self { url, namespace };
        fixture.run(&["namespace", "create", &fixture.namespace, "--partitions", "4"]).await.ok();
        fixture
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = highwater();
        command.args(arguments).env("NATS_URL", &self.url).env("HIGHWATER_NAMESPACE", &self.namespace);
        command
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> Ran {
        run(self.command(arguments), None).await
    }

    pub(crate) async fn run_with_stdin(&self, arguments: &[&str], stdin: &str) -> Ran {
        run(self.command(arguments), Some(stdin)).await
    }

    pub(crate) async fn broker(&self) -> NatsBroker {
        let connection = NatsConnection::connect(ConnectOptions::new(&self.url)).await.unwrap();
        connection.open_namespace(&Namespace::new(&self.namespace).unwrap()).await.unwrap()
    }

    /// Appends events to a run, as its owner would.
    pub(crate) async fn append(&self, id: &str, events: Vec<Event>) {
        let broker = self.broker().await;
        let key = WorkflowId::new(id).unwrap().to_key();
        let last = history::last(&broker, &key, Freshness::Leader).await.unwrap().unwrap();
        let status = status_of(&events);
        let frame = Frame {
            record: RecordId::generate(),
            ordinal: last.frame.ordinal + 1,
            first_event: last.frame.first_event + last.body().unwrap().events.len() as u64,
            time: last.frame.time.after(Duration::from_millis(1500)),
            closed: status.is_closed(),
            back: last.frame.next_back(last.seq),
            ..last.frame.clone()
        };
        let summary = Summary {
            workflow_type: last.workflow_type().unwrap(),
            queue: last.queue().unwrap(),
            status,
            started_at: Timestamp(1),
            attributes: Attributes::default(),
            trace: None,
        };
        let record = Record { frame, body: Body { events, previous: None } };
        let record = NewRecord::new(&record, summary);
        let appended = history::append(&broker, &key, &record, last.seq).await.unwrap();
        assert!(matches!(appended, Appended::Stored(_)));
    }
}
