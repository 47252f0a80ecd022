#![deny(unused_must_use)]
extern crate highwater_core as highwater;

use std::time::Duration;

use highwater::{
    Ctx, Exit,
    join::{buffered, join_all},
    sync::Semaphore,
};
use highwater_macros::{activity, workflow};

#[activity]
async fn charge(cents: u32) -> Result<u32, String> {
    Ok(cents)
}

#[workflow]
async fn order(ctx: Ctx) -> Result<(), Exit> {
    ctx.run(charge, 5);
    ctx.step("tell", async |_| Ok::<_, String>(()));
    ctx.sleep(Duration::from_secs(1));
    ctx.timeout(Duration::from_secs(1), ctx.cancelled());
    ctx.spawn(async {});
    join_all([ctx.run(charge, 5)]);
    buffered(8, [ctx.run(charge, 5)]);
    Semaphore::new(1).acquire().await;
    Ok(())
}

fn main() {}
