//! Programs without our library: they start, signal, ask and wait by the bytes of the NATS protocol alone, as
//! `highwater::wire` tells them.

mod document;
mod early;
mod permissions;
mod query;
mod rejected;
mod start;
mod wrong_queue;

use std::sync::LazyLock;

use highwater::{Worker, prelude::*};
use highwater_devserver::DevServer;
use highwater_tests::{raw_nats::RawNats, space::Running};
use serde::{Deserialize, Serialize};

static SERVER: LazyLock<DevServer> = LazyLock::new(highwater_tests::space::server);

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Payment {
    amount: u32,
}

/// Ends at once.
#[workflow]
pub async fn double(_ctx: Ctx, payment: Payment) -> Result<u32, Exit> {
    if payment.amount == 13 {
        return Err("13 is not accepted".to_owned().into());
    }
    Ok(payment.amount * 2)
}

/// Takes deposits until it is closed.
#[derive(Debug, Default)]
pub struct Account {
    deposits: Vec<u32>,
    closed: bool,
}

#[workflow(name = "account")]
impl Account {
    #[run]
    pub async fn run(ctx: Ctx<Self>, (): ()) -> Result<Vec<u32>, Exit> {
        ctx.wait_until(|account| account.closed).await?;
        Ok(ctx.read(|account| account.deposits.clone()))
    }

    #[signal]
    pub fn deposit(&mut self, payment: Payment) {
        self.deposits.push(payment.amount);
    }

    #[signal]
    pub fn close(&mut self, (): ()) {
        self.closed = true;
    }

    #[query]
    pub fn balance(&self, extra: u32) -> u32 {
        self.deposits.iter().sum::<u32>() + extra
    }
}

fn worker(highwater: &Highwater, queue: &str) -> Worker {
    highwater.worker().queue(queue).workflow(double).workflow(Account::run).build().expect("the worker can be built")
}

/// A namespace with a worker of the queue `shop`, and a plain connection.
async fn shop(namespace: &str) -> (Highwater, Running, RawNats) {
    let highwater = highwater_tests::space::open(&SERVER, namespace).await;
    let running = Running::spawn(worker(&highwater, "shop"));
    let raw = RawNats::connect(SERVER.port()).await.expect("a plain connection");
    (highwater, running, raw)
}

/// Checks that nothing is wedged: a run that comes now completes on the same worker.
async fn still_works(highwater: &Highwater) {
    let start = highwater.client().start(double, Payment { amount: 21 }).queue("shop");
    let run = highwater_tests::deadline::within("a start", start).await.expect("a normal run starts");
    let result = highwater_tests::deadline::within("a result", run.result()).await;
    assert_eq!(result.expect("a normal run completes"), 42);
}
