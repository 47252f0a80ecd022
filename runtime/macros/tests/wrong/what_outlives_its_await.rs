extern crate highwater_core as highwater;

use highwater::{Ctx, Exit};
use highwater_macros::workflow;

#[workflow]
async fn a_step(ctx: Ctx) -> Result<(), Exit> {
    let names = vec!["a".to_owned()];
    ctx.step("count", async |_| Ok::<_, String>(names.len())).await?;
    Ok(())
}

#[workflow]
async fn a_task(ctx: Ctx) -> Result<(), Exit> {
    let names = vec!["a".to_owned()];
    ctx.spawn(async { names.len() }).await;
    Ok(())
}

fn main() {}
