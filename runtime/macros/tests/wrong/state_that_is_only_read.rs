extern crate highwater_core as highwater;

use highwater::{Ctx, Exit};
use highwater_macros::workflow;

#[derive(Default)]
struct Cart {
    items: u32,
}

#[workflow]
impl Cart {
    #[run]
    async fn run(ctx: Ctx<Self>) -> Result<(), Exit> {
        ctx.read(|cart| cart.items += 1);
        ctx.wait_until(|cart| {
            cart.items += 1;
            true
        })
        .await?;
        Ok(())
    }
}

fn main() {}
