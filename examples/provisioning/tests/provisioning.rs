//! Environments that are built, changed and taken down.

use std::time::Duration;

use highwater::{client::ResultError, testing::TestEnv};
use provisioning::{Cloud, Environment, EnvironmentHandle, Plan, ResizeError, machine};

async fn environment(cloud: &Cloud) -> TestEnv {
    TestEnv::builder().workflow(Environment::run).workflow(machine).activities(cloud.clone()).start().await
}

fn acme(servers: u32) -> Plan {
    Plan { customer: "acme".into(), servers }
}

#[tokio::test]
async fn an_environment_has_its_machines_until_it_is_cancelled_and_none_after() {
    let cloud = Cloud::default();
    let env = environment(&cloud).await;
    let run = env.client().start(Environment::run, acme(2)).await.unwrap();
    env.settle().await;
    assert!(cloud.machines().len() == 3);
    assert_eq!(cloud.machines(), ["acme-0", "acme-1", "acme-db"]);
    run.cancel("the customer has left").await.unwrap();
    assert_eq!(run.result().await.unwrap(), 2);
    assert_eq!(cloud.machines(), [""; 0]);
    env.finish().await;
}

#[tokio::test]
async fn an_update_answers_when_the_change_is_made() {
    let cloud = Cloud::default();
    let env = environment(&cloud).await;
    let run = env.client().start(Environment::run, acme(1)).await.unwrap();
    env.settle().await;
    assert_eq!(cloud.machines(), ["acme-0", "acme-db"]);
    assert_eq!(run.resize(4).await.unwrap(), 4);
    assert_eq!(run.servers().await.unwrap(), 4);
    env.settle().await;
    assert!(cloud.machines().len() == 5);
    assert_eq!(run.resize(2).await.unwrap(), 2);
    env.settle().await;
    assert!(cloud.machines().len() == 3);
    run.cancel("enough").await.unwrap();
    run.result().await.unwrap();
    env.finish().await;
}

#[tokio::test]
async fn a_number_that_is_not_sold_is_refused_and_changes_nothing() {
    let cloud = Cloud::default();
    let env = environment(&cloud).await;
    let run = env.client().start(Environment::run, acme(1)).await.unwrap();
    env.settle().await;
    assert_eq!(cloud.machines(), ["acme-0", "acme-db"]);
    let before = run.history().await.unwrap().len();
    let refused = run.resize(100).await.unwrap_err();
    assert!(refused.to_string().contains(&ResizeError::Number(100).to_string()), "{refused}");
    assert_eq!(run.history().await.unwrap().len(), before);
    run.terminate("enough").await.unwrap();
    assert!(matches!(run.result().await, Err(ResultError::Terminated(_))));
    env.finish().await;
}

#[tokio::test]
async fn a_worker_that_crashes_while_it_builds_changes_nothing() {
    let cloud = Cloud::default();
    let env = environment(&cloud).await;
    let run = env.client().start(Environment::run, acme(3)).await.unwrap();
    env.restart_worker().await;
    env.sleep(Duration::from_secs(60)).await;
    assert_eq!(cloud.machines().len(), 4);
    env.restart_worker().await;
    run.cancel("the customer has left").await.unwrap();
    assert_eq!(run.result().await.unwrap(), 3);
    assert_eq!(cloud.machines(), [""; 0]);
    env.finish().await;
}
