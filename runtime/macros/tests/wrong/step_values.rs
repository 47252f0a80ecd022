extern crate highwater_core as highwater;

use highwater::{Ctx, Exit};
use highwater_macros::workflow;

struct Page;

struct Refused;

#[workflow]
async fn returns_what_cannot_be_recorded(ctx: Ctx) -> Result<(), Exit> {
    let _page = ctx.step("fetch", async |_| Ok::<_, String>(Page));
    Ok(())
}

#[workflow]
async fn fails_with_what_cannot_be_recorded(ctx: Ctx) -> Result<(), Exit> {
    let _number = ctx.step("fetch", async |_| Err::<u32, _>(Refused));
    Ok(())
}

#[workflow]
async fn returns_no_result(ctx: Ctx) -> Result<(), Exit> {
    let _number = ctx.step("count", async |_| 5);
    Ok(())
}

fn main() {}
