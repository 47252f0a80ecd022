//! Getting in.

use std::{
    net::TcpListener,
    path::PathBuf,
    time::{Duration, Instant},
};

use highwater_broker::{
    Broker, ConnectError, ErrorKind, Publish, Stream,
    nats::{ConnectOptions, NatsConnection},
};
use highwater_protocol::{OpId, QueueName, RunId};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use crate::{broker, connect, server, shop, within};

async fn refused(options: ConnectOptions) -> ConnectError {
    within(NatsConnection::connect(options)).await.expect_err("it must not be let in")
}

/// `host:port` of a server.
fn host(url: &str) -> &str {
    url.split_once("://").map_or(url, |(_, host)| host)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_gets_in_with_the_right_password_only() {
    let server = server("authorization { user: app, password: \"s3:cr@t\" }").await;
    let right = ConnectOptions::new(server.url()).user("app", "s3:cr@t");
    assert!(NatsConnection::connect(right).await.unwrap().is_connected());
    let in_url = ConnectOptions::new(format!("nats://app:s3%3Acr%40t@{}", host(server.url())));
    let connection = NatsConnection::connect(in_url).await.unwrap();
    assert!(!connection.url().contains("s3"), "{}", connection.url());
    for wrong in [
        ConnectOptions::new(server.url()).user("app", "wrong"),
        ConnectOptions::new(server.url()),
        ConnectOptions::new(format!("nats://app:wrong@{}", host(server.url()))),
    ] {
        let start = Instant::now();
        let error = refused(wrong).await;
        assert!(matches!(error, ConnectError::Denied { .. }), "{error:?}");
        assert!(!error.to_string().contains("wrong"), "{error}");
        assert!(start.elapsed() < Duration::from_secs(3), "refused credentials are told at once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_lets_in() {
    let server = server("authorization { token: \"t0ken\" }").await;
    NatsConnection::connect(ConnectOptions::new(server.url()).token("t0ken")).await.unwrap();
    NatsConnection::connect(ConnectOptions::new(format!("nats://t0ken@{}", host(server.url())))).await.unwrap();
    let error = refused(ConnectOptions::new(server.url()).token("other")).await;
    assert!(matches!(error, ConnectError::Denied { .. }), "{error:?}");
}

/// A user's NKey, made with `nk -gen user`, its public key, and another one.
const SEED: &str = "SUACFUPAHSCYP22LP57OYVOWZK7ZEJXE647VQQIJHMBJ3KI2FJOJV4M4PY";
const PUBLIC: &str = "UBEND5YRJ7DB7IVV3SYZ3F7BDMYSAW5ZDIGFMCU6ZVZMWUSCXAG2MMY6";
const OTHER: &str = "SUAFY2IOTKXQQPQSEIG2EYQWL6BER53XDELLXPM6QCDBWNVFOJB6U3LW7Y";

#[tokio::test(flavor = "multi_thread")]
async fn an_nkey_lets_in() {
    let server = server(&format!("authorization {{ users = [ {{ nkey: {PUBLIC} }} ] }}")).await;
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("user.nk");
    std::fs::write(&file, format!("{SEED}\n")).unwrap();
    NatsConnection::connect(ConnectOptions::new(server.url()).nkey_file(&file)).await.unwrap();
    NatsConnection::connect(ConnectOptions::new(server.url()).nkey_seed(SEED)).await.unwrap();
    let error = refused(ConnectOptions::new(server.url()).nkey_seed(OTHER)).await;
    assert!(matches!(error, ConnectError::Denied { .. }), "{error:?}");
    let error = refused(ConnectOptions::new(server.url()).nkey_seed("SUnonsense")).await;
    assert!(matches!(error, ConnectError::File { .. }), "{error:?}");
}

/// Certificates of one authority: for the server on loopback, and for a client.
struct Certificates {
    folder: TempDir,
}

impl Certificates {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let mut authority = CertificateParams::new([]).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        std::fs::write(folder.path().join("ca.pem"), authority.self_signed(&key).unwrap().pem()).unwrap();
        let issuer = Issuer::new(authority, key);
        for (name, hosts) in
            [("server", vec!["127.0.0.1".to_owned(), "localhost".into()]), ("client", vec!["app".into()])]
        {
            let key = KeyPair::generate().unwrap();
            let signed = CertificateParams::new(hosts).unwrap().signed_by(&key, &issuer).unwrap();
            std::fs::write(folder.path().join(format!("{name}.pem")), signed.pem()).unwrap();
            std::fs::write(folder.path().join(format!("{name}.key")), key.serialize_pem()).unwrap();
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn server_config(&self, more: &str) -> String {
        let [certificate, key] = ["server.pem", "server.key"].map(|name| self.path(name).display().to_string());
        let ca = self.path("ca.pem").display().to_string();
        format!("tls {{ cert_file: {certificate:?}, key_file: {key:?}, ca_file: {ca:?}, {more} }}")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_with_an_authority_of_ones_own_works() {
    let certificates = Certificates::new();
    let server = server(&certificates.server_config("")).await;
    for url in [server.url().to_owned(), format!("tls://{}", host(server.url()))] {
        let options = ConnectOptions::new(url).root_ca_file(certificates.path("ca.pem")).require_tls(true);
        assert!(NatsConnection::connect(options).await.unwrap().is_connected());
    }
    // Another authority is not trusted, and that is told at once and by its name.
    let start = Instant::now();
    let foreign = Certificates::new();
    let error = refused(ConnectOptions::new(server.url()).root_ca_file(foreign.path("ca.pem"))).await;
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("certificate"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clients_certificate_is_shown() {
    let certificates = Certificates::new();
    let server = server(&certificates.server_config("verify: true")).await;
    let options = ConnectOptions::new(server.url()).root_ca_file(certificates.path("ca.pem"));
    let with =
        options.clone().client_certificate_files(certificates.path("client.pem"), certificates.path("client.key"));
    assert!(NatsConnection::connect(with).await.unwrap().is_connected());
    refused(options.connect_timeout(Duration::from_secs(1))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_is_refused_when_tls_is_required() {
    let server = server("").await;
    let options = ConnectOptions::new(server.url()).require_tls(true).connect_timeout(Duration::from_secs(1));
    let error = refused(options).await;
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_will_not_do_is_named() {
    let folder = TempDir::new().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let missing = folder.path().join("missing.pem");
    let options = || ConnectOptions::new("nats://127.0.0.1:1");
    for (options, path) in [
        (options().root_ca_file(&missing), &missing),
        (options().root_ca_file(&empty), &empty),
        (options().credentials_file(&missing), &missing),
        (options().credentials_file(&empty), &empty),
        (options().nkey_file(&missing), &missing),
        (options().nkey_file(&empty), &empty),
        (options().client_certificate_files(&empty, &missing), &empty),
    ] {
        let start = Instant::now();
        match refused(options).await {
            ConnectError::File { path: named, .. } => assert_eq!(named, path.display().to_string()),
            other => panic!("{other:?}"),
        }
        assert!(start.elapsed() < Duration::from_secs(1), "before anything is dialled");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_told_in_time() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    // One that accepts and stays silent.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    for address in [free.to_string(), silent.local_addr().unwrap().to_string(), "no-such-host.invalid:4222".into()] {
        let start = Instant::now();
        let options = ConnectOptions::new(&address).connect_timeout(Duration::from_millis(1_500));
        let error = refused(options).await;
        assert!(matches!(&error, ConnectError::Unreachable { url, .. } if *url == address), "{error:?}");
        assert!(start.elapsed() < Duration::from_secs(4), "{address}: {:?}", start.elapsed());
    }
    let bad = refused(ConnectOptions::new("http://127.0.0.1:4222")).await;
    assert!(matches!(bad, ConnectError::Address { .. }), "{bad:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_up_within_the_time_is_reached() {
    let server = server("").await;
    server.kill().await.unwrap();
    let connecting = tokio::spawn(NatsConnection::connect(
        ConnectOptions::new(server.url()).connect_timeout(Duration::from_secs(20)),
    ));
    server.restart().await.unwrap();
    assert!(within(connecting).await.unwrap().unwrap().is_connected());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_addresses_one_that_works_is_enough() {
    let server = server("").await;
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let connection = NatsConnection::connect(ConnectOptions::new(format!("{free},{}", server.url()))).await.unwrap();
    assert!(connection.is_connected());
    assert!(connection.server_version().starts_with("2."));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_does_not_allow_is_denied_at_once() {
    let server = server(
        r#"authorization { users = [
            { user: admin, password: a }
            { user: guest, password: g, permissions: {
                publish: { allow: ["hw.shop.do.>", "$JS.API.>", "_INBOX.>"] }
                subscribe: { allow: ["_INBOX.>"] }
            } }
        ] }"#,
    )
    .await;
    let options = |user: &str, password: &str| ConnectOptions::new(server.url()).user(user, password);
    let admin = NatsConnection::connect(options("admin", "a")).await.unwrap();
    admin.open_or_create(&shop()).await.unwrap();
    let guest = NatsConnection::connect(options("guest", "g")).await.unwrap().open_namespace(&shop()).await.unwrap();
    let start = Instant::now();
    let denied = guest.publish(Publish { subject: "hw.shop.h.0.a".into(), ..Publish::default() }).await.unwrap_err();
    assert_eq!(denied.kind, ErrorKind::Denied, "{denied}");
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    let Err(denied) = guest.subscribe("hw.shop.closed.>".into()).await else { panic!("it may listen") };
    assert_eq!(denied.kind, ErrorKind::Denied, "{denied}");
    guest.publish(Publish { subject: "hw.shop.do.start.main.t.a".into(), ..Publish::default() }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_go_to_the_inbox_prefix_that_was_asked_for() {
    let server = server("").await;
    let options = ConnectOptions::new(server.url()).inbox_prefix("_INBOX_app").name("app");
    let connection = NatsConnection::connect(options).await.unwrap();
    let broker = connection.open_or_create(&shop()).await.unwrap();
    assert!(broker.new_inbox().starts_with("_INBOX_app."));
    broker.publish(Publish { subject: "hw.shop.h.0.a".into(), ..Publish::default() }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_that_were_let_go_of_are_told_before_the_connection_closes() {
    let server = server("").await;
    let (watching, worker) = (broker(&server).await, broker(&server).await);
    let queue = QueueName::new("main").unwrap();
    let subject = watching.subjects().task(&queue, RunId::generate(), OpId(1), 1);
    let seq = watching.publish(Publish { subject, ..Publish::default() }).await.unwrap().seq;
    let tasks = within(worker.take_tasks(queue, 1, Duration::from_secs(20))).await.unwrap();
    tasks[0].ack.let_go().await.unwrap();
    worker.connection().close().await;
    within(async { while watching.get_from_leader(Stream::Tasks, seq).await.unwrap().is_some() {} }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_nobody_has_any_more_is_closed() {
    let server = server("").await;
    let watching = broker(&server).await;
    let subject = "hw.shop.question".to_owned();
    let other = connect(&server).await.open_namespace(&shop()).await.unwrap();
    let heard = other.subscribe(subject.clone()).await.unwrap();
    // A stream keeps it, after everything else is gone.
    drop(other);
    let question = || highwater_broker::PlainMessage {
        subject: subject.clone(),
        reply: None,
        headers: highwater_protocol::Headers::new(),
        payload: "?".into(),
    };
    let kept = watching.request(question(), Duration::from_millis(200)).await.unwrap_err();
    assert_eq!(kept.kind, ErrorKind::Unavailable, "somebody listens and does not answer");
    drop(heard);
    within(async {
        while watching.request(question(), Duration::from_millis(200)).await.unwrap_err().kind
            != ErrorKind::NoResponders
        {}
    })
    .await;
}
