//! An environment that is built, resized, refused a change, and taken down.
//!
//! `cargo run -p provisioning` starts a private NATS server, unless `NATS_URL` names one.

// The program around the workflows may do everything.
#![allow(clippy::disallowed_macros, clippy::disallowed_methods)]

use provisioning::{Cloud, Environment, EnvironmentHandle, Plan, machine};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let highwater = highwater::dev::connect().await?;
    let cloud = Cloud::default();
    let worker = highwater
        .worker()
        .queue("provisioning")
        .workflow(Environment::run)
        .workflow(machine)
        .activities(cloud.clone())
        .build()?;
    let stop = worker.stop_handle();
    let working = tokio::spawn(worker.run());
    let client = highwater.client();

    let plan = Plan { customer: "acme".into(), servers: 2 };
    let acme = client.start(Environment::run, plan).id("acme").queue("provisioning").await?;
    // Until the environment is built it refuses changes, and says why.
    let servers = loop {
        match acme.resize(4).await {
            Ok(servers) => break servers,
            Err(error) => println!("resize     {error}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    };
    println!("resize     there are {servers} servers: {:?}", cloud.machines());
    if let Err(error) = acme.resize(100).await {
        println!("resize     {error}");
    }
    acme.cancel("the customer has left").await?;
    println!("result     {:?}", acme.result().await);
    println!("cloud      what is left: {:?}", cloud.machines());

    stop.stop();
    working.await??;
    highwater.close().await?;
    Ok(())
}
