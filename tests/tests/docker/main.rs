//! The files in `docker/`, without containers: the same commands, configuration and environment.

#[path = "../../../runtime/telemetry/tests/otlp/collector.rs"]
mod collector;
mod compose;
mod site;

use std::{collections::BTreeSet, fs, net::TcpListener, path::Path, process::Stdio};

use anyhow::{Context, bail, ensure};
use collector::Collector;
use compose::{Compose, Service, folder};
use highwater_broker::nats::{ConnectOptions, NatsConnection};
use highwater_protocol::{Namespace, namespace::Settings};
use rustix::process::{Pid, Signal, kill_process};
use site::{Nats, PATIENCE, Site, within};
use tokio::{process::Child, time::timeout};

/// The program that a service of our image runs. These are built from the example's own sources.
fn program(service: &Service) -> anyhow::Result<&'static Path> {
    Ok(Path::new(match service.command.first().map(String::as_str) {
        Some("orders-worker") => env!("CARGO_BIN_EXE_orders-worker"),
        Some("orders-starter") => env!("CARGO_BIN_EXE_orders-starter"),
        other => bail!("the image has no program {other:?}"),
    }))
}

/// Starts as many workers as the file says.
fn workers(compose: &Compose, site: &Site) -> anyhow::Result<Vec<Child>> {
    let worker = compose.service("worker")?;
    let spawn = |_| anyhow::Ok(site.command(program(worker)?, worker)?.stdout(Stdio::null()).spawn()?);
    (0..worker.deploy.replicas.unwrap_or(1)).map(spawn).collect()
}

/// Starts the starter.
fn start(compose: &Compose, site: &Site) -> anyhow::Result<Child> {
    let starter = compose.service("starter")?;
    Ok(site.command(program(starter)?, starter)?.stdout(Stdio::piped()).spawn()?)
}

/// What the starter said when it was done.
async fn finish(starter: Child) -> anyhow::Result<String> {
    let output = timeout(PATIENCE, starter.wait_with_output()).await.context("the orders take too long")??;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{}: {text}", output.status);
    Ok(text)
}

