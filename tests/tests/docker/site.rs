//! A machine without containers, which stands in for those of a Compose file.
//!
//! Programs run side by side with the commands and the environment of the file. What containers would keep apart is
//! told apart here: paths inside of them are folders of this site, names of hosts are addresses of this machine.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, ensure};
use highwater_devserver::Locator;
use serde::Deserialize;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::{Child, Command},
    time::{sleep, timeout},
};

use super::compose::{Service, folder};

/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Pause between two looks at something that does not tell when it changes.
const POLL: Duration = Duration::from_millis(20);

/// What the containers would be on.
pub(crate) struct Site {
    home: TempDir,
    /// `host:port` as the file says it, and what it is here.
    hosts: BTreeMap<String, String>,
}

/// A NATS server that has started.
pub(crate) struct Nats {
    pub(crate) client: String,
    monitoring: String,
    process: Child,
}

#[derive(Deserialize)]
struct Ports {
    nats: Vec<String>,
    monitoring: Vec<String>,
}

impl Site {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self { home: TempDir::new()?, hosts: BTreeMap::new() })
    }

    /// From now on, this host and port of the file are that address.
    pub(crate) fn stands_for(&mut self, host: &str, address: &str) {
        self.hosts.insert(host.into(), address.into());
    }

    /// Where a volume is: a folder that all services share.
    pub(crate) fn volume(&self, name: &str) -> anyhow::Result<PathBuf> {
        let here = self.home.path().join(name);
        fs::create_dir_all(&here)?;
        Ok(here)
    }

    /// An argument, a variable or a line of a file, as it is said here. `files` has the service's copies of our files.
    fn translate(&self, service: &Service, files: &Path, text: &str) -> anyhow::Result<String> {
        let mut text = text.to_owned();
        for (what, place) in service.mounts() {
            let here = what.strip_prefix("./").map_or_else(|| self.volume(what), |file| Ok(files.join(file)))?;
            text = text.replace(place, here.to_str().context("a path that is no text")?);
        }
        for (host, address) in &self.hosts {
            text = text.replace(host, address);
        }
        Ok(text)
    }

    /// Runs a program with the service's arguments and environment, and with no other of the variables it listens to.
    pub(crate) fn command(&self, program: &Path, service: &Service) -> anyhow::Result<Command> {
        let files = tempfile::tempdir_in(self.home.path())?.keep();
        for file in service.mounts().filter_map(|(what, _)| what.strip_prefix("./")) {
            let text = fs::read_to_string(folder().join(file)).with_context(|| file.to_owned())?;
            fs::write(files.join(file), self.translate(service, &files, &text)?)?;
        }
        let mut command = Command::new(program);
        for (name, _) in std::env::vars() {
            if ["OTEL_", "NATS_", "ORDERS_", "HIGHWATER_", "RUST_LOG"].iter().any(|known| name.starts_with(known)) {
                command.env_remove(name);
            }
        }
        for argument in service.command.iter().skip(1) {
            command.arg(self.translate(service, &files, argument)?);
        }
        for (name, value) in &service.environment {
            command.env(name, self.translate(service, &files, value)?);
        }
        // A machine that is busy with other tests is slow to connect, and every span counts here.
        command.env("OTEL_EXPORTER_OTLP_TIMEOUT", "20000");
        command.stdin(Stdio::null()).kill_on_drop(true);
        Ok(command)
    }

    /// Starts a NATS server with the service's command and configuration, at free ports of this machine. Its port for
    /// other servers is `cluster`, if it has any.
    pub(crate) async fn nats(&self, service: &Service, cluster: Option<u16>) -> anyhow::Result<Nats> {
        ensure!(service.command.first().is_some_and(|program| program == "nats-server"), "{service:?}");
        let located = Locator::from_env().locate().await?;
        let ports = tempfile::tempdir_in(self.home.path())?.keep();
        let mut command = self.command(&located.path, service)?;
        command.args(["--addr", "127.0.0.1", "--port", "-1", "--http_port", "-1", "--ports_file_dir"]).arg(&ports);
        if let Some(port) = cluster {
            command.args(["--cluster", &format!("nats://127.0.0.1:{port}")]);
        }
        let process = command.stderr(Stdio::null()).spawn()?;
        let known = within("the server tells its ports", || async { Ok(read_ports(&ports)) }).await?;
        let bare = |urls: &[String]| urls.first().and_then(|url| url.split("://").nth(1)).map(str::to_owned);
        let client = bare(&known.nats).context("no client port")?;
        Ok(Nats { client, monitoring: bare(&known.monitoring).context("no monitoring port")?, process })
    }
}

impl Nats {
    /// Ends it without a word.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        Ok(self.process.kill().await?)
    }

    /// Waits until the service's own health check is content.
    pub(crate) async fn healthy(&self, service: &Service) -> anyhow::Result<()> {
        let check = service.healthcheck.as_ref().context("no health check")?;
        let url = check.test.last().context("an empty health check")?;
        let path = url.strip_prefix("http://127.0.0.1:8222").context("a health check of something else")?;
        within("the server is healthy", || async {
            let answer = get(&self.monitoring, path).await.unwrap_or_default();
            Ok(answer.starts_with("HTTP/1.1 200").then_some(()))
        })
        .await
    }
}

/// The server writes the file when it listens.
fn read_ports(folder: &Path) -> Option<Ports> {
    let file = fs::read_dir(folder).ok()?.next()?.ok()?.path();
    serde_json::from_slice(&fs::read(file).ok()?).ok()
}

async fn get(address: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// Looks until there is something.
pub(crate) async fn within<T, F>(what: &str, mut look: impl FnMut() -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<Option<T>>>,
{
    let looking = async {
        loop {
            if let Some(found) = look().await? {
                return Ok(found);
            }
            sleep(POLL).await;
        }
    };
    timeout(PATIENCE, looking).await.with_context(|| format!("not within {PATIENCE:?}: {what}"))?
}
