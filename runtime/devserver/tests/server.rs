//! A real server: what it offers, and what stays over stops and crashes.
#![cfg(unix)]

mod support;

use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use highwater_devserver::{DevServer, StartError};
use support::{Client, eventually, is_alive};

async fn start() -> DevServer {
    DevServer::builder().start().await.unwrap()
}

fn store_a_message(server: &DevServer) {
    let mut client = Client::connect(server.port()).unwrap();
    let stream = client.request("$JS.API.STREAM.CREATE.S", r#"{"name":"S","subjects":["s"]}"#);
    assert_eq!(stream["error"], serde_json::Value::Null, "{stream}");
    assert_eq!(client.request("s", "hello")["seq"], 1);
}

fn stored_messages(server: &DevServer) -> serde_json::Value {
    let mut client = Client::connect(server.port()).unwrap();
    client.request("$JS.API.STREAM.INFO.S", "")["state"]["messages"].clone()
}

#[tokio::test]
async fn a_started_server_answers_on_loopback_with_jetstream() {
    let server = start().await;
    assert_eq!(server.url(), format!("nats://127.0.0.1:{}", server.port()));
    let mut client = Client::connect(server.port()).unwrap();
    assert_eq!(client.info["jetstream"], true);
    assert_eq!(client.info["version"], server.binary().version.to_string());
    assert_eq!(client.ping(), "PONG");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn two_servers_run_beside_each_other() {
    let (one, two) = tokio::join!(start(), start());
    assert_ne!(one.port(), two.port());
    store_a_message(&one);
    store_a_message(&two);
    one.stop().await.unwrap();
    assert_eq!(stored_messages(&two), 1);
    two.stop().await.unwrap();
}

#[tokio::test]
async fn stopping_ends_the_process_and_removes_what_was_temporary() {
    let server = start().await;
    let (pid, run_dir) = (server.pid().unwrap(), server.log_file().parent().unwrap().to_owned());
    assert!(run_dir.is_dir() && server.data_dir().starts_with(&run_dir));
    server.stop().await.unwrap();
    assert!(!is_alive(pid));
    assert!(!run_dir.exists());
    assert_eq!(server.pid(), None);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_chosen_data_folder_stays_for_the_next_server() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("not there yet");
    let server = DevServer::builder().data_dir(&data).start().await.unwrap();
    store_a_message(&server);
    server.stop().await.unwrap();

    let next = DevServer::builder().data_dir(&data).start().await.unwrap();
    assert_eq!(stored_messages(&next), 1);
    next.stop().await.unwrap();
}

#[tokio::test]
async fn a_killed_server_restarts_with_its_port_and_its_data() {
    let server = start().await;
    store_a_message(&server);
    let (pid, port) = (server.pid().unwrap(), server.port());

    server.kill().await.unwrap();
    assert_eq!(server.pid(), None);
    assert!(!is_alive(pid));
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    server.kill().await.unwrap();

    server.restart().await.unwrap();
    assert_ne!(server.pid(), Some(pid));
    assert_eq!(server.port(), port);
    assert_eq!(stored_messages(&server), 1);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_running_server_restarts_too_and_can_still_be_cleaned_up() {
    let server = start().await;
    store_a_message(&server);
    let (first, run_dir) = (server.pid().unwrap(), server.log_file().parent().unwrap().to_owned());
    server.restart().await.unwrap();
    server.restart().await.unwrap();
    assert!(!is_alive(first));
    assert_eq!(stored_messages(&server), 1);
    server.stop().await.unwrap();
    assert!(!run_dir.exists());
}

#[tokio::test]
async fn a_restart_waits_for_a_client_that_took_the_port_by_chance() {
    let server = start().await;
    server.kill().await.unwrap();
    let squatter = TcpListener::bind(("127.0.0.1", server.port())).unwrap();
    let restart = server.restart();
    let release = async {
        eventually("the server met the taken port", || {
            std::fs::read_to_string(server.log_file()).is_ok_and(|log| log.contains("address already in use"))
        });
        drop(squatter);
    };
    let (restarted, ()) = tokio::join!(restart, release);
    restarted.unwrap();
    assert_eq!(Client::connect(server.port()).unwrap().ping(), "PONG");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_stopped_server_does_not_restart() {
    let server = start().await;
    server.stop().await.unwrap();
    let error = server.restart().await.unwrap_err();
    assert!(matches!(error, StartError::Stopped), "{error}");
}

#[tokio::test]
async fn a_paused_server_is_silent_until_it_is_resumed() {
    let server = start().await;
    let mut client = Client::connect(server.port()).unwrap();
    assert_eq!(client.ping(), "PONG");
    server.pause().await.unwrap();
    client.send("PING\r\n");
    // Elsewhere the freeze begins a moment later and nothing shows when.
    if cfg!(target_os = "linux") {
        assert!(!client.hears_within(Duration::from_millis(200)));
    }
    server.resume().await.unwrap();
    assert_eq!(client.line(), "PONG");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_paused_server_can_be_stopped() {
    let server = start().await;
    let pid = server.pid().unwrap();
    server.pause().await.unwrap();
    server.stop().await.unwrap();
    assert!(!is_alive(pid));
}

#[tokio::test]
async fn added_configuration_demands_a_password() {
    let server = DevServer::builder().config("authorization { user: app, password: secret }").start().await.unwrap();
    let mut stranger = Client::connect(server.port()).unwrap();
    assert!(stranger.ping().starts_with("-ERR"));
    let mut client = Client::connect(server.port()).unwrap();
    client.send("CONNECT {\"verbose\":false,\"user\":\"app\",\"pass\":\"secret\"}\r\nPING\r\n");
    assert_eq!(client.line(), "PONG");
    server.restart().await.unwrap();
    server.stop().await.unwrap();
}

#[tokio::test]
async fn limits_and_write_through_reach_the_server() {
    let builder = DevServer::builder().max_payload(4321).sync_always(true);
    let server = builder.config("http: \"127.0.0.1:-1\"").start().await.unwrap();
    let client = Client::connect(server.port()).unwrap();
    assert_eq!(client.info["max_payload"], 4321);

    let log = std::fs::read_to_string(server.log_file()).unwrap();
    let monitor = log.split("http monitor on ").nth(1).unwrap().lines().next().unwrap();
    let mut http = TcpStream::connect(monitor).unwrap();
    let mut answer = String::new();
    std::io::Write::write_all(&mut http, b"GET /jsz HTTP/1.0\r\n\r\n").unwrap();
    std::io::Read::read_to_string(&mut http, &mut answer).unwrap();
    assert!(answer.contains("\"sync_always\": true"), "{answer}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_wrong_configuration_is_explained_with_the_log() {
    let error = DevServer::builder().config("max_connections: many").start().await.unwrap_err();
    assert!(matches!(error, StartError::Exited { .. }), "{error}");
    assert!(!error.is_retryable());
    assert!(error.to_string().contains("nats-server.conf:7"), "{error}");
}

#[tokio::test]
async fn a_chosen_port_is_taken_or_refused() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = DevServer::builder().port(port).start().await.unwrap_err();
    assert!(matches!(error, StartError::PortInUse { .. }), "{error}");
    assert!(error.is_retryable());

    drop(taken);
    let server = DevServer::builder().port(port).start().await.unwrap();
    assert_eq!(server.port(), port);
    server.stop().await.unwrap();
}