/// Ends a worker as Docker does, by the signal that the image names.
async fn stop(mut worker: Child) -> anyhow::Result<()> {
    let image = fs::read_to_string(folder().join("Dockerfile"))?;
    ensure!(image.contains("\nSTOPSIGNAL SIGINT\n"), "the image is stopped by another signal");
    let id = worker.id().and_then(|id| Pid::from_raw(id.cast_signed())).context("the worker has ended before")?;
    kill_process(id, Signal::INT)?;
    let status = timeout(PATIENCE, worker.wait()).await.context("the worker does not stop")??;
    ensure!(status.success(), "the worker ended with {status}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_orders_of_the_starter_are_done_once_and_each_is_one_trace() -> anyhow::Result<()> {
    let compose = Compose::read("compose.yaml")?;
    let collector = Collector::start();
    let mut site = Site::new()?;
    let nats = site.nats(compose.service("nats")?, None).await?;
    nats.healthy(compose.service("nats")?).await?;
    site.stands_for("nats:4222", &nats.client);
    site.stands_for("http://jaeger:4317", &collector.endpoint);

    let workers = workers(&compose, &site)?;
    assert_eq!(workers.len(), 2);
    let text = finish(start(&compose, &site)?).await?;
    for worker in workers {
        stop(worker).await?;
    }

    let orders = ["order-1", "order-2", "order-3"];
    assert!(orders.iter().all(|order| text.contains(&format!("{order} completed"))), "{text}");
    let ledger = fs::read_to_string(site.volume("ledger")?.join("orders.txt"))?;
    let seen = collector.seen();
    for order in orders {
        for activity in ["charge", "reserve", "email"] {
            let done = |line: &&str| [order, activity, "done"].iter().all(|word| line.split(' ').any(|w| w == *word));
            assert_eq!(ledger.lines().filter(done).count(), 1, "{order} {activity}:\n{ledger}");
        }
        let of_order: Vec<_> = seen
            .iter()
            .filter(|span| span.attributes.get("highwater.workflow_id").is_some_and(|id| id == order))
            .collect();
        let names: BTreeSet<_> = of_order.iter().map(|span| span.name.as_str()).collect();
        assert_eq!(names, BTreeSet::from(["activity charge", "activity email", "activity reserve", "start order"]));
        let traces: BTreeSet<_> = of_order.iter().map(|span| span.trace_id.as_str()).collect();
        assert_eq!((of_order.len(), traces.len()), (4, 1), "{of_order:#?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_does_the_orders_although_a_server_is_killed() -> anyhow::Result<()> {
    let compose = Compose::read("compose.cluster.yaml")?;
    let collector = Collector::start();
    let mut site = Site::new()?;
    site.stands_for("http://jaeger:4317", &collector.endpoint);
    let names = ["nats-1", "nats-2", "nats-3"];
    let ports = free_ports(names.len())?;
    for (name, port) in names.iter().zip(&ports) {
        site.stands_for(&format!("{name}:6222"), &format!("127.0.0.1:{port}"));
    }
    let mut servers = Vec::new();
    for (name, port) in names.iter().zip(&ports) {
        servers.push(site.nats(compose.service(name)?, Some(*port)).await?);
    }
    for (name, server) in names.iter().zip(&servers) {
        server.healthy(compose.service(name)?).await?;
        site.stands_for(&format!("{name}:4222"), &server.client);
    }
    create_namespace(&compose, &servers).await?;

    let workers = workers(&compose, &site)?;
    let starter = start(&compose, &site)?;
    let ledger = site.volume("ledger")?.join("orders.txt");
    within("the orders are reserved", || async {
        let lines = fs::read_to_string(&ledger).unwrap_or_default();
        Ok((lines.lines().filter(|line| line.contains(" reserve ") && line.contains(" done ")).count() == 3)
            .then_some(()))
    })
    .await?;
    servers[1].kill().await?;
    let text = finish(starter).await?;
    assert_eq!(text.matches(" completed: ").count(), 3, "{text}");
    for worker in workers {
        stop(worker).await?;
    }
    let emails = collector.seen().iter().filter(|span| span.name == "activity email").count();
    assert!(emails >= 3, "{:#?}", collector.seen());
    Ok(())
}

/// Ports that were free a moment ago: the servers of a cluster have to know each other's before they start.
fn free_ports(count: usize) -> anyhow::Result<Vec<u16>> {
    let listeners = (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<Vec<_>, _>>()?;
    Ok(listeners
        .iter()
        .map(|listener| listener.local_addr().map(|address| address.port()))
        .collect::<Result<_, _>>()?)
}

/// Does what the command of the service `namespace` does, again and again like Docker does.
async fn create_namespace(compose: &Compose, servers: &[Nats]) -> anyhow::Result<()> {
    let command = compose.service("namespace")?.command.join(" ");
    assert_eq!(command, "highwater namespace create default --replicas 3");
    let urls: Vec<_> = servers.iter().map(|server| server.client.clone()).collect();
    let connection = NatsConnection::connect(ConnectOptions::new(urls.join(","))).await?;
    let settings = Settings { replicas: 3, ..Settings::default() };
    within("the namespace is made", || async {
        Ok(connection.create_namespace(&Namespace::default(), settings.clone()).await.ok().map(drop))
    })
    .await
}

#[test]
fn what_the_compose_files_name_is_there() -> anyhow::Result<()> {
    let image = fs::read_to_string(folder().join("Dockerfile"))?;
    for file in ["compose.yaml", "compose.cluster.yaml"] {
        let compose = Compose::read(file)?;
        for (name, service) in &compose.services {
            for (what, place) in service.mounts() {
                let there = if what.starts_with("./") {
                    folder().join(what).is_file()
                } else {
                    compose.volumes.contains_key(what)
                };
                assert!(there && place.starts_with('/'), "{file}: {name} mounts {what} at {place}");
            }
            for (other, how) in &service.depends_on {
                let other = compose.service(other)?;
                assert!(how.condition != "service_healthy" || other.healthcheck.is_some(), "{file}: {name}: {how:?}");
            }
            if service.image.as_deref() == Some("highwater-orders") {
                let program = service.command.first().context("no command")?;
                assert!(image.contains(&format!("/programs/{program}")), "{file}: {name} runs {program}");
            }
        }
    }
    Ok(())
}

#[test]
fn both_compose_files_use_the_same_images() -> anyhow::Result<()> {
    let images = |file| -> anyhow::Result<BTreeSet<_>> {
        Ok(Compose::read(file)?.services.into_values().filter_map(|service| service.image).collect())
    };
    // The cluster's Jaeger is that of the other file.
    let mut cluster = images("compose.cluster.yaml")?;
    cluster.extend(Compose::read("compose.yaml")?.service("jaeger")?.image.clone());
    assert_eq!(images("compose.yaml")?, cluster);
    Ok(())
}
