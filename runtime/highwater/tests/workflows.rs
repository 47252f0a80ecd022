//! What `#[workflow]`, `select!`, `join!` and `try_join!` make of functions and blocks.

use std::time::Duration;

use highwater::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order(u32);

#[activities]
pub trait Billing {
    #[activity(start_to_close = "1m")]
    async fn refund(&self, order: Order) -> Result<u32, String>;
    #[activity(blocking)]
    fn print(&self, cx: &ActivityContext, order: Order) -> Result<(), String>;
}

struct Acme;
impl Billing for Acme {
    async fn refund(&self, order: Order) -> Result<u32, String> {
        Ok(order.0)
    }
    fn print(&self, _: &ActivityContext, _: Order) -> Result<(), String> {
        Ok(())
    }
}

type Ended = Result<u32, Exit<String>>;

#[derive(Default)]
pub struct Cart {
    items: Vec<u32>,
}

#[workflow(name = "shopping-cart")]
impl Cart {
    #[init]
    fn new(first: &u32) -> Self {
        Self { items: vec![*first] }
    }

    #[run]
    pub async fn run(ctx: Ctx<Self>, first: u32) -> Ended {
        ctx.wait_until(|cart| cart.items.len() > 2).await?;
        let refunded = ctx.run(BillingCalls::refund, Order(first)).await?;
        let mut signals = ctx.signals::<u32>("more");
        let mut slow = ctx.sleep(Duration::from_secs(5));
        loop {
            select! {
                more = signals.recv() => { ctx.update(|cart| cart.items.push(more.unwrap())); }
                again = ctx.signals::<u32>("again").recv() => return Ok(again?),
                fired = &mut slow => { fired?; break },
            }
        }
        let (a, b) = join!(ctx.run(BillingCalls::refund, Order(1)), ctx.sleep(Duration::from_secs(1)));
        b?;
        let (c, ()) = try_join!(ctx.run(BillingCalls::refund, Order(1)), ctx.run(BillingCalls::print, Order(2)))?;
        Ok(refunded + a? + c)
    }

    #[signal]
    pub fn add(&mut self, item: u32) {
        self.items.push(item);
    }

    #[query]
    pub fn total(&self) -> u32 {
        self.items.iter().sum()
    }
}

#[test]
fn first() {
    let _ = BillingCalls(Acme);
    let mut cart = Cart::new(&1);
    cart.add(3);
    assert_eq!(cart.total(), 4);
    let _ = Cart::run;
}
