//! Stand-ins for programs and for the network, for tests of the ladder.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sha2::{Digest, Sha256};

/// A program that only reports a version.
pub(super) fn fake_server(dir: &Path, version: &str) -> PathBuf {
    fake_program(dir, "nats-server", &server_script(version))
}

pub(super) fn server_script(version: &str) -> String {
    format!("#!/bin/sh\necho 'nats-server: v{version}'\n")
}

pub(super) fn fake_program(dir: &Path, name: &str, script: &str) -> PathBuf {
    let file = dir.join(name);
    fs::write(&file, script).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    file
}

/// A release archive with this file as the server, and its digest.
pub(super) fn fake_archive(program: &str) -> (Vec<u8>, String) {
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut tar = tar::Builder::new(gzip);
    for (name, text) in [("LICENSE", "Apache"), ("nats-server", program)] {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        let path = format!("nats-server-v9-linux/{name}");
        tar.append_data(&mut header, path, text.as_bytes()).unwrap();
    }
    let bytes = tar.into_inner().unwrap().finish().unwrap();
    let digest = super::archive::hex(&Sha256::digest(&bytes));
    (bytes, digest)
}

/// An HTTP server that gives every request the same bytes.
pub(super) struct FakeHttp {
    pub(super) url: String,
    requests: Arc<AtomicUsize>,
}

impl FakeHttp {
    /// Answers with this status; announces more bytes than it sends when
    /// `missing` is not zero, and then hangs up.
    pub(super) fn serve(status: &str, body: Vec<u8>, missing: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&requests);
        let length = body.len() + missing;
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { break };
                counted.fetch_add(1, Ordering::SeqCst);
                skip_request(&stream);
                let _ = stream.write_all(head.as_bytes());
                let _ = stream.write_all(&body);
            }
        });
        Self { url, requests }
    }

    pub(super) fn ok(body: Vec<u8>) -> Self {
        Self::serve("200 OK", body, 0)
    }

    pub(super) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

fn skip_request(stream: &TcpStream) {
    let lines = BufReader::new(stream).lines();
    let _ = lines.map_while(Result::ok).find(String::is_empty);
}

/// An address where nobody listens.
pub(super) fn refused_url() -> String {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}
