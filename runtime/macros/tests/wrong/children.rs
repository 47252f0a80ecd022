//! Children that are no workflows, or that take something else.

extern crate highwater_core as highwater;

use highwater::{Ctx, Exit};
use highwater_macros::{activity, workflow};

#[workflow]
async fn ship(ctx: Ctx, parcel: u32) -> Result<String, Exit> {
    Ok(format!("{parcel} of {}", ctx.workflow_id()))
}

#[activity(start_to_close = "10s")]
async fn weigh(parcel: u32) -> Result<u32, String> {
    Ok(parcel)
}

async fn plain(_ctx: Ctx, parcel: u32) -> Result<u32, Exit> {
    Ok(parcel)
}

#[workflow]
async fn deliver(ctx: Ctx, parcel: u32) -> Result<u32, Exit> {
    let _another_input = ctx.child(ship, "seven").await?;
    let _another_output: u32 = ctx.child(ship, parcel).await?;
    let _an_activity = ctx.child(weigh, parcel).await?;
    let _a_plain_function = ctx.child(plain, parcel).await?;
    let _a_call = ctx.child(ship(ctx.clone(), parcel), parcel).await?;
    Ok(parcel)
}

fn main() {}
