extern crate highwater_core as highwater;

use highwater::{
    Ctx, Exit,
    definition::SignalPort,
    run::Registry,
};
use highwater_macros::workflow;
use serde::Serialize;

#[derive(Default)]
pub struct Cart;

#[workflow]
impl Cart {
    #[run]
    pub async fn run(_ctx: Ctx<Self>) -> Result<(), Exit> {
        Ok(())
    }

    #[signal]
    fn add(&mut self, _n: u32) {}

    #[query]
    fn total(&self) -> u32 {
        5
    }

    #[update]
    fn take(&mut self) -> u32 {
        5
    }
}

#[workflow]
pub trait Depot {
    #[run]
    async fn run(ctx: Ctx<Self>, city: String) -> Result<(), Exit>;

    #[signal]
    fn hold(&mut self);
}

/// As a child is.
struct Child;

impl SignalPort<Cart> for Child {
    type Sent = ();
    fn send_signal<A: Serialize + ?Sized>(&self, _name: &'static str, _argument: &A) {}
}

fn main() {
    Child.add("five");
    Child.total();
    Child.take();
    Child.hold();
    DepotHandle::hold(&Child);
    let _ = Registry::new().add(Depot::run);
}
