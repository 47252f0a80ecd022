//! Workers and clients on servers that do not let everybody in.

use std::time::Duration;

use anyhow::Result;
use highwater::{ConnectError, ConnectOptions, FreeActivities, Highwater, OpenError, prelude::*};
use highwater_devserver::DevServer;
use highwater_tests::{certificates::Certificates, deadline::within, space::Running};

#[activity(start_to_close = "10s")]
async fn greet(name: String) -> Result<String, String> {
    Ok(format!("hello {name}"))
}

#[workflow]
async fn greeting(ctx: Ctx, name: String) -> Result<String, Exit> {
    ctx.sleep(Duration::from_millis(10)).await?;
    Ok(ctx.run(greet, name).await?)
}

/// Runs a workflow with an activity and a timer, from the opening of the namespace on.
async fn all_works(options: ConnectOptions) -> Result<()> {
    let highwater = Highwater::open(options, "default").await?;
    let worker = highwater.worker().workflow(greeting).activities(FreeActivities::new().with(greet));
    let worker = Running::spawn(worker.build()?);
    let run = highwater.client().start(greeting, "ann".into()).await?;
    assert_eq!(within("the result", run.result()).await?, "hello ann");
    worker.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_works_for_a_user_with_the_right_password_only() -> Result<()> {
    let config = "authorization { user: app, password: \"s3:cr@t\" }";
    let server = DevServer::builder().config(config).start().await?;
    let error = Highwater::open(ConnectOptions::new(server.url()).user("app", "guess"), "default").await;
    let error = error.expect_err("the password is wrong");
    assert!(matches!(error, OpenError::Connect(ConnectError::Denied { .. })), "{error:?}");
    assert!(!error.to_string().contains("guess"), "{error}");
    all_works(ConnectOptions::new(server.url()).user("app", "s3:cr@t")).await?;
    server.stop().await?;
    Ok(())
}

/// A user's NKey, made for this test, and its public key.
const SEED: &str = "SUACFUPAHSCYP22LP57OYVOWZK7ZEJXE647VQQIJHMBJ3KI2FJOJV4M4PY";
const PUBLIC: &str = "UBEND5YRJ7DB7IVV3SYZ3F7BDMYSAW5ZDIGFMCU6ZVZMWUSCXAG2MMY6";

#[tokio::test(flavor = "multi_thread")]
async fn everything_works_with_an_nkey() -> Result<()> {
    let config = format!("authorization {{ users = [ {{ nkey: {PUBLIC} }} ] }}");
    let server = DevServer::builder().config(config).start().await?;
    all_works(ConnectOptions::new(server.url()).nkey_seed(SEED)).await?;
    server.stop().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_works_over_tls_with_certificates_on_both_sides() -> Result<()> {
    let certificates = Certificates::new()?;
    let server = DevServer::builder().config(certificates.mutual_tls()).start().await?;
    let trusting = ConnectOptions::new(server.url()).root_ca_file(certificates.path("ca.pem")).require_tls(true);
    let (certificate, key) = (certificates.path("client.pem"), certificates.path("client.key"));
    all_works(trusting.clone().client_certificate_files(certificate, key)).await?;
    let nameless = trusting.connect_timeout(Duration::from_secs(1));
    let error = Highwater::open(nameless, "default").await.expect_err("it shows no certificate");
    assert!(matches!(error, OpenError::Connect(_)), "{error:?}");
    server.stop().await?;
    Ok(())
}
