extern crate highwater_core as highwater;

use std::time::Duration;

use highwater::{CallError, Ctx, Exit};
use highwater_macros::{activity, workflow};

#[activity]
async fn charge(cents: u32) -> Result<u32, String> {
    Ok(cents)
}

#[workflow]
async fn a_timeout_is_an_answer_of_its_own(ctx: Ctx) -> Result<u32, Exit> {
    let charged: u32 = ctx.timeout(Duration::from_secs(1), ctx.run(charge, 5)).await?;
    Ok(charged)
}

#[workflow]
async fn an_own_error_is_not_the_only_end(ctx: Ctx) -> Result<u32, Exit> {
    let charged = ctx.run(charge, 5).await;
    match charged {
        Ok(cents) => Ok(cents),
        Err(CallError::Failed(error)) => Err(Exit::Error(error)),
    }
}

#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Declined;

impl std::fmt::Display for Declined {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("declined")
    }
}

#[workflow]
async fn the_error_of_a_call_is_not_the_workflows(ctx: Ctx) -> Result<u32, Exit<Declined>> {
    let charged = ctx.run(charge, 5).await.map_err(Exit::own)?;
    Ok(charged)
}

fn main() {}
